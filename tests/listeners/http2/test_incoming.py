"""Bodies on streams, part by part: a client has room for what was taken, and no more."""

import asyncio

from h2 import events
from h2.errors import ErrorCodes

from mantlet.core.call import Arrival, Reply
from mantlet.listeners.http2.engine import STREAM_BYTES


async def test_room_is_given_for_what_was_taken(serve2, connect) -> None:
    """HTTP-06"""
    turns, parts = asyncio.Semaphore(0), []

    async def handler(arrival: Arrival) -> Reply:
        assert arrival.incoming is not None
        assert arrival.incoming.length is None
        arrival.incoming.admit(10_000_000)
        while True:
            await turns.acquire()
            part = await arrival.incoming.part()
            parts.append(part)
            if not part:
                return Reply(200, [], b"%d" % sum(map(len, parts)))

    house = await serve2(handler, largest=10_000_000)
    client = await connect(house)
    stream = client.ask(client.fields("POST"), ends=False)
    sent = 0

    async def fill() -> None:
        nonlocal sent
        while room := min(client.h2.local_flow_control_window(stream), 16_384):
            client.h2.send_data(stream, b"x" * room)
            sent += room
            client.flush()
        client.h2.ping(b"12345678")
        client.flush()
        count = len(client.of(events.PingAckReceived))
        await client.until(lambda: len(client.of(events.PingAckReceived)) > count)

    await fill()
    assert sent == STREAM_BYTES
    assert not client.of(events.WindowUpdated, stream)
    turns.release()  # takes what is there
    await house.until(lambda: len(parts) == 1)
    assert not client.of(events.WindowUpdated, stream)
    turns.release()  # and asks for more
    await client.until(lambda: client.of(events.WindowUpdated, stream))
    await fill()
    assert sent > STREAM_BYTES
    client.h2.end_stream(stream)
    client.flush()
    for _ in range(100):
        turns.release()
    assert (await client.answer(stream))[2] == b"%d" % sent


async def test_a_request_without_a_body_has_none(serve2, connect) -> None:
    house = await serve2()
    client = await connect(house)
    await client.answer(client.ask())
    assert house.arrivals[0].incoming is None


async def test_bounds_are_those_of_who_takes_it(serve2, connect) -> None:
    """HTTP-06"""

    async def handler(arrival: Arrival) -> Reply:
        if arrival.path == "/whole":
            return Reply(200, [], b"%d" % len(await arrival.read()))
        assert arrival.incoming is not None
        arrival.incoming.admit(3000)
        size = 0
        while part := await arrival.incoming.part():
            size += len(part)
        return Reply(200, [], b"%d" % size)

    house = await serve2(handler, largest=5000, max_body_bytes=1000)
    for path, size, status in [
        ("/whole", 1000, 200),
        ("/whole", 1001, 413),
        ("/parts", 3000, 200),
        ("/parts", 3001, 413),
        ("/parts", 5001, 413),
    ]:
        for announced in (False, True):
            client = await connect(house)
            more = ((b"content-length", b"%d" % size),) if announced else ()
            stream = client.ask(client.fields("POST", path, more), b"x" * size)
            assert (await client.head(stream))[0] == status, (path, size, announced)


async def test_a_streams_length_is_told_where_it_is_known(serve2, connect) -> None:
    async def drip():
        yield b"abc"
        yield b"def"

    async def handler(arrival: Arrival) -> Reply:
        return Reply(200, [], drip(), length=6) if arrival.verb == "GET" else Reply(200, [], b"", length=6)

    house = await serve2(handler)
    client = await connect(house)
    status, headers, body = await client.answer(client.ask())
    assert (status, headers[b"content-length"], body) == (200, b"6", b"abcdef")
    status, headers, body = await client.answer(client.ask(client.fields("HEAD")))
    assert (status, headers[b"content-length"], body) == (200, b"6", b"")


async def test_a_promised_length_that_is_not_kept_resets_the_stream(serve2, connect) -> None:
    async def drip():
        yield b"abc"

    async def handler(_: Arrival) -> Reply:
        return Reply(200, [], drip(), length=6)

    house = await serve2(handler)
    client = await connect(house)
    assert await client.reset_of(client.ask()) == ErrorCodes.INTERNAL_ERROR
