"""Lists show a caller only what it may use, for every shape in which a list can come back (AUTHZ-03).

Items keep their bytes; only the array is put together anew. What cannot be read is withheld. A list that was public to
its server is private behind a filter: a cache between here and the client must not show one caller's list to another.
"""

from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Final

import msgspec

from mantlet.core.call import Reply
from mantlet.core.refusal import BadUpstream
from mantlet.core.stream import Derived
from mantlet.wire.sse import SseSplitter, format_event

Visible = Callable[[str, str], bool]
"""Whether an item may be used: the method that would use it (`tools/call`, …) and its name."""

Filter = Callable[[bytes], bytes]
"""From the `result` of a list method to the `result` that the caller may see."""

MAX_EVENT_BYTES: Final = 4 * 1024 * 1024
CACHE_BYTES: Final = 16 * 1024 * 1024
"""Filtered lists kept, questions and answers together."""

_USED_BY: Final = {
    "tools": ("tools/call", "name"),
    "prompts": ("prompts/get", "name"),
    "resources": ("resources/read", "uri"),
    "resourceTemplates": ("resources/read", "uriTemplate"),
}
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
    """One JSON-RPC message with its result filtered; the same object when there was nothing to change."""
    try:
        message = _OBJECT.decode(body)
        result = bytes(message.get("result", b""))
        if result[:1] != b"{":
            return body
        filtered = keep(result)
        if filtered == result:
            return body
        message["result"] = msgspec.Raw(filtered)
        return msgspec.json.encode(message)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadUpstream("The server's list cannot be read and is withheld.") from error


def filter_result(result: bytes, visible: Visible) -> bytes:
    """A list method's result without the items that are not `visible`."""
    members = _OBJECT.decode(result)
    changed = False
    for member, (method, attribute) in _USED_BY.items():
        if member in members:
            items = _ITEMS.decode(members[member])
            kept = [item for item in items if visible(method, getattr(_NAME.decode(item), attribute))]
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
