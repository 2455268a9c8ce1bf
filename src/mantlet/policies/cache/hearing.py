"""What servers say has changed, heard in the streams that pass (MCP, "Interaction with Notifications")."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Final

import msgspec

from mantlet.core.call import Call, Reply
from mantlet.core.refusal import BadUpstream
from mantlet.core.stream import Derived
from mantlet.policies.cache.plan import KIND_OF
from mantlet.wire.sse import SseSplitter

MAX_EVENT_BYTES: Final = 4 * 1024 * 1024
EVERYTHING: Final = ""
"""The scope of all entries."""
_CHANGES: Final = {
    "notifications/tools/list_changed": "tools",
    "notifications/prompts/list_changed": "prompts",
    "notifications/resources/list_changed": "resources",
    "notifications/resources/updated": "resources",
}
_HINTS: Final = (b"list_changed", b"updated", b"\\u")
"""One of them stands in every such message, however it is spelt."""

Changed = Callable[[str], None]


class _Said(msgspec.Struct):
    method: str = ""


_SAID: Final = msgspec.json.Decoder(_Said)


def scopes_of(call: Call) -> tuple[str, ...]:
    """What can make the answer to `call` old."""
    return EVERYTHING, call.server, scope(call.server, KIND_OF[call.method])


def scope(server: str, kind: str) -> str:
    """A server's answers of one kind. No server's name has a slash in it (it is a part of a path)."""
    return f"{server}/{kind}"


def changed_kind(data: bytes) -> str:
    """Which kind of answers a server's message makes old; empty for none."""
    if not any(hint in data for hint in _HINTS):
        return ""
    try:
        return _CHANGES.get(_SAID.decode(data).method, "")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""


def heard(reply: Reply, server: str, changed: Changed) -> Reply:
    """`reply`, unchanged; `changed` is told what its stream says has, before whoever reads it."""
    if not isinstance(reply.body, bytes):
        reply.body = Derived(_listening(reply.body, server, changed), reply.body)
    return reply


async def _listening(chunks: AsyncIterator[bytes], server: str, changed: Changed) -> AsyncGenerator[bytes, None]:
    splitter: SseSplitter | None = SseSplitter(MAX_EVENT_BYTES)
    async for chunk in chunks:
        if splitter is not None:
            try:
                for event in splitter.feed(chunk):
                    if event.data and (kind := changed_kind(event.data)):
                        changed(scope(server, kind))
            except BadUpstream:
                # What else it says is not understood from here on: then it may have said that all has changed.
                splitter = None
                changed(server)
        yield chunk
