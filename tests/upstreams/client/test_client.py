"""The client against servers that behave, and servers that misbehave in each way."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from mantlet.core.clock import SYSTEM
from mantlet.core.refusal import BadUpstream, DeadlineExceeded, Overloaded, Refusal, UpstreamUnavailable
from mantlet.upstreams.client import BodyStream, Bounds, HttpClient, Response, head, parse, prefix

OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
SSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"

MakeClient = Callable[..., HttpClient]


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@pytest.fixture
async def make_client() -> AsyncIterator[MakeClient]:
    clients: list[HttpClient] = []

    def make(port: int, **bounds: Any) -> HttpClient:
        endpoint = parse(f"http://127.0.0.1:{port}/mcp", is_plain_allowed=True)
        clients.append(HttpClient(endpoint, SYSTEM, bounds=Bounds(**bounds)))
        return clients[-1]

    yield make
    for client in clients:
        await client.close()


async def send(client: HttpClient, body: bytes = b"{}", *, verb: bytes = b"POST", timeout_s: float = 5.0) -> Response:
    start = prefix(verb, client.endpoint.target, client.endpoint.authority, [])
    message = head(start, [], None) if verb == b"GET" else head(start, [], len(body)) + body
    return await client.send(message, deadline_s=time.monotonic() + timeout_s, is_repeatable=verb == b"GET")


async def test_a_whole_answer_comes_with_status_headers_and_body(serve: Any, make_client: MakeClient) -> None:
    raw = await serve(b"HTTP/1.1 404 Not Found\r\nX-A:  b \r\ncontent-length: 3\r\n\r\nabc")
    response = await send(make_client(raw.port), b"hello")
    assert (response.status, response.body, response.headers.get(b"x-a")) == (404, b"abc", b"b")
    assert raw.requests[0].line == b"POST /mcp HTTP/1.1"
    assert raw.requests[0].body == b"hello"
    assert raw.requests[0].get(b"host") == b"127.0.0.1:%d" % raw.port


async def test_an_answer_in_single_bytes_is_the_same_answer(serve: Any, make_client: MakeClient) -> None:
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"ab") + chunk(b"cd") + b"0\r\n\r\n"

    async def dribble(_: Any, writer: asyncio.StreamWriter) -> None:
        for byte in answer:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)

    raw = await serve(dribble)
    client = make_client(raw.port)
    assert [(await send(client)).body for _ in range(3)] == [b"abcd"] * 3
    assert client.pool.opened == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
        b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 13\r\n\r\nuntil the end",
    ],
)
async def test_a_body_may_end_with_its_connection(serve: Any, make_client: MakeClient, answer: bytes) -> None:
    async def once(_: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    client = make_client((await serve(once)).port)
    assert (await send(client)).body == b"until the end"
    assert (await send(client)).body == b"until the end"
    assert client.pool.opened == 2


async def test_informational_answers_are_passed_over(serve: Any, make_client: MakeClient) -> None:
    raw = await serve(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK)
    client = make_client(raw.port)
    for _ in range(2):
        response = await send(client)
        assert response.status == 200
        assert b"link" not in response.headers
    assert client.pool.opened == 1


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"SSH-2.0-OpenSSH_9\r\n\r\n", id="not HTTP"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort", id="early close"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-le", id="early close in the head"),
        pytest.param(b"", id="close without an answer"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
            id="CL and TE",
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", id="coding"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}x", id="two lengths"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\n{}", id="negative length"),
        pytest.param(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n", id="bad chunk"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}", id="encoded"),
        pytest.param(b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", id="upgrade"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n\r\n", id="announced too large"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5000, id="too large without an announcement"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 101 + b"\r\n", id="too many headers"),
        pytest.param(b"HTTP/1.1 200 OK\r\na: " + b"b" * 80_000, id="endless header"),
        pytest.param(b"HTTP/1.1 200 OK\r\na: " + b"b" * 80_000 + b"\r\ncontent-length: 0\r\n\r\n", id="huge header"),
        pytest.param(b"HTTP/1.1 100 Continue\r\na: b\r\n\r\n" * 3000, id="endless informational"),
    ],
)
async def test_broken_and_boundless_answers_are_refused(serve: Any, make_client: MakeClient, answer: bytes) -> None:
    """EGR-04"""

    async def once(_: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    client = make_client((await serve(once)).port, max_answer_bytes=1000)
    with pytest.raises(BadUpstream):
        await send(client)
    assert client.pool.idle == 0


async def test_a_body_that_never_ends_is_cut_at_the_bound(serve: Any, make_client: MakeClient) -> None:
    """EGR-04"""

    async def endless(_: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            writer.write(chunk(b"x" * 1000))
            await writer.drain()

    raw = await serve(endless)
    with pytest.raises(BadUpstream):
        await send(make_client(raw.port, max_answer_bytes=100_000))
    await asyncio.wait_for(raw.gone.wait(), 5)


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"])
async def test_the_deadline_closes_the_connection(serve: Any, make_client: MakeClient, start: bytes) -> None:
    """RES-03"""

    async def hang(_: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        await asyncio.Event().wait()

    raw = await serve(hang)
    with pytest.raises(DeadlineExceeded):
        await send(make_client(raw.port), timeout_s=0.05)
    await asyncio.wait_for(raw.gone.wait(), 5)


async def test_an_earlier_calls_later_deadline_does_not_hold_the_next_ones(serve: Any, make_client: MakeClient) -> None:
    async def second_hangs(request: Any, writer: asyncio.StreamWriter) -> None:
        if request.body == b"hang":
            await asyncio.Event().wait()
        writer.write(OK)

    client = make_client((await serve(second_hangs)).port)
    await send(client, timeout_s=60)
    with pytest.raises(DeadlineExceeded):
        await send(client, b"hang", timeout_s=0.05)
    assert client.pool.opened == 1


async def test_cancelling_the_caller_closes_the_connection(serve: Any, make_client: MakeClient) -> None:
    """MCP-07"""
    started = asyncio.Event()

    async def hang(_: Any, writer: asyncio.StreamWriter) -> None:
        started.set()
        await asyncio.Event().wait()

    raw = await serve(hang)
    async with asyncio.TaskGroup() as group:
        call = group.create_task(send(make_client(raw.port)))
        await started.wait()
        call.cancel()
    await asyncio.wait_for(raw.gone.wait(), 5)


async def test_nothing_listens_there(make_client: MakeClient, unused_tcp_port: int) -> None:
    with pytest.raises(UpstreamUnavailable):
        await send(make_client(unused_tcp_port))


async def test_calls_in_turn_share_one_connection_and_calls_at_once_do_not(serve: Any, make_client: MakeClient) -> None:
    barrier = asyncio.Barrier(3)

    async def together(request: Any, writer: asyncio.StreamWriter) -> None:
        if request.body == b"together":
            await barrier.wait()
        writer.write(OK)

    raw = await serve(together)
    client = make_client(raw.port)
    for _ in range(20):
        await send(client)
    assert raw.connections == 1
    await asyncio.gather(*(send(client, b"together") for _ in range(3)))
    assert raw.connections == 3
    assert (client.pool.opened, client.pool.idle) == (3, 3)


async def test_connections_and_waiters_are_bounded(serve: Any, make_client: MakeClient) -> None:
    go = asyncio.Event()
    arrived = asyncio.Semaphore(0)

    async def gated(_: Any, writer: asyncio.StreamWriter) -> None:
        arrived.release()
        await go.wait()
        writer.write(OK)

    raw = await serve(gated)
    client = make_client(raw.port, max_connections=2, max_waiters=3)
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(send(client)) for _ in range(5)]
        await arrived.acquire()
        await arrived.acquire()
        with pytest.raises(Overloaded):
            await send(client)
        calls[4].cancel()  # makes room in the queue
        await asyncio.sleep(0)
        with pytest.raises(DeadlineExceeded):
            await send(client, timeout_s=0.01)
        go.set()
    assert [call.result().status for call in calls[:4]] == [200] * 4
    assert raw.connections == 2
    assert client.pool.waiting == 0


async def test_a_place_freed_by_failure_goes_to_a_waiter(serve: Any, make_client: MakeClient) -> None:
    async def drop_first(request: Any, writer: asyncio.StreamWriter) -> None:
        if request.connection == 1:
            writer.close()
        else:
            writer.write(OK)

    client = make_client((await serve(drop_first)).port, max_connections=1)
    outcomes = await asyncio.gather(*(send(client) for _ in range(3)), return_exceptions=True)
    assert [type(one) for one in outcomes] == [BadUpstream, Response, Response]


async def test_a_connection_closed_while_it_rested_is_replaced(serve: Any, make_client: MakeClient) -> None:
    """The only retry of a POST: nothing was written on the old connection."""

    async def close_after(_: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await writer.drain()
        writer.close()

    raw = await serve(close_after)
    client = make_client(raw.port)
    await send(client)
    await raw_gone(client)
    await send(client)
    assert len(raw.requests) == 2


async def raw_gone(client: HttpClient) -> None:
    while client.pool.idle:
        await asyncio.sleep(0.001)


@pytest.mark.parametrize(("verb", "requests"), [(b"POST", 2), (b"GET", 3)])
async def test_only_what_may_be_repeated_is_sent_again(
    serve: Any, make_client: MakeClient, verb: bytes, requests: int
) -> None:
    """RES-03: the server reads the second request on a kept connection and closes without an answer."""
    count = 0

    async def drop_second(_: Any, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        if count == 2:
            writer.close()
        else:
            writer.write(OK)

    raw = await serve(drop_second)
    client = make_client(raw.port)
    await send(client, verb=verb)
    if verb == b"GET":
        assert (await send(client, verb=verb)).status == 200
    else:
        with pytest.raises(BadUpstream):
            await send(client, verb=verb)
    assert len(raw.requests) == requests


@pytest.mark.parametrize(
    "extra", [b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil", b"garbage", b"HTTP/1.1 200 OK\r\nx: "]
)
async def test_bytes_after_the_answer_are_nobodys_answer(serve: Any, make_client: MakeClient, extra: bytes) -> None:
    raw = await serve(OK + extra)
    client = make_client(raw.port)
    for _ in range(3):
        assert (await send(client)).body == b"{}"
    assert client.pool.opened == 3


async def test_bytes_on_a_resting_connection_end_it(serve: Any, make_client: MakeClient) -> None:
    sent = asyncio.Event()
    later = asyncio.Event()
    writers = []

    async def unasked(_: Any, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(OK)
        sent.set()

    raw = await serve(unasked)
    client = make_client(raw.port)
    await send(client)
    assert client.pool.idle == 1
    writers[0].write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")
    await asyncio.wait_for(raw.gone.wait(), 5)
    assert client.pool.idle == 0
    assert (await send(client)).body == b"{}"
    later.set()


async def test_an_idle_connection_is_closed_in_time(serve: Any, make_client: MakeClient) -> None:
    raw = await serve(OK)
    client = make_client(raw.port, idle_timeout_s=0.02)
    await send(client)
    await asyncio.wait_for(raw.gone.wait(), 5)
    assert client.pool.open == 0


async def test_redirects_are_answers_like_others(serve: Any, make_client: MakeClient) -> None:
    """FWD-05, EGR-01"""
    raw = await serve(b"HTTP/1.1 307 Temporary\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n")
    response = await send(make_client(raw.port))
    assert response.status == 307
    assert len(raw.requests) == 1


async def test_event_streams_come_as_they_come(serve: Any, make_client: MakeClient) -> None:
    go = asyncio.Event()

    async def events(_: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(SSE + chunk(b"data: 1\n\n"))
        await go.wait()
        writer.write(chunk(b"data: 2\n\n") + b"0\r\n\r\n")

    client = make_client((await serve(events)).port)
    response = await send(client)
    assert isinstance(response.body, BodyStream)
    assert await anext(response.body) == b"data: 1\n\n"  # before the server has written more
    go.set()
    assert [part async for part in response.body] == [b"data: 2\n\n"]
    assert client.pool.idle == 1


async def test_a_stream_that_breaks_off_says_so(serve: Any, make_client: MakeClient) -> None:
    async def events(_: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(SSE + chunk(b"data: 1\n\n"))
        writer.close()

    response = await send(make_client((await serve(events)).port))
    assert isinstance(response.body, BodyStream)
    assert await anext(response.body) == b"data: 1\n\n"
    with pytest.raises(BadUpstream):
        await anext(response.body)


@pytest.mark.parametrize("way", ["aclose", "cancel"])
async def test_giving_up_a_stream_closes_the_connection(serve: Any, make_client: MakeClient, way: str) -> None:
    """MCP-07"""

    async def events(_: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(SSE + chunk(b"data: 1\n\n"))
        await asyncio.Event().wait()

    raw = await serve(events)
    response = await send(make_client(raw.port))
    stream = response.body
    assert isinstance(stream, BodyStream)
    await anext(stream)
    if way == "aclose":
        await stream.aclose()
    else:
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
    await asyncio.wait_for(raw.gone.wait(), 5)


async def test_silence_ends_a_stream_but_its_deadline_does_not(serve: Any, make_client: MakeClient) -> None:
    """MCP-07: the call's deadline is for the head; then the idle bound rules."""

    async def events(_: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(SSE)
        for _ in range(8):
            writer.write(chunk(b":\n"))
            await asyncio.sleep(0.05)
        await asyncio.Event().wait()

    client = make_client((await serve(events)).port, stream_idle_timeout_s=0.3)
    response = await send(client, timeout_s=0.2)
    assert isinstance(response.body, BodyStream)
    received = b""
    while len(received) < 16:
        received += await anext(response.body)
    assert received == b":\n" * 8
    with pytest.raises(DeadlineExceeded):
        await anext(response.body)


async def test_a_slow_reader_stops_the_server(serve: Any, make_client: MakeClient) -> None:
    """MCP-07: nothing grows here; the server's own buffers fill."""
    written = 0
    total = 64 * 1024 * 1024

    async def flood(_: Any, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(SSE)
        block = chunk(b"data: " + b"x" * 65_528 + b"\n\n")
        while written < total:
            writer.write(block)
            written += 65_536
            await writer.drain()
        writer.write(b"0\r\n\r\n")

    client = make_client((await serve(flood)).port)
    response = await send(client)
    stream = response.body
    assert isinstance(stream, BodyStream)
    before = -1
    while before != written:  # until the server can write no more
        before = written
        await asyncio.sleep(0.05)
    assert written < total / 2
    size = 0
    async for part in stream:
        size += len(part)
    assert size == total


async def test_many_callers_never_get_anothers_answer(serve: Any, make_client: MakeClient) -> None:
    """MCP-05: 64 at once over 16 connections, some cancelled in mid-flight."""

    async def echo(request: Any, writer: asyncio.StreamWriter) -> None:
        if int(request.body) % 3 == 0:
            await asyncio.sleep(0)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(request.body), request.body))

    client = make_client((await serve(echo)).port, max_connections=16)
    crossed = []

    async def caller(number: int) -> None:
        for turn in range(30):
            body = b"%d" % (number * 1000 + turn)
            call = asyncio.ensure_future(send(client, body))
            if turn % 7 == number % 7:
                for _ in range(number % 5):
                    await asyncio.sleep(0)
                call.cancel()
            try:
                response = await call
            except asyncio.CancelledError:
                continue
            if response.body != body:
                crossed.append((body, response.body))

    await asyncio.gather(*(caller(number) for number in range(64)))
    assert crossed == []
    assert client.pool.open <= 16
    assert client.pool.waiting == 0


async def test_closing_fails_calls_under_way_and_later_ones(serve: Any, make_client: MakeClient) -> None:
    started = asyncio.Event()

    async def hang(_: Any, writer: asyncio.StreamWriter) -> None:
        started.set()
        await asyncio.Event().wait()

    client = make_client((await serve(hang)).port)
    call = asyncio.ensure_future(send(client))
    await started.wait()
    await client.close()
    with pytest.raises(Refusal):
        await call
    with pytest.raises(UpstreamUnavailable):
        await send(client)
    assert client.pool.open == 0
