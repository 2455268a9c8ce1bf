"""Bodies that are taken part by part: as they come, as far as they are wanted, in the bounds of who takes them."""

import asyncio

import pytest

from mantlet.core.call import Arrival, Reply
from mantlet.listeners.http.body import UNREAD_BYTES


class Taker:
    """Takes one part each time it may."""

    def __init__(self, max_bytes: int = 1_000_000) -> None:
        self.max_bytes = max_bytes
        self.parts: list[bytes] = []
        self.turns = asyncio.Semaphore(0)

    async def __call__(self, arrival: Arrival) -> Reply:
        incoming = arrival.incoming
        assert incoming is not None
        incoming.admit(self.max_bytes)
        while True:
            await self.turns.acquire()
            part = await incoming.part()
            self.parts.append(part)
            if not part:
                return Reply(200, [], b"%d" % sum(map(len, self.parts)))


@pytest.mark.parametrize("length", [b"Content-Length: 6", b"Transfer-Encoding: chunked"])
async def test_parts_come_as_they_are_sent(serve, length: bytes) -> None:
    taker = Taker()
    house = await serve(taker)
    client = await house.connect()
    client.send(b"POST / HTTP/1.1\r\n" + house.host + length + b"\r\n\r\n")
    is_chunked = b"chunked" in length
    for number, part in enumerate((b"abc", b"def")):
        client.send(b"3\r\n%b\r\n" % part if is_chunked else part)
        taker.turns.release()
        await house.until(lambda: len(taker.parts) == number + 1)  # noqa: B023
    if is_chunked:
        client.send(b"0\r\n\r\n")
    taker.turns.release()
    assert (await client.answer())[2] == b"6"
    assert taker.parts == [b"abc", b"def", b""]
    assert house.arrivals[0].incoming.length == (None if is_chunked else 6)
    client.send(house.post(b""))  # the connection is in step
    await house.until(lambda: len(house.arrivals) == 2)
    assert house.arrivals[1].incoming is None


async def test_who_does_not_take_is_not_sent_more(serve) -> None:
    """HTTP-06"""
    taker = Taker(max_bytes=50_000_000)
    house = await serve(taker, largest=50_000_000)
    client = await house.connect()
    client.send(b"POST / HTTP/1.1\r\n" + house.host + b"Content-Length: 40000000\r\n\r\n")

    async def push() -> None:
        for _ in range(40):
            client.writer.write(b"x" * 1_000_000)
            await client.writer.drain()

    pushing = asyncio.ensure_future(push())
    connection = next(iter(house.listener._door.guests))
    for _ in range(3):
        await house.until(lambda: connection._is_read_paused)
        assert not pushing.done()
        assert connection._body._held <= UNREAD_BYTES + 262_144
        before = len(taker.parts)
        taker.turns.release()
        await house.until(lambda: len(taker.parts) == before + 1)  # noqa: B023
        taker.turns.release()
        await house.until(lambda: len(taker.parts) == before + 2)  # noqa: B023
    while sum(map(len, taker.parts)) < 40_000_000 or taker.parts[-1]:
        taker.turns.release()
        await asyncio.sleep(0)
    await pushing
    assert (await client.answer())[2] == b"40000000"


@pytest.mark.parametrize(
    ("framing", "body"),
    [
        (b"Content-Length: 300001", b""),
        (b"Transfer-Encoding: chunked", b"493e1\r\n" + b"x" * 300_001),
    ],
)
async def test_more_than_is_admitted_is_too_much(serve, framing: bytes, body: bytes) -> None:
    """HTTP-06: whatever the listener would have taken."""
    taker = Taker(max_bytes=300_000)
    for _ in range(1000):
        taker.turns.release()
    house = await serve(taker, largest=1_000_000)
    client = await house.connect()
    client.send(b"POST / HTTP/1.1\r\n" + house.host + framing + b"\r\n\r\n" + body)
    status, headers, _ = await client.answer()
    assert (status, headers[b"connection"]) == (413, b"close")
    assert sum(map(len, taker.parts)) <= 300_000


@pytest.mark.parametrize("framing", [b"Content-Length: 2000", b"Transfer-Encoding: chunked"])
async def test_reading_whole_keeps_its_own_bound(serve, framing: bytes) -> None:
    """HTTP-06: that some path takes more is nothing to the others."""
    house = await serve(largest=1_000_000, max_body_bytes=1000)
    client = await house.connect()
    body = b"7d0\r\n" + b"x" * 2000 if b"chunked" in framing else b"x" * 2000
    client.send(b"POST / HTTP/1.1\r\n" + house.host + framing + b"\r\n\r\n" + body)
    assert (await client.answer())[0] == 413
    assert house.bodies == []
    assert (await house.ask(house.post(b"x" * 1000, b"Connection: close\r\n"))).startswith(b"HTTP/1.1 200")


