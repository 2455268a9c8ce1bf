"""A caller's call made the cache's own, and its reply given back.

What is fetched for many must not be anybody's: under an id of the caller's, its `notifications/cancelled` would cancel
the answer of all who wait. So the call goes on under an id that no client knows.
"""

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from typing import Final

import msgspec

from mantlet.core.call import Call, Hints, Reply
from mantlet.core.headers import JSON
from mantlet.core.refusal import BadUpstream
from mantlet.core.stream import Derived, aclose
from mantlet.wire import jsonrpc
from mantlet.wire.sse import Event, SseSplitter, format_event

MAX_EVENT_BYTES: Final = 4 * 1024 * 1024
END_S: Final = 0.05
"""How long a stream that has said its answer is given to end by itself, so that its connection can be used again."""
_count: Final = itertools.count(1)

Raw = msgspec.Raw
_MESSAGE: Final = msgspec.json.Decoder(dict[str, Raw])
_encode: Final = msgspec.json.Encoder().encode


def as_own(call: Call) -> Call:
    """`call` under an id and with a trail of its own: its caller's may be closed before it ends."""
    own = f"mantlet-cache-{call.trail.request_id}-{next(_count):x}"
    raw_id = jsonrpc.raw_identifier(own)
    message = {**call.message, "id": own}
    trail = replace(call.trail, notes={}, rpc_id=raw_id)
    arrival = replace(call.arrival, trail=trail)
    return replace(call, arrival=arrival, message=message, body=jsonrpc.encode(message), id=raw_id, hints=Hints())


def given_back(reply: Reply, own: bytes, raw_id: bytes) -> Reply:
    """`reply` to the call that was sent as `own`, as one to the request `raw_id`."""
    if isinstance(reply.body, bytes):
        reply.body = _renamed(reply.body, own, raw_id)
    else:
        reply.body = Derived(_renamed_events(reply.body, own, raw_id), reply.body)
    return reply


async def whole(reply: Reply) -> Reply:
    """`reply` with its body whole, where its stream says the answer and nothing else; else as it streams.

    Servers may answer any request with a stream (2026-07-28, Streamable HTTP). One that says more than the answer is
    for who asked. Raises `BadUpstream` when it ends without saying anything.
    """
    if isinstance(reply.body, bytes):
        return reply
    chunks, splitter, before = reply.body, SseSplitter(MAX_EVENT_BYTES), list[bytes]()
    source = aiter(chunks)
    try:
        async for chunk in source:
            events = splitter.feed(chunk)
            first = next((number for number, event in enumerate(events) if event.data), None)
            if first is None:
                before += [event.raw for event in events]
                continue
            if _is_answer(events[first]) and not any(event.data for event in events[first + 1 :]):
                await _ended(source, chunks)
                headers = [field for field in reply.headers if field[0] != b"content-type"]
                return Reply(reply.status, [*headers, JSON], events[first].data, reply.origin)
            before += [event.raw for event in events]
            reply.body = Derived(_rest(before, source, splitter), chunks)
            return reply
    except BaseException:
        await aclose(chunks)
        raise
    await aclose(chunks)
    raise BadUpstream(why="the stream ended without an answer")


async def _rest(
    before: list[bytes], source: AsyncIterator[bytes], splitter: SseSplitter
) -> AsyncGenerator[bytes, None]:
    yield b"".join(before)
    async for chunk in source:
        # Through the splitter that holds the beginning of what comes next.
        if raw := b"".join([event.raw for event in splitter.feed(chunk)]):
            yield raw


async def _ended(source: AsyncIterator[bytes], chunks: AsyncIterator[bytes]) -> None:
    try:
        async with asyncio.timeout(END_S):
            async for _ in source:
                pass
    except TimeoutError:
        pass
    await aclose(chunks)


def _is_answer(event: Event) -> bool:
    members = _members(event.data)
    return members is not None and "method" not in members and ("result" in members or "error" in members)


def _members(data: bytes) -> dict[str, Raw] | None:
    try:
        return _MESSAGE.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _renamed(body: bytes, own: bytes, raw_id: bytes) -> bytes:
    if own not in body:
        return body
    members = _members(body)
    if members is None or "method" in members or bytes(members.get("id", b"")) != own:
        return body
    members["id"] = Raw(raw_id)
    return _encode(members)


async def _renamed_events(chunks: AsyncIterator[bytes], own: bytes, raw_id: bytes) -> AsyncGenerator[bytes, None]:
    splitter = SseSplitter(MAX_EVENT_BYTES)
    async for chunk in chunks:
        for event in splitter.feed(chunk):
            data = _renamed(event.data, own, raw_id)
            yield event.raw if data is event.data else format_event(data, event.id)
