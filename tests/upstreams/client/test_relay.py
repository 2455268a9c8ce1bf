"""Requests whose bodies follow, and answers that are handed on as they come."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import uvloop

from mantlet.core.clock import SYSTEM
from mantlet.core.refusal import BadUpstream, DeadlineExceeded, PayloadTooLarge, Refusal
from mantlet.core.tasks import Tasks
from mantlet.upstreams.client import BodyStream, Bounds, HttpClient, Relay, Response, parse


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


class Coming:
    """A body whose parts a test puts there."""

    def __init__(self, length: int | None = None) -> None:
        self.length = length
        self.parts: asyncio.Queue[bytes | Exception] = asyncio.Queue()
        self.taken = 0
        self.was_cancelled = asyncio.Event()

    def admit(self, max_bytes: int) -> None:
        raise AssertionError

    async def part(self) -> bytes:
        try:
            part = await self.parts.get()
        except asyncio.CancelledError:
            self.was_cancelled.set()
            raise
        if isinstance(part, Exception):
            raise part
        self.taken += len(part)
        return part

    def put(self, *parts: bytes | Exception) -> None:
        for part in parts:
            self.parts.put_nowait(part)


class Raw:
    """A server that does what a test does with its streams."""

    def __init__(self) -> None:
        self.port = 0
        self.connections: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        self.writers: list[asyncio.StreamWriter] = []

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        self.connections.put_nowait((reader, writer))


@pytest.fixture
async def raw() -> AsyncIterator[Raw]:
    made = Raw()
    server = await asyncio.start_server(made.accept, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    for writer in made.writers:
        writer.transport.abort()
    server.close()


@pytest.fixture
async def world(raw: Raw) -> AsyncIterator["World"]:
    errors: list[BaseException] = []
    tasks = Tasks(errors.append)
    made = World(raw, tasks)
    async with asyncio.timeout(10):
        yield made
    await made.client.close()
    await tasks.close()
    assert errors == []


class World:
    def __init__(self, raw: Raw, tasks: Tasks) -> None:
        self.raw, self.tasks = raw, tasks
        self.client = self.make()

    def make(self, **bounds: Any) -> HttpClient:
        endpoint = parse(f"http://127.0.0.1:{self.raw.port}/", is_plain_allowed=True)
        self.client = HttpClient(endpoint, SYSTEM, bounds=Bounds(**bounds))
        return self.client

    def ask(self, verb: str = "GET", body: Coming | None = None, timeout_s: float = 5.0) -> "asyncio.Future[Response]":
        framing = ""
        if body is not None:
            framing = "transfer-encoding: chunked\r\n" if body.length is None else f"content-length: {body.length}\r\n"
        relay = Relay(self.tasks.start, body, is_head=verb == "HEAD")
        message = f"{verb} / HTTP/1.1\r\nhost: h\r\n{framing}\r\n".encode()
        return asyncio.ensure_future(self.client.send(message, deadline_s=time.monotonic() + timeout_s, relay=relay))

    async def answer(self, data: bytes, *, times: int = 1) -> list[asyncio.StreamReader]:
        """Answer with the same bytes, whatever is asked."""
        reader, writer = await self.raw.connections.get()
        for _ in range(times):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(data)
        return [reader]


async def all_of(body: bytes | BodyStream) -> bytes:
    return body if isinstance(body, bytes) else b"".join([part async for part in body])


@pytest.mark.parametrize("length", [None, 6])
async def test_a_body_follows_its_head_part_by_part(world: World, length: int | None) -> None:
    body = Coming(length)
    asking = world.ask("POST", body)
    reader, writer = await world.raw.connections.get()
    await reader.readuntil(b"\r\n\r\n")
    for part in (b"abc", b"def"):
        body.put(part)
        expected = b"3\r\n%b\r\n" % part if length is None else part
        assert await reader.readexactly(len(expected)) == expected
    body.put(b"")
    if length is None:
        assert await reader.readexactly(5) == b"0\r\n\r\n"
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
    response = await asking
    assert (response.status, await all_of(response.body)) == (200, b"ok")
    # in step: the connection is good for another
    again = world.ask()
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert ((await again).status, world.client.pool.opened) == (204, 1)


async def test_a_body_waits_for_a_server_that_does_not_read(world: World) -> None:
    body = Coming()
    asking = world.ask("POST", body)
    reader, writer = await world.raw.connections.get()
    await reader.readuntil(b"\r\n\r\n")
    part = b"x" * 262_144
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    for _ in range(400):
        body.put(part)
    before = -1
    while before != (before := body.taken):
        for _ in range(20):
            await asyncio.sleep(0.002)
    assert before < 400 * len(part)
    writer.transport.resume_reading()  # type: ignore[attr-defined]
    body.put(b"")
    while not (await reader.read(1_000_000)).endswith(b"0\r\n\r\n"):
        pass
    writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert (await asking).status == 204
    assert body.taken == 400 * len(part)


@pytest.mark.parametrize("error", [PayloadTooLarge(), ZeroDivisionError()])
async def test_a_body_that_breaks_off_breaks_its_request_off(world: World, error: Exception) -> None:
    body = Coming()
    asking = world.ask("POST", body)
    reader, _ = await world.raw.connections.get()
    body.put(b"abc", error)
    with pytest.raises(PayloadTooLarge if isinstance(error, Refusal) else BadUpstream):
        await asking
    assert not (await reader.read()).endswith(b"0\r\n\r\n")  # never what looks like its end


async def test_an_early_answer_is_heard_and_ends_the_body(world: World) -> None:
    body = Coming(1_000_000)
    asking = world.ask("POST", body)
    reader, writer = await world.raw.connections.get()
    body.put(b"abc")
    await reader.readuntil(b"abc")
    writer.write(b"HTTP/1.1 413 No\r\ncontent-length: 2\r\n\r\nno")
    response = await asking
    assert (response.status, await all_of(response.body)) == (413, b"no")
    await body.was_cancelled.wait()
    assert await reader.read() == b""  # the rest of the body would be taken for a request
    assert world.client.pool.open == 0


async def test_an_answer_may_begin_while_the_body_goes_on(world: World) -> None:
    body = Coming()
    asking = world.ask("POST", body)
    reader, writer = await world.raw.connections.get()
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    response = await asking
    assert isinstance(response.body, BodyStream)
    for part in (b"abc", b"def"):
        body.put(part)
        await reader.readuntil(part)
        writer.write(b"3\r\n%b\r\n" % part)
        assert await anext(response.body) == part
    body.put(b"")
    await reader.readuntil(b"0\r\n\r\n")
    writer.write(b"0\r\n\r\n")
    assert await all_of(response.body) == b""


@pytest.mark.parametrize("when", ["waiting", "streaming"])
async def test_who_gives_up_ends_the_body_and_the_connection(world: World, when: str) -> None:
    """RES-03"""
    body = Coming()
    asking = world.ask("POST", body)
    reader, writer = await world.raw.connections.get()
    await reader.readuntil(b"\r\n\r\n")
    if when == "waiting":
        asking.cancel()
        await asyncio.wait({asking})
    else:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc")
        response = await asking
        assert isinstance(response.body, BodyStream)
        assert await anext(response.body) == b"abc"
        await response.body.aclose()
    await body.was_cancelled.wait()
    assert await reader.read() == b""
    while len(world.tasks):
        await asyncio.sleep(0)


async def test_a_deadline_holds_while_a_body_is_sent(world: World) -> None:
    """RES-03"""
    body = Coming()
    asking = world.ask("POST", body, timeout_s=0.1)
    reader, _ = await world.raw.connections.get()
    with pytest.raises(DeadlineExceeded):
        await asking
    await body.was_cancelled.wait()
    await reader.read()


async def test_an_answer_that_comes_whole_is_whole(world: World) -> None:
    for head in (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", b"HTTP/1.1 404 No\r\ncontent-length: 2\r\n\r\nok",
                 b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"):  # fmt: skip
        client = world.make()
        asking = world.ask()
        await world.answer(head)
        assert (await asking).body == b"ok"
        await client.close()


async def test_an_answer_that_comes_in_parts_is_a_stream_with_its_length(world: World) -> None:
    asking = world.ask()
    reader, writer = await world.raw.connections.get()
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabc")
    response = await asking
    assert isinstance(response.body, BodyStream)
    assert response.headers.get(b"content-length") == b"6"
    assert await anext(response.body) == b"abc"
    writer.write(b"def")
    assert await anext(response.body) == b"def"
    assert await all_of(response.body) == b""
    assert world.client.pool.idle == 1


@pytest.mark.parametrize(
    "rest",
    [b"", b"ab", b"zz\r\n"],
)
async def test_a_stream_that_breaks_off_says_so(world: World, rest: bytes) -> None:
    asking = world.ask()
    reader, writer = await world.raw.connections.get()
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
    response = await asking
    assert isinstance(response.body, BodyStream)
    assert await anext(response.body) == b"abc"
    writer.write(rest)
    writer.close()
    with pytest.raises(BadUpstream):
        await all_of(response.body)


async def test_a_stream_beyond_its_bound_breaks_off(world: World) -> None:
    """EGR-04"""
    world.make(max_answer_bytes=5)
    asking = world.ask()
    reader, writer = await world.raw.connections.get()
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
    response = await asking
    writer.write(b"3\r\ndef\r\n")
    with pytest.raises(BadUpstream):
        await all_of(response.body)


HEADS = [
    b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n",
]


@pytest.mark.parametrize("head", HEADS)
async def test_an_answer_to_head_ends_with_its_head(world: World, head: bytes) -> None:
    """RFC 9112 section 6.3: and the connection is in step."""
    answering = asyncio.ensure_future(world.answer(head, times=3))
    for _ in range(3):
        response = await world.ask("HEAD")
        assert response.body == b""
    await answering
    assert (world.client.pool.opened, world.client.pool.idle) == (1, 1)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\n",
        b"HTTP/1.0 200 OK\r\ncontent-length: 3\r\n\r\n",
    ],
)
async def test_a_connection_out_of_step_is_not_used_again(world: World, head: bytes) -> None:
    """HTTP-04: a body after an answer to HEAD would be the next request's answer."""
    asking = world.ask("HEAD")
    (reader,) = await world.answer(head)
    assert (await asking).body == b""
    assert await reader.read() == b""
    assert world.client.pool.open == 0


async def test_trailers_are_nobodys(world: World) -> None:
    """FWD-05: what stands behind a body was not there when the head was judged."""
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n"
    asking = world.ask()
    await world.answer(head + b"location: /x\r\nset-cookie: a=b\r\n\r\n")
    response = await asking
    assert (response.body, response.headers.fields) == (b"ok", [(b"transfer-encoding", b"chunked")])
    world.make(max_headers=5)
    asking = world.ask()
    await world.answer(head + b"x: y\r\n" * 6 + b"\r\n")
    with pytest.raises(BadUpstream):
        await asking
