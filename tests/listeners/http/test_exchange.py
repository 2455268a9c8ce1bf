"""One request and its answer: bodies, streams, pipelining, backpressure, cancellation."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from mantlet.core.call import Arrival, Reply
from mantlet.core.refusal import Denied

SECURITY = {
    b"x-content-type-options": b"nosniff",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"referrer-policy": b"no-referrer",
    b"vary": b"Origin",
    b"cache-control": b"no-store",
}


async def test_a_request_arrives_as_it_was_sent(serve) -> None:
    house = await serve()
    client = await house.connect()
    client.send(
        house.post(
            b'{"a": 1}',
            b"X-Custom:  spaced\t \r\nX-Request-Id: mine\r\n"
            b"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n",
            b"/mcp/caf%C3%A9?a=%2F",
        )
    )
    status, headers, body = await client.answer()
    assert (status, body) == (200, b'{"a": 1}')
    arrival = house.arrivals[0]
    assert (arrival.verb, arrival.path, arrival.query) == ("POST", "/mcp/café", b"a=%2F")
    assert arrival.headers.get(b"x-custom") == b"spaced"
    assert (arrival.peer, arrival.is_tls, arrival.deadline_s) == ("127.0.0.1", False, 1060.0)
    assert arrival.trail.trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert arrival.trail.client_request_id == "mine"
    assert headers[b"x-request-id"] == b"id-1"


async def test_a_thousand_requests_on_one_connection(serve) -> None:
    house = await serve()
    client = await house.connect()
    for number in range(1000):
        client.send(house.post(b"%d" % number))
        assert (await client.answer())[2] == b"%d" % number
    (info,) = house.listener.connections()
    assert (info.requests, info.in_flight) == (1000, False)


async def test_pipelined_requests_are_answered_in_order_one_at_a_time(serve) -> None:
    running = 0

    async def handler(arrival: Arrival) -> Reply:
        nonlocal running
        running += 1
        assert running == 1
        await asyncio.sleep(0)
        body = await arrival.read()
        running -= 1
        return Reply(200, [], arrival.path.encode() + body)

    house = await serve(handler)
    client = await house.connect()
    client.send(b"".join(house.post(b"x" * n, path=b"/%d" % n) for n in range(200)))
    for n in range(200):
        assert (await client.answer())[2] == b"/%d" % n + b"x" * n


async def test_what_is_sent_ahead_is_bounded(serve) -> None:
    """HTTP-06: a client that pipelines without end is left unread, and served on when its turn comes."""
    gate = asyncio.Event()

    async def handler(arrival: Arrival) -> Reply:
        await gate.wait()
        return Reply(200, [], b"ok")

    house = await serve(handler)
    client = await house.connect()
    wanted = 100_000
    client.send(house.get() * wanted)
    (connection,) = house.listener._door.guests
    await house.until(lambda: connection._is_read_paused)
    assert len(connection._ahead.buffer) < 65536 + 262144 + 1
    gate.set()
    for _ in range(3000):
        assert (await client.answer())[0] == 200


async def test_what_is_sent_ahead_stays_bounded_while_it_is_being_answered(serve) -> None:
    """HTTP-06: each answered request made room for one more read, however much was waiting already."""
    largest = 0

    async def handler(arrival: Arrival) -> Reply:
        nonlocal largest
        (connection,) = house.listener._door.guests
        largest = max(largest, len(connection._ahead.buffer))
        await asyncio.sleep(0)
        return Reply(200, [], b"ok")

    house = await serve(handler)
    client = await house.connect()
    wanted = 60_000
    client.send(house.get() * wanted)
    for _ in range(3000):
        assert (await client.answer())[0] == 200
    assert largest < 65536 + 262144 + 1
    (connection,) = house.listener._door.guests
    client.reset()
    await house.until(lambda: connection._is_lost)
    assert not connection._ahead.buffer


@pytest.mark.parametrize("step", [1, 3, 1000])
async def test_a_chunked_body_is_whole_however_it_is_cut(serve, step: int) -> None:
    house = await serve()
    client = await house.connect()
    data = (
        b"POST / HTTP/1.1\r\n" + house.host + b"Transfer-Encoding: chunked\r\n\r\n4\r\nWiki\r\n5\r\npedia\r\n0\r\n\r\n"
    )
    for at in range(0, len(data), step):
        client.send(data[at : at + step])
        await asyncio.sleep(0)
    assert (await client.answer())[2] == b"Wikipedia"
    client.send(house.post(b"next"))
    assert (await client.answer())[2] == b"next"


async def test_an_expected_100_is_sent_when_the_body_is_read(serve) -> None:
    house = await serve()
    client = await house.connect()
    client.send(b"POST / HTTP/1.1\r\n" + house.host + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n")
    assert (await client.head())[0] == 100
    client.send(b"hello")
    assert (await client.answer())[::2] == (200, b"hello")


async def test_no_100_for_a_refused_call(serve) -> None:
    async def handler(arrival: Arrival) -> Reply:
        raise Denied

    house = await serve(handler)
    client = await house.connect()
    client.send(b"POST / HTTP/1.1\r\n" + house.host + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n")
    status, headers, _ = await client.answer()
    assert (status, headers[b"connection"]) == (403, b"close")
    assert await client.rest() == b""


async def test_a_small_unread_body_is_drained_and_a_large_one_ends_the_connection(serve) -> None:
    async def handler(arrival: Arrival) -> Reply:
        return Reply(202, [])

    house = await serve(handler)
    client = await house.connect()
    client.send(b"POST / HTTP/1.1\r\n" + house.host + b"Content-Length: 5\r\n\r\n")
    assert (await client.answer())[0] == 202
    client.send(
        b"hello" + house.post(b"whole") + b"POST / HTTP/1.1\r\n" + house.host + b"Content-Length: 500000\r\n\r\n"
    )
    assert (await client.answer())[0] == 202
    status, headers, _ = await client.answer()
    assert (status, headers[b"connection"]) == (202, b"close")
    assert await client.rest() == b""


async def test_a_large_unread_body_is_not_gathered(serve) -> None:
    """HTTP-06: until the path asks for a body, no more than a small part of it is taken in."""
    gate = asyncio.Event()

    async def handler(arrival: Arrival) -> Reply:
        await gate.wait()
        return Reply(200, [], b"%d" % len(await arrival.read()))

    house = await serve(handler)
    client = await house.connect()
    client.send(house.post(b"x" * 1_000_000))
    (connection,) = house.listener._door.guests
    await house.until(lambda: connection._is_read_paused)
    assert connection._body._size < 65536 + 262144 + 1
    gate.set()
    assert (await client.answer())[2] == b"1000000"


async def test_an_unexpected_error_is_one_generic_500_and_the_next_request_works(serve) -> None:
    """ERR-02"""

    async def handler(arrival: Arrival) -> Reply:
        if arrival.path == "/boom":
            raise ZeroDivisionError("secret detail")
        return Reply(200, [], b"fine")

    house = await serve(handler)
    client = await house.connect()
    client.send(house.get(b"/boom"))
    status, _, body = await client.answer()
    assert status == 500
    assert b"secret" not in body
    assert b"id-1" in body
    assert [type(error) for error in house.errors] == [ZeroDivisionError]
    client.send(house.get())
    assert (await client.answer())[2] == b"fine"


@pytest.mark.parametrize(
    "field",
    [
        (b"x-evil", b"a\r\nset-cookie: b"),
        (b"x-evil", b"a\nb"),
        (b"x\r\ny", b"a"),
        (b"x-evil", b"a\x00"),
        (b"x", b"a\rb"),
    ],
)
async def test_a_reply_that_would_split_is_not_sent(serve, field: tuple[bytes, bytes]) -> None:
    """HTTP-04: a name or value with a line end from upstream becomes a 500, whole or streamed."""

    async def stream() -> AsyncIterator[bytes]:
        yield b"x"

    async def handler(arrival: Arrival) -> Reply:
        return Reply(200, [field], stream() if arrival.path == "/s" else b"x")

    house = await serve(handler)
    client = await house.connect()
    for path in (b"/", b"/s"):
        client.send(house.get(path))
        status, headers, _ = await client.answer()
        assert status == 500
        assert b"set-cookie" not in headers


async def test_every_answer_carries_the_same_security_fields(serve) -> None:
    """HTTP-11: on 200, 4xx, 5xx, stream start, and on errors below the framework."""

    async def stream() -> AsyncIterator[bytes]:
        yield b"x"

    async def handler(arrival: Arrival) -> Reply:
        if arrival.path == "/boom":
            raise ZeroDivisionError
        if arrival.path == "/deny":
            raise Denied
        hostile = [(name, b"upstream") for name in SECURITY if name not in (b"cache-control", b"vary")]
        return Reply(
            200, [*hostile, (b"server", b"x/1"), (b"x-powered-by", b"y")], stream() if arrival.path == "/s" else b""
        )

    house = await serve(handler)
    for request in (
        house.get(),
        house.get(b"/s"),
        house.get(b"/boom"),
        house.get(b"/deny"),
        house.get(fields=b"A : b\r\n"),
        house.get(fields=b"Origin: null\r\n"),
        b"\x00",
    ):
        client = await house.connect()
        client.send(request)
        _, headers = await client.head()
        assert {name: headers.get(name) for name in SECURITY} == SECURITY
        assert not {b"server", b"x-powered-by", b"strict-transport-security"} & set(headers)
        assert headers[b"x-request-id"].startswith(b"id-")
        assert headers[b"date"].endswith(b" GMT")


async def test_a_reply_may_declare_itself_cacheable_and_own_pages_bring_their_policy(serve) -> None:
    async def handler(arrival: Arrival) -> Reply:
        return Reply(
            200,
            [(b"cache-control", b"max-age=60"), (b"content-security-policy", b"default-src 'self'")],
            b"x",
            origin="node",
        )

    house = await serve(handler)
    client = await house.connect()
    client.send(house.get())
    _, headers, _ = await client.answer()
    assert headers[b"cache-control"] == b"max-age=60"
    assert headers[b"content-security-policy"] == b"default-src 'self'"


async def test_framing_fields_of_a_reply_are_ours(serve) -> None:
    """HTTP-04: an upstream cannot frame our answer nor close our connection."""

    async def handler(arrival: Arrival) -> Reply:
        return Reply(
            200, [(b"content-length", b"99"), (b"transfer-encoding", b"chunked"), (b"connection", b"close")], b"abc"
        )

    house = await serve(handler)
    client = await house.connect()
    for _ in range(2):
        client.send(house.get())
        _, headers, body = await client.answer()
        assert body == b"abc"
        assert b"connection" not in headers
        assert b"transfer-encoding" not in headers


async def test_a_head_request_and_bodiless_statuses_have_no_body(serve) -> None:
    closed = []

    async def stream() -> AsyncIterator[bytes]:
        try:
            yield b"never"
        finally:
            closed.append(True)

    async def handler(arrival: Arrival) -> Reply:
        if arrival.path == "/204":
            return Reply(204, [], b"ignored")
        return Reply(200, [], stream() if arrival.path == "/s" else b"four")

    house = await serve(handler)
    client = await house.connect()
    client.send(
        b"HEAD / HTTP/1.1\r\n" + house.host + b"\r\nHEAD /s HTTP/1.1\r\n" + house.host + b"\r\n" + house.get(b"/204")
    )
    _, headers = await client.head()
    assert headers[b"content-length"] == b"4"
    await client.head()
    status, headers = await client.head()
    assert status == 204
    assert b"content-length" not in headers
    client.send(house.get())
    assert (await client.answer())[2] == b"four"


async def test_a_stream_is_sent_as_it_comes(serve) -> None:
    """The head is read before the first chunk exists, the first chunk before the second does."""
    steps = [asyncio.Event() for _ in range(3)]

    async def stream() -> AsyncIterator[bytes]:
        for number, step in enumerate(steps):
            await step.wait()
            yield b"chunk %d" % number
            yield b""

    async def handler(arrival: Arrival) -> Reply:
        return Reply(200, [(b"content-type", b"text/event-stream")], stream())

    house = await serve(handler)
    client = await house.connect()
    client.send(house.get())
    _, headers = await client.head()
    assert headers[b"transfer-encoding"] == b"chunked"
    for number, step in enumerate(steps):
        step.set()
        assert await client.chunk() == b"chunk %d" % number
    assert await client.chunk() == b""
    client.send(house.get())
    assert (await client.head())[0] == 200


async def test_an_http_1_0_client_gets_a_stream_until_the_end(serve) -> None:
    async def stream() -> AsyncIterator[bytes]:
        yield b"one "
        yield b"two"

    async def handler(arrival: Arrival) -> Reply:
        return Reply(200, [], stream())

    house = await serve(handler)
    answer = await house.ask(b"GET / HTTP/1.0\r\n" + house.host + b"Connection: keep-alive\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert body == b"one two"
    assert b"transfer-encoding" not in head
    assert b"connection: close" in head


async def test_http_1_0_keeps_alive_only_when_asked(serve) -> None:
    house = await serve()
    client = await house.connect()
    client.send(b"GET / HTTP/1.0\r\n" + house.host + b"Connection: keep-alive\r\n\r\n")
    _, headers, _ = await client.answer()
    assert headers[b"connection"] == b"keep-alive"
    client.send(b"GET / HTTP/1.0\r\n" + house.host + b"\r\n")
    assert (await client.rest()).startswith(b"HTTP/1.1 200")


async def test_a_slow_reader_holds_the_source_back(serve) -> None:
    """Memory stays bounded: the stream is asked for no more than the socket and one buffer hold."""
    made = 0
    ended = asyncio.Event()

    async def stream() -> AsyncIterator[bytes]:
        nonlocal made
        try:
            while True:
                made += 1
                yield b"x" * 65536
        finally:
            ended.set()

    async def handler(arrival: Arrival) -> Reply:
        return Reply(200, [], stream())

    house = await serve(handler)
    client = await house.connect(limit=1024)
    client.send(house.get())
    await client.head()
    (connection,) = house.listener._door.guests
    await house.until(lambda: connection.is_write_paused)
    before = made
    for _ in range(100):
        await asyncio.sleep(0)
    assert made <= before + 1
    assert connection._transport.get_write_buffer_size() < 400_000
    house.pass_s(31)  # and it is not waited for without end (HTTP-05)
    async with asyncio.timeout(10):
        await ended.wait()
    await house.until(lambda: not house.listener.connections())


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_client_that_leaves_cancels_its_work(serve, how: str) -> None:
    """MCP-07"""
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def handler(arrival: Arrival) -> Reply:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError

    house = await serve(handler)
    client = await house.connect()
    client.send(house.post(b"x"))
    await started.wait()
    getattr(client, how)()
    async with asyncio.timeout(10):
        await cancelled.wait()
    await house.until(lambda: not house.listener.connections())
    assert house.errors == []


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_client_that_leaves_a_stream_closes_its_source(serve, how: str) -> None:
    """MCP-07: also while no chunk is due."""
    closed = asyncio.Event()

    async def stream() -> AsyncIterator[bytes]:
        try:
            yield b"first"
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            closed.set()

    async def handler(arrival: Arrival) -> Reply:
        return Reply(200, [], stream())

    house = await serve(handler)
    client = await house.connect()
    client.send(house.get())
    await client.head()
    await client.chunk()
    getattr(client, how)()
    async with asyncio.timeout(10):
        await closed.wait()


async def test_a_stream_that_fails_is_cut_not_ended(serve) -> None:
    """A truncated answer must look truncated: no last chunk."""

    async def stream() -> AsyncIterator[bytes]:
        yield b"first"
        raise ZeroDivisionError

    async def handler(arrival: Arrival) -> Reply:
        return Reply(200, [], stream())

    house = await serve(handler)
    answer = await house.ask(house.get())
    assert not answer.endswith(b"0\r\n\r\n")
    assert [type(error) for error in house.errors] == [ZeroDivisionError]


async def test_the_listener_answers_preflights_itself(serve) -> None:
    """HTTP-12"""
    house = await serve(cors_origins=("https://app.example",))
    client = await house.connect()
    ask = (
        b"Origin: https://app.example\r\nAccess-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: %b\r\n"
    )
    head = b"OPTIONS /mcp HTTP/1.1\r\n" + house.host
    client.send(head + ask % b"mcp-method" + b"\r\n" + head + ask % b"cookie" + b"\r\n")
    status, headers, _ = await client.answer()
    assert (status, headers[b"access-control-allow-origin"]) == (204, b"https://app.example")
    status, headers, _ = await client.answer()
    assert status == 403
    assert not [name for name in headers if name.startswith(b"access-control-allow")]
    assert house.arrivals == []
    client.send(house.get(fields=b"Origin: https://app.example\r\n"))
    status, headers, _ = await client.answer()
    assert (status, headers[b"access-control-allow-origin"]) == (200, b"https://app.example")


async def test_the_peer_comes_from_trusted_proxies_only(serve) -> None:
    """HTTP-09"""
    house = await serve()
    client = await house.connect()
    client.send(house.get(fields=b"X-Forwarded-For: 6.6.6.6\r\n"))
    await client.answer()
    assert house.arrivals[-1].peer == "127.0.0.1"
    house = await serve(trusted_proxies=("127.0.0.0/8",))
    client = await house.connect()
    client.send(house.get(fields=b"X-Forwarded-For: 6.6.6.6, 192.0.2.9\r\n"))
    await client.answer()
    assert house.arrivals[-1].peer == house.arrivals[-1].trail.peer == "192.0.2.9"
