"""A message with one thing in it changed, whole or on a stream. What is not changed keeps its bytes (VAL-02)."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Final

import msgspec

from mantlet.core.call import Call, Reply
from mantlet.core.refusal import Refusal
from mantlet.core.stream import aclose
from mantlet.wire import jsonrpc
from mantlet.wire.sse import SseSplitter, format_event

Change = Callable[[bytes], bytes | None]
"""Gives a message as it shall be, or None for one that stays as it is."""

MAX_EVENT_BYTES: Final = 67_108_864
"""Transports have bounds of their own, which are tighter."""
_NONE: Final = msgspec.Raw(b"")


class _Message(msgspec.Struct):
    id: msgspec.Raw = _NONE
    method: msgspec.Raw = _NONE
    params: msgspec.Raw = _NONE
    result: msgspec.Raw = _NONE
    error: msgspec.Raw = _NONE


_READ: Final = msgspec.json.Decoder(_Message)
_MEMBERS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode: Final = msgspec.json.Encoder().encode


def reissued(call: Call, identity: str) -> Call:
    """The same request under another id."""
    message = _READ.decode(call.body)
    raw_id = jsonrpc.raw_identifier(identity)
    params = b',"params":%b' % bytes(message.params) if message.params else b""
    body = b'{"jsonrpc":"2.0","id":%b,"method":%b%b}' % (raw_id, bytes(message.method), params)
    return replace(call, id=raw_id, body=body, message={**call.message, "id": identity})


def renamed(theirs: bytes, ours: bytes) -> Change:
    """What turns the answer to the raw id `theirs` into the answer to `ours`."""

    def change(data: bytes) -> bytes | None:
        message = _answer(data)
        if message is None or not _is_same(bytes(message.id), theirs):
            return None
        if message.error:
            return b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (ours, bytes(message.error))
        return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (ours, bytes(message.result))

    return change


def noted(key: str, note: object) -> Change:
    """What puts `note` under `key` into `_meta` of a result."""

    def change(data: bytes) -> bytes | None:
        message = _answer(data)
        if message is None or not message.result:
            return None
        try:
            result = _MEMBERS.decode(message.result)
            meta = _MEMBERS.decode(result["_meta"]) if "_meta" in result else {}
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        meta[key] = msgspec.Raw(_encode(note))
        result["_meta"] = msgspec.Raw(_encode(meta))
        return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (bytes(message.id), _encode(result))

    return change


def rewritten(reply: Reply, change: Change) -> Reply:
    """`reply` with `change` made to its one message, or to each on its stream."""
    body = reply.body
    if isinstance(body, bytes):
        return replace(reply, body=change(body) or body)
    return replace(reply, body=RewrittenStream(body, change))


class RewrittenStream(AsyncIterator[bytes]):
    """The events of `source`; a class, because closing a generator that was never started closes nothing behind it."""

    __slots__ = ("_change", "_source", "_splitter")

    def __init__(self, source: AsyncIterator[bytes], change: Change) -> None:
        self._source = source
        self._change = change
        self._splitter = SseSplitter(MAX_EVENT_BYTES)

    def __aiter__(self) -> "RewrittenStream":
        return self

    async def __anext__(self) -> bytes:
        while True:
            chunk = await anext(self._source)  # its end is ours
            try:
                events = self._splitter.feed(chunk)
            except Refusal:
                await self.aclose()
                raise
            passed: list[bytes] = []
            for event in events:
                changed = self._change(event.data) if event.data else None
                passed.append(event.raw if changed is None else format_event(changed, event.id))
            if passed:
                return b"".join(passed)

    async def aclose(self) -> None:
        """Give up the rest, and tell the source."""
        await aclose(self._source)


def _is_same(one: bytes, other: bytes) -> bool:
    """Equal bytes, or one string escaped in two ways."""
    return one == other or (one[:1] == other[:1] == b'"' and msgspec.json.decode(one) == msgspec.json.decode(other))


def _answer(data: bytes) -> _Message | None:
    try:
        message = _READ.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    is_answer = not message.method and bool(message.result) != bool(message.error)
    return message if is_answer and message.id else None
