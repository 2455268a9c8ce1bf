"""Lists and introductions without what is in quarantine, in every shape in which they come back (TOOL-01).

Items keep their bytes. What cannot be read, or could be read in two ways, is withheld whole.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, Final

import msgspec

from mantlet.core.call import Reply
from mantlet.core.refusal import BadUpstream
from mantlet.core.stream import Derived
from mantlet.policies.aggregate.memory import Memory
from mantlet.policies.authorize.lists import BOUNDS, MAX_EVENT_BYTES, filter_message
from mantlet.policies.pins.definitions import INSTRUCTIONS, NAMED_BY
from mantlet.policies.pins.shown import Shown
from mantlet.wire import jsonrpc
from mantlet.wire.sse import SseSplitter, format_event

MAX_LIST_BYTES: Final = 2 * 1024 * 1024
"""Of one list or page. Reading and judging takes 1 ms a tool, the first time, in which nothing else is done."""

_KNOWN: Final = frozenset({*NAMED_BY, INSTRUCTIONS})
_CHANGED: Final = b"list_changed"
_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ITEMS: Final = msgspec.json.Decoder(list[msgspec.Raw])

Changed = Callable[[], None]
"""Called when a server says that a list of it has changed."""


class Lists:
    """Filters what comes back. A list that came before, and nothing has changed since, costs a look-up."""

    def __init__(self, shown: Shown) -> None:
        self._shown = shown
        self._kept: Memory[tuple[int, bytes]] = Memory()

    def filtered(self, reply: Reply, server: str, revision: str, changed: Changed) -> Reply:
        """`reply` without what may not be shown. Raises `BadUpstream` for what cannot be read."""
        if not 200 <= reply.status < 300:
            return reply
        if isinstance(reply.body, bytes):
            if reply.body:
                reply.body = filter_message(reply.body, lambda result: self._result(server, revision, result))
        else:
            reply.body = Derived(self._events(reply.body, server, revision, changed), reply.body)
        return reply

    async def _events(
        self, chunks: AsyncIterator[bytes], server: str, revision: str, changed: Changed
    ) -> AsyncGenerator[bytes, None]:
        splitter = SseSplitter(MAX_EVENT_BYTES)
        async for chunk in chunks:
            for event in splitter.feed(chunk):
                data = event.data
                if not data:
                    yield event.raw
                    continue
                if _CHANGED in data:
                    changed()
                kept = filter_message(data, lambda result: self._result(server, revision, result))
                yield event.raw if kept is data else format_event(kept, event.id)

    def _result(self, server: str, revision: str, result: bytes) -> bytes:
        key = (server, revision, result)
        known = self._kept.get(key)
        if known is not None and known[0] == self._shown.version:
            return known[1]
        kept = self._read(server, revision, result)
        self._kept.put(key, (self._shown.version, kept), len(result) + len(kept))
        return kept

    def _read(self, server: str, revision: str, result: bytes) -> bytes:
        if len(result) > MAX_LIST_BYTES:
            raise BadUpstream(f"The server's list is larger than {MAX_LIST_BYTES} bytes and is withheld.")
        values: dict[str, Any] = jsonrpc.decode(result, BOUNDS)
        members = _OBJECT.decode(result)
        jsonrpc.refuse_folded(members, _KNOWN)
        is_whole = True
        for kind in NAMED_BY:
            if kind not in members:
                continue
            raw = _ITEMS.decode(members[kind])
            items = [item if type(item) is dict else {} for item in values[kind]]
            flags = self._shown.take(server, kind, items, revision)
            if not all(flags):
                is_whole = False
                kept = [item for item, may in zip(raw, flags, strict=True) if may]
                members[kind] = msgspec.Raw(b"[" + b",".join(kept) + b"]")
        text = values.get(INSTRUCTIONS)
        if text and not (type(text) is str and self._shown.may_instruct(server, text, revision)):
            is_whole = False
            del members[INSTRUCTIONS]
        return result if is_whole else msgspec.json.encode(members)
