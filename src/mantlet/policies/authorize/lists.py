"""Lists show a caller only what it may use, for every shape in which a list can come back (AUTHZ-03).

Items keep their bytes; only the array is put together anew. What cannot be read, or could be read in two ways, is
withheld: msgspec keeps the last of two members of one name, a client may keep the first. A list that was public to its
server is private behind a filter: a cache between here and the client must not show one caller's list to another.
"""

from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Final

import msgspec

from mantlet.core.call import Reply
from mantlet.core.refusal import BadUpstream, InvalidJson, InvalidRequest
from mantlet.core.stream import Derived
from mantlet.wire import jsonrpc
from mantlet.wire.sse import SseSplitter, format_event

Visible = Callable[[str, str], bool]
"""Whether an item may be used: the method that would use it (`tools/call`, …) and its name."""

Filter = Callable[[bytes], bytes]
"""From the `result` of a list method to the `result` that the caller may see."""

MAX_EVENT_BYTES: Final = 4 * 1024 * 1024
CACHE_BYTES: Final = 16 * 1024 * 1024
"""Filtered lists kept, questions and answers together."""
BOUNDS: Final = jsonrpc.Bounds(max_depth=1_000_000, max_keys=1_000_000)
"""Bytes bound a server's list, and both readers stop at some hundred levels; the tighter bounds are for callers."""

_USED_BY: Final = {
    "tools": ("tools/call", "name"),
    "prompts": ("prompts/get", "name"),
    "resources": ("resources/read", "uri"),
    "resourceTemplates": ("resources/read", "uriTemplate"),
}
_RESULT_MEMBERS: Final = frozenset({*_USED_BY, "cacheScope"})
_PUBLIC: Final = b'"public"'
_PRIVATE: Final = msgspec.Raw(b'"private"')


class _Named(msgspec.Struct):
    name: str = ""
    uri: str = ""
    uriTemplate: str = ""  # noqa: N815 - the specification's spelling


_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ITEMS: Final = msgspec.json.Decoder(list[msgspec.Raw])
_NAME: Final = msgspec.json.Decoder(_Named)


class FilteredLists:
    """Filtered results, by who asked and by the exact bytes that were filtered: a change upstream is a new question.

    Reading a list of a hundred tools costs as much as two calls; servers' lists seldom change.
    """

    def __init__(self, limit_bytes: int = CACHE_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._size_bytes = 0
        self._kept: OrderedDict[tuple[object, bytes], bytes] = OrderedDict()

    def filter(self, asker: object, result: bytes, visible: Visible) -> bytes:
        """`result` as `asker` may see it. Equal askers must get equal answers of `visible`."""
        key = (asker, result)
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
            return kept
        filtered = filter_result(result, visible)
        self._kept[key] = filtered
        self._size_bytes += len(result) + len(filtered)
        while self._size_bytes > self._limit_bytes:
            (_, question), answer = self._kept.popitem(last=False)
            self._size_bytes -= len(question) + len(answer)
        return filtered


def filter_reply(reply: Reply, keep: Filter) -> Reply:
    """`reply` without what the caller may not use; raises `BadUpstream` when that cannot be told."""
    if not 200 <= reply.status < 300:
        return reply
    if isinstance(reply.body, bytes):
        reply.body = filter_message(reply.body, keep) if reply.body else reply.body
    else:
        reply.body = Derived(_filter_stream(reply.body, keep), reply.body)
    return reply


def filter_message(body: bytes, keep: Filter) -> bytes:
    """One JSON-RPC message with its result filtered; the same object when there was nothing to change.

    `keep` answers for the inside of the result, this function for all around it.
    """
    try:
        message = _OBJECT.decode(body)
        result = bytes(message.get("result", b""))
        if result[:1] != b"{":
            _prove_clear(body)
            return body
        _prove_clear(_around(body, result))
        filtered = keep(result)
        if filtered == result:
            return body
        message["result"] = msgspec.Raw(filtered)
        return msgspec.json.encode(message)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, InvalidJson, InvalidRequest) as error:
        raise BadUpstream("The server's list cannot be read and is withheld.") from error


def _around(body: bytes, result: bytes) -> bytes:
    """`body` with 0 where its `result` stands: 40 bytes, whatever the size of the list.

    What begins like the result at one place only, begins there; at two, nothing is cut. Looking for all of it costs
    40 us for 20 KB, looking for its head nothing.
    """
    head = result[:64]
    at = body.find(head)
    if body.find(head, at + 1, len(body) - len(result) + len(head)) >= 0:
        return body
    return body[:at] + b"0" + body[at + len(result) :]


def _prove_clear(body: bytes) -> None:
    jsonrpc.refuse_folded(jsonrpc.decode(body, BOUNDS), jsonrpc.MEMBERS)


def filter_result(result: bytes, visible: Visible) -> bytes:
    """A list method's result without the items that are not `visible`.

    Raises `InvalidJson`, `InvalidRequest` or `MsgspecError` for one that two readers could read differently.
    """
    values = jsonrpc.decode(result, BOUNDS)
    members = _OBJECT.decode(result)
    jsonrpc.refuse_folded(members, _RESULT_MEMBERS)
    changed = False
    for member, (method, attribute) in _USED_BY.items():
        if member in members:
            items = _ITEMS.decode(members[member])
            kept = [item for item in items if visible(method, getattr(_NAME.decode(item), attribute))]
            known = frozenset({attribute})
            for value in values[member]:  # objects all of them, or _NAME had refused
                jsonrpc.refuse_folded(value, known)
            if len(kept) != len(items):
                changed = True
                members[member] = msgspec.Raw(b"[" + b",".join(kept) + b"]")
    if bytes(members.get("cacheScope", b"")) == _PUBLIC:
        changed = True
        members["cacheScope"] = _PRIVATE
    return msgspec.json.encode(members) if changed else result


async def _filter_stream(chunks: AsyncIterator[bytes], keep: Filter) -> AsyncGenerator[bytes, None]:
    splitter = SseSplitter(MAX_EVENT_BYTES)
    async for chunk in chunks:
        for event in splitter.feed(chunk):
            if not event.data:
                yield event.raw
                continue
            filtered = filter_message(event.data, keep)
            yield event.raw if filtered is event.data else format_event(filtered, event.id)