async def test_a_length_beyond_everybodys_bound_is_refused_unasked(serve) -> None:
    """HTTP-06"""
    house = await serve(Taker(), largest=5000, max_body_bytes=1000)
    client = await house.connect()
    client.send(b"POST / HTTP/1.1\r\n" + house.host + b"Content-Length: 5001\r\n\r\n")
    assert (await client.answer())[0] == 413
    assert house.arrivals == []


async def test_taking_is_what_continues(serve) -> None:
    """RFC 9110 section 10.1.1"""
    taker = Taker()
    house = await serve(taker)
    client = await house.connect()
    client.send(b"POST / HTTP/1.1\r\n" + house.host + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n")
    await house.until(lambda: bool(house.arrivals))
    taker.turns.release()
    assert (await client.head())[0] == 100
    client.send(b"abc")
    taker.turns.release()
    assert (await client.answer())[2] == b"3"


@pytest.mark.parametrize("how", ["late", "malformed", "gone"])
async def test_a_body_that_breaks_off_breaks_off_who_takes_it(serve, how: str) -> None:
    """HTTP-04, HTTP-05"""
    taker = Taker()
    taker.turns.release()
    taker.turns.release()
    house = await serve(taker, body_timeout=5)
    client = await house.connect()
    client.send(b"POST / HTTP/1.1\r\n" + house.host + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    await house.until(lambda: taker.parts == [b"abc"])
    if how == "late":
        house.pass_s(6)
        assert (await client.answer())[0] == 408
    elif how == "malformed":
        client.send(b"zz\r\n")
        assert (await client.answer())[0] == 400
    else:
        client.reset()
        await house.until(lambda: not house.listener.connections())
    assert taker.parts == [b"abc"]


async def test_what_is_left_of_a_body_is_thrown_away_or_closes(serve) -> None:
    async def early(arrival: Arrival) -> Reply:
        assert arrival.incoming is not None
        await arrival.incoming.part()
        return Reply(200, [], b"enough")

    house = await serve(early, largest=10_000_000)
    client = await house.connect()
    client.send(b"POST / HTTP/1.1\r\n" + house.host + b"Content-Length: 10\r\n\r\nabc")
    assert (await client.answer())[2] == b"enough"
    client.send(b"defghij" + b"POST / HTTP/1.1\r\n" + house.host + b"Content-Length: 5000000\r\n\r\nabc")
    _, headers, body = await client.answer()
    assert (body, headers[b"connection"]) == (b"enough", b"close")


@pytest.mark.parametrize(
    ("verb", "reply", "length"),
    [
        (b"GET", Reply(200, [], b"abc"), b"3"),
        (b"HEAD", Reply(200, [], b"abc"), b"3"),
        (b"HEAD", Reply(200, [], b"", length=7), b"7"),
        (b"HEAD", Reply(200, [], b""), None),
        (b"HEAD", Reply(200, [], b"", origin="node"), b"0"),
        (b"HEAD", Reply(204, [], b"", length=7), None),
        (b"HEAD", Reply(304, [], b"", length=7), None),
        (b"GET", Reply(204, [], b""), None),
    ],
)
async def test_a_length_is_told_where_it_is_known(serve, verb: bytes, reply: Reply, length: bytes | None) -> None:
    """RFC 9110 section 8.6"""

    async def handler(_: Arrival) -> Reply:
        return reply

    house = await serve(handler)
    client = await house.connect()
    client.send(verb + b" / HTTP/1.1\r\n" + house.host + b"\r\n")
    _, headers = await client.head()
    assert headers.get(b"content-length") == length
    assert b"transfer-encoding" not in headers


@pytest.mark.parametrize("parts", [[b"abc"], [b"abc", b"defg"], []])
async def test_a_promised_length_that_is_not_kept_ends_the_connection(serve, parts: list[bytes]) -> None:
    """HTTP-04: the next answer would be taken for the rest of this one."""

    async def stream():
        for part in parts:
            yield part

    async def handler(_: Arrival) -> Reply:
        return Reply(200, [], stream(), length=6)

    house = await serve(handler)
    answer = await house.ask(house.get() + house.get())
    assert answer.count(b"HTTP/1.1 200") == 1
    assert len(answer.partition(b"\r\n\r\n")[2]) < 6
