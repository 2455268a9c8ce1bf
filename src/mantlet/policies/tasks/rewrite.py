"""Task ids inside messages, exchanged for others. Pure.

All else keeps its bytes: only the objects on the way to an id are put together anew. Both shapes are known, that of the
Tasks extension and the experimental one of 2025-11-25.
"""

from collections.abc import Callable
from typing import Final

import msgspec

RELATED: Final = "io.modelcontextprotocol/related-task"
HINT: Final = b'"taskId"'
"""Without it a message has nothing to exchange."""

Exchange = Callable[[str], str]
"""From the server's own id to the caller's."""

_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ITEMS: Final = msgspec.json.Decoder(list[msgspec.Raw])
_TEXT: Final = msgspec.json.Decoder(str)
_DEPTH: Final = {"result": ("task", "_meta"), "params": ("task", "_meta"), "_meta": (RELATED,)}
"""Where ids stand, by the member they are looked for in: next to `taskId` itself."""


def rewritten(message: bytes, exchange: Exchange) -> bytes:
    """`message` with every task id in it exchanged; the same object when there is none, or it cannot be read."""
    if HINT not in message:
        return message
    try:
        members = _OBJECT.decode(message)
        changed = [_inside(members, name, exchange) for name in ("result", "params")]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return message
    return msgspec.json.encode(members) if any(changed) else message


def _inside(members: dict[str, msgspec.Raw], name: str, exchange: Exchange) -> bool:
    raw = members.get(name)
    if raw is None or HINT not in bytes(raw) or bytes(raw)[:1] != b"{":
        return False
    inner = _OBJECT.decode(raw)
    changed = [_inside(inner, deeper, exchange) for deeper in _DEPTH.get(name, ())]
    if name == "result" and "tasks" in inner:
        changed.append(_in_list(inner, exchange))
    if "taskId" in inner and bytes(inner["taskId"])[:1] == b'"':
        inner["taskId"] = msgspec.Raw(msgspec.json.encode(exchange(_TEXT.decode(inner["taskId"]))))
        changed.append(True)
    if not any(changed):
        return False
    members[name] = msgspec.Raw(msgspec.json.encode(inner))
    return True


def _in_list(result: dict[str, msgspec.Raw], exchange: Exchange) -> bool:
    items = _ITEMS.decode(result["tasks"])
    holders = [{"task": item} for item in items]
    changed = [_inside(holder, "task", exchange) for holder in holders]
    result["tasks"] = msgspec.Raw(msgspec.json.encode([holder["task"] for holder in holders]))
    return any(changed)
