"""The client over HTTP/2: against our own listener, and against a server that does what it is told (EGR-04, TLS-03)."""

import asyncio
import base64
import contextlib
import itertools
import ssl
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.settings import SettingCodes, Settings

from mantlet.core.call import Arrival, Reply
from mantlet.core.clock import SYSTEM
from mantlet.core.refusal import BadUpstream, DeadlineExceeded, Overloaded, UpstreamUnavailable
from mantlet.core.tasks import Tasks
from mantlet.keys.certificates import make_authority, make_server
from mantlet.listeners.http import HttpConfig, TlsConfig, listen
from mantlet.upstreams.client import BodyStream, Bounds, HttpClient, Response, head, parse, prefix
from mantlet.upstreams.client import TlsConfig as ClientTls
from mantlet.wire.answer import refused
from mantlet.wire.http2.frames import goaway

OK = [(b":status", b"200"), (b"content-type", b"application/json")]
SSE = [(b":status", b"200"), (b"content-type", b"text/event-stream")]
PATIENCE_S = 10.0


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder: Path = tmp_path_factory.mktemp("http2")
    now = datetime.now(UTC)
    root = make_authority("test", 9, now)
    made = make_server(root, ["localhost"], 5, now)
    for name, text in (("ca.pem", root.certificate), ("s.pem", made.certificate), ("s.key", made.key)):
        (folder / name).write_text(text)
    return {"ca": str(folder / "ca.pem"), "cert_file": str(folder / "s.pem"), "key_file": str(folder / "s.key")}


MakeClient = Callable[..., HttpClient]


@pytest.fixture
async def make_client(pair: dict[str, str]) -> AsyncIterator[MakeClient]:
    clients: list[HttpClient] = []

    def make(port: int, pins: Any = (), **bounds: Any) -> HttpClient:
        endpoint = parse(f"https://localhost:{port}/mcp?a=b", is_plain_allowed=False)
        tls = ClientTls(ca_file=pair["ca"], pins=list(pins))
        clients.append(HttpClient(endpoint, SYSTEM, bounds=Bounds(**bounds), tls=tls, http2=True, resolve=loopback))
        return clients[-1]

    yield make
    for client in clients:
        await client.close()


async def loopback(host: str, port: int) -> tuple[str, ...]:
    return ("127.0.0.1",)


async def send(
    client: HttpClient, body: bytes = b"{}", *, verb: bytes = b"POST", timeout_s: float = PATIENCE_S, **more: Any
) -> Response:
    start = prefix(verb, client.endpoint.target, client.endpoint.authority, [(b"x-a", b"b: c")])
    message = head(start, [], None) if verb == b"GET" else head(start, [], len(body)) + body
    repeatable = more.get("is_repeatable", verb == b"GET")
    return await client.send(message, deadline_s=time.monotonic() + timeout_s, is_repeatable=repeatable)


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0)


# --- our own listener -----------------------------------------------------------------------------------------------


@pytest.fixture
async def house(pair: dict[str, str]) -> AsyncIterator[Callable[..., Any]]:
    opened: list[Any] = []

    async def open_house(handler: Any, *, http2: bool = True, **config: Any) -> Any:
        tasks, ids = Tasks(lambda error: None), itertools.count()

        async def refuse(trail: Any, refusal: Any) -> Reply:
            return refused(refusal, trail)

        listener = await listen(
            HttpConfig(
                port=0, http2=http2, tls=TlsConfig(cert_file=pair["cert_file"], key_file=pair["key_file"]), **config
            ),
            handler,
            refuse=refuse,
            clock=SYSTEM,
            tasks=tasks,
            new_id=lambda: str(next(ids)),
            on_error=lambda error, trail: None,
        )
        opened.append((listener, tasks))
        return listener

    yield open_house
    for listener, tasks in opened:
        await listener.close()
        await tasks.close()


async def echo(arrival: Arrival) -> Reply:
    return Reply(200, [(b"content-type", b"application/json")], await arrival.read())


async def test_many_calls_share_a_connection(house: Any, make_client: MakeClient) -> None:
    seen: list[Arrival] = []

    async def handler(arrival: Arrival) -> Reply:
        seen.append(arrival)
        return await echo(arrival)

    listener = await house(handler)
    client = make_client(listener.port)
    bodies = [b"%d" % number * 1000 for number in range(60)]
    answers = await asyncio.gather(*(send(client, body) for body in bodies))
    assert [answer.body for answer in answers] == bodies
    assert len(listener.connections()) == 1
    assert client.pool.opened == 0
    assert (seen[0].path, seen[0].query, seen[0].headers.get(b"x-a")) == ("/mcp", b"a=b", b"b: c")
    assert seen[0].headers.get(b"host") == b"localhost:%d" % listener.port


async def test_large_bodies_flow_both_ways(house: Any, make_client: MakeClient) -> None:
    client = make_client((await house(echo, max_body_bytes=3_000_000)).port)
    body = bytes(range(256)) * 10_000
    assert (await send(client, body)).body == body
    assert (await asyncio.gather(*(send(client, body) for _ in range(3))))[2].body == body


async def test_a_server_that_offers_no_http_2_is_spoken_to_in_http_1(house: Any, make_client: MakeClient) -> None:
    listener = await house(echo, http2=False)
    client = make_client(listener.port)
    assert [(await send(client)).body for _ in range(3)] == [b"{}"] * 3
    assert client.pool.opened == 1


async def test_a_stream_comes_as_it_comes_and_closing_it_cancels_its_work(house: Any, make_client: MakeClient) -> None:
    ended = asyncio.Event()

    async def events_of() -> AsyncIterator[bytes]:
        try:
            for number in itertools.count():
                yield b"data: %d\n\n" % number
                if number > 2:
                    await asyncio.Event().wait()
        finally:
            ended.set()

    async def handler(arrival: Arrival) -> Reply:
        if arrival.verb == "GET":
            return Reply(200, [(b"content-type", b"text/event-stream")], events_of())
        return await echo(arrival)

    listener = await house(handler)
    client = make_client(listener.port)
    response = await send(client, verb=b"GET")
    assert isinstance(response.body, BodyStream)
    assert await anext(response.body) == b"data: 0\n\n"
    assert (await send(client)).body == b"{}"
    await response.body.aclose()
    async with asyncio.timeout(PATIENCE_S):
        await ended.wait()
    assert (await send(client)).body == b"{}"
    assert len(listener.connections()) == 1


async def test_a_slow_reader_holds_back_its_own_stream_only(house: Any, make_client: MakeClient) -> None:
    sent = 0

    async def events_of() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 10_000
            yield b"x" * 10_000

    async def handler(arrival: Arrival) -> Reply:
        if arrival.verb == "GET":
            return Reply(200, [(b"content-type", b"text/event-stream")], events_of())
        return await echo(arrival)

    client = make_client((await house(handler)).port)
    response = await send(client, verb=b"GET")
    before = -1
    while before != sent:
        before = sent
        assert (await send(client)).body == b"{}"
    assert sent < 1_000_000
    assert isinstance(response.body, BodyStream)
    assert sum([len(chunk) async for chunk in response.body]) == 10_000_000


async def test_a_cancelled_call_is_cancelled_there(house: Any, make_client: MakeClient) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def handler(arrival: Arrival) -> Reply:
        if await arrival.read() == b"{}":
            return Reply(200, [], b"{}")
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    listener = await house(handler)
    client = make_client(listener.port)
    call = asyncio.get_running_loop().create_task(send(client, b"wait"))
    async with asyncio.timeout(PATIENCE_S):
        await began.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await ended.wait()
    assert (await send(client)).body == b"{}"
    assert len(listener.connections()) == 1


async def test_a_drained_server_answers_and_the_next_call_goes_elsewhere(house: Any, make_client: MakeClient) -> None:
    began, gate = asyncio.Event(), asyncio.Event()

    async def handler(arrival: Arrival) -> Reply:
        began.set()
        await gate.wait()
        return await echo(arrival)

    listener = await house(handler)
    client = make_client(listener.port)
    call = asyncio.get_running_loop().create_task(send(client, b"late"))
    await began.wait()
    drain = asyncio.get_running_loop().create_task(listener.drain(5))
    assert client._multiplexed is not None
    await until(lambda: not client._multiplexed._connections)
    with pytest.raises(UpstreamUnavailable):
        await send(client)
    gate.set()
    assert (await call).body == b"late"
    await drain


async def test_pins_are_looked_at_before_a_byte_is_sent(house: Any, make_client: MakeClient, pair: Any) -> None:
    """TLS-03"""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    from mantlet.upstreams.client.tls import spki_digest

    listener = await house(echo)
    der = x509.load_pem_x509_certificate(Path(pair["cert_file"]).read_bytes()).public_bytes(Encoding.DER)
    good = "sha256/" + base64.b64encode(spki_digest(der)).decode()
    others = ["sha256/" + base64.b64encode(bytes([number]) * 32).decode() for number in range(2)]
    assert (await send(make_client(listener.port, pins=[good, others[0]]))).body == b"{}"
    with pytest.raises(BadUpstream, match="pinned"):
        await send(make_client(listener.port, pins=others))


# --- a server that does what it is told -------------------------------------------------------------------------------


class Server:
    """Frames out as the script says. `on_request(server, stream, fields)` is called for each."""

    def __init__(self, on_request: Callable[["Server", int, Any], None], settings: dict[Any, int]) -> None:
        self.on_request = on_request
        self.h2 = H2Connection(
            H2Configuration(
                client_side=False,
                header_encoding=None,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self.h2.local_settings = Settings(client=False, initial_values=settings)
        self.writer: Any = None
        self.requests = 0
        self.resets: list[tuple[int, int]] = []
        self.bodies: dict[int, bytes] = {}
        self.ended: set[int] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.h2.initiate_connection()
        self.flush()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while data := await reader.read(65536):
                for event in self.h2.receive_data(data):
                    self.on(event)
                self.flush()
        writer.close()

    def on(self, event: Any) -> None:
        if isinstance(event, events.RequestReceived):
            self.requests += 1
            self.on_request(self, event.stream_id, event.headers)
        elif isinstance(event, events.DataReceived):
            self.bodies[event.stream_id] = self.bodies.get(event.stream_id, b"") + bytes(event.data)
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, events.StreamReset):
            self.resets.append((event.stream_id, int(event.error_code)))
        elif isinstance(event, events.StreamEnded):
            self.ended.add(event.stream_id)

    def answer(self, stream: int, fields: Any = OK, body: bytes = b"{}") -> None:
        self.h2.send_headers(stream, fields, end_stream=not body)
        if body:
            self.h2.send_data(stream, body, end_stream=True)

    def flush(self) -> None:
        if data := self.h2.data_to_send():
            self.writer.write(data)

    def raw(self, data: bytes) -> None:
        self.flush()
        self.writer.write(data)


@pytest.fixture
async def script(pair: dict[str, str]) -> AsyncIterator[Callable[..., Any]]:
    opened: list[Any] = []

    async def start(*scripts: Callable[[Server, int, Any], None], settings: dict[Any, int] | None = None) -> Any:
        """One script a connection; the last for all that follow."""
        served: list[Server] = []
        order = iter([*scripts])
        last = scripts[-1]

        async def accept(reader: Any, writer: Any) -> None:
            served.append(Server(next(order, last), settings or {}))
            await served[-1].serve(reader, writer)

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair["cert_file"], pair["key_file"])
        context.set_alpn_protocols(["h2"])
        server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
        opened.append((server, served))
        return server.sockets[0].getsockname()[1], served

    yield start
    for server, served in opened:
        server.close()
        for one in served:
            one.writer.transport.abort()
        await asyncio.sleep(0)


def plain(server: Server, stream: int, fields: Any) -> None:
    server.answer(stream)


async def test_refused_streams_are_sent_again_whatever_they_ask(script: Any, make_client: MakeClient) -> None:
    """The server says that it did nothing: repeating is safe (RFC 9113 section 8.7)."""

    def refuse_once(server: Server, stream: int, fields: Any) -> None:
        if server.requests == 1:
            server.h2.reset_stream(stream, ErrorCodes.REFUSED_STREAM)
        else:
            server.answer(stream)

    port, served = await script(refuse_once)
    assert (await send(make_client(port))).body == b"{}"
    assert [server.requests for server in served] == [2]


async def test_a_server_that_refuses_for_ever_is_unavailable(script: Any, make_client: MakeClient) -> None:
    port, served = await script(lambda server, stream, _: server.h2.reset_stream(stream, ErrorCodes.REFUSED_STREAM))
    with pytest.raises(UpstreamUnavailable):
        await send(make_client(port))
    assert served[0].requests == 3


async def test_what_came_behind_a_goodbye_goes_to_another_connection(script: Any, make_client: MakeClient) -> None:
    def leave(server: Server, stream: int, fields: Any) -> None:
        if server.requests == 2:
            server.raw(goaway(1, 0))
            server.answer(1)

    port, served = await script(leave, plain)
    client = make_client(port)
    first, second = await asyncio.gather(send(client, b"1"), send(client, b"2"))
    assert (first.body, second.body) == (b"{}", b"{}")
    assert [server.requests for server in served] == [2, 1]


async def test_a_connection_that_dies_in_mid_call_is_an_error_and_not_repeated(
    script: Any, make_client: MakeClient
) -> None:
    def die(server: Server, stream: int, fields: Any) -> None:
        if server.requests == 1:
            server.answer(stream)
        else:
            server.writer.transport.abort()

    port, served = await script(die)
    client = make_client(port)
    await send(client)
    with pytest.raises(BadUpstream):
        await send(client)
    assert len(served) == 1
    await send(client)
    assert len(served) == 2


async def test_a_repeatable_one_is_repeated_once(script: Any, make_client: MakeClient) -> None:
    def die(server: Server, stream: int, fields: Any) -> None:
        if server.requests == 1:
            server.answer(stream)
        else:
            server.writer.transport.abort()

    port, served = await script(die, plain)
    client = make_client(port)
    await send(client)
    assert (await send(client, verb=b"GET")).body == b"{}"
    assert len(served) == 2


async def test_the_servers_number_of_streams_is_kept(script: Any, make_client: MakeClient) -> None:
    waiting: list[int] = []
    most = 0

    def hold(server: Server, stream: int, fields: Any) -> None:
        nonlocal most
        waiting.append(stream)
        most = max(most, len(waiting))
        if len(waiting) == 2 or server.requests == 8:
            for one in waiting:
                server.answer(one)
            waiting.clear()

    port, served = await script(hold, settings={SettingCodes.MAX_CONCURRENT_STREAMS: 2})
    client = make_client(port, max_connections=2)
    await asyncio.gather(*(send(client) for _ in range(8)))
    assert most == 2
    assert sum(server.requests for server in served) == 8


async def test_calls_above_the_bound_wait_their_turn_or_are_refused(script: Any, make_client: MakeClient) -> None:
    held: list[tuple[Server, int]] = []
    port, _ = await script(lambda server, stream, _: held.append((server, stream)))
    client = make_client(port, max_connections=1, max_waiters=1)
    loop = asyncio.get_running_loop()
    first = loop.create_task(send(client, b"1"))
    await until(lambda: held)
    second = loop.create_task(send(client, b"2"))
    assert client._multiplexed is not None
    await until(lambda: client._multiplexed._waiters)
    with pytest.raises(Overloaded):
        await send(client, b"3")
    held[0][0].answer(held[0][1])
    held[0][0].flush()
    assert (await first).body == b"{}"
    await until(lambda: len(held) == 2)
    held[1][0].answer(held[1][1])
    held[1][0].flush()
    assert (await second).body == b"{}"


async def test_a_deadline_ends_its_own_call_only(script: Any, make_client: MakeClient) -> None:
    port, served = await script(lambda server, stream, _: None if server.requests == 1 else server.answer(stream))
    client = make_client(port)
    late = asyncio.get_running_loop().create_task(send(client, timeout_s=0.2))
    await until(lambda: served and served[0].requests == 1)
    assert (await send(client)).body == b"{}"
    with pytest.raises(DeadlineExceeded):
        await late
    await until(lambda: served[0].resets)
    assert served[0].resets == [(1, ErrorCodes.CANCEL)]
    assert (await send(client)).body == b"{}"
    assert len(served) == 1


BROKEN = {
    "no status": ([(b"content-type", b"x")], b"{}"),
    "a strange status": ([(b":status", b"abc")], b"{}"),
    "encoded": ([*OK, (b"content-encoding", b"gzip")], b"{}"),
    "two lengths": ([*OK, (b"content-length", b"2"), (b"content-length", b"2")], b"{}"),
    "a wrong length": ([*OK, (b"content-length", b"3")], b"{}"),
    "announced too large": ([*OK, (b"content-length", b"99999")], b""),
    "too large": (OK, b"x" * 5000),
    "too many fields": ([*OK, *[(b"x", b"y")] * 101], b"{}"),
    "too large a head": ([*OK, *[(b"x", b"y" * 5000)] * 20], b"{}"),
    "fields of connections": ([*OK, (b"connection", b"close")], b"{}"),
    "capitals": ([*OK, (b"X-A", b"close")], b"{}"),
}


@pytest.mark.parametrize("what", BROKEN)
async def test_broken_and_boundless_answers_are_refused(script: Any, make_client: MakeClient, what: str) -> None:
    """EGR-04"""
    fields, body = BROKEN[what]

    def answer(server: Server, stream: int, _: Any) -> None:
        server.h2.send_headers(stream, fields)
        if body:
            server.h2.send_data(stream, body, end_stream=True)

    port, _ = await script(answer)
    with pytest.raises(BadUpstream):
        await send(make_client(port, max_answer_bytes=1000))


FLOODS = {
    "pings": bytes((0, 0, 8, 6, 0)) + bytes(4) + bytes(8),
    "settings": bytes((0, 0, 0, 4, 0)) + bytes(4),
    "unknown": bytes((0, 0, 0, 0x77, 0)) + bytes(4),
    "a promise": bytes((0, 0, 5, 5, 4)) + b"\0\0\0\1" + b"\0\0\0\2\x82",
    "endless continuation": bytes((0, 0, 0, 1, 0)) + b"\0\0\0\1" + (bytes((0, 0, 0, 9, 0)) + b"\0\0\0\1") * 300,
}


@pytest.mark.parametrize("flood", FLOODS)
async def test_a_server_that_floods_is_left(script: Any, make_client: MakeClient, flood: str) -> None:
    port, _ = await script(lambda server, stream, _: server.raw(FLOODS[flood] * 500))
    with pytest.raises(BadUpstream):
        await send(make_client(port))


async def test_small_events_are_no_flood(script: Any, make_client: MakeClient) -> None:
    def talk(server: Server, stream: int, _: Any) -> None:
        server.h2.send_headers(stream, SSE)
        for _ in range(2000):
            server.h2.send_data(stream, b"data: 1\n\n")
        server.h2.end_stream(stream)

    port, _ = await script(talk)
    response = await send(make_client(port), verb=b"GET")
    assert isinstance(response.body, BodyStream)
    assert len(b"".join([chunk async for chunk in response.body])) == 9 * 2000


async def test_a_stream_that_breaks_off_says_so(script: Any, make_client: MakeClient) -> None:
    def talk(server: Server, stream: int, _: Any) -> None:
        server.h2.send_headers(stream, SSE)
        server.h2.send_data(stream, b"data: 1\n\n")
        server.flush()
        server.h2.reset_stream(stream, ErrorCodes.INTERNAL_ERROR)

    port, _ = await script(talk)
    response = await send(make_client(port), verb=b"GET")
    assert isinstance(response.body, BodyStream)
    assert await anext(response.body) == b"data: 1\n\n"
    with pytest.raises(BadUpstream):
        await anext(response.body)


async def test_a_silent_stream_is_given_up(script: Any, make_client: MakeClient) -> None:
    port, served = await script(lambda server, stream, _: server.h2.send_headers(stream, SSE))
    response = await send(make_client(port, stream_idle_timeout_s=0.2), verb=b"GET")
    assert isinstance(response.body, BodyStream)
    with pytest.raises(DeadlineExceeded):
        await anext(response.body)
    await until(lambda: served[0].resets)


async def test_informational_answers_are_passed_over(script: Any, make_client: MakeClient) -> None:
    def answer(server: Server, stream: int, _: Any) -> None:
        server.h2.send_headers(stream, [(b":status", b"103"), (b"link", b"x")])
        server.answer(stream)

    port, _ = await script(answer)
    response = await send(make_client(port))
    assert (response.status, b"link" in response.headers) == (200, False)


async def test_an_idle_connection_is_closed(script: Any, make_client: MakeClient) -> None:
    port, _ = await script(plain)
    client = make_client(port, idle_timeout_s=0.1)
    await send(client)
    assert client._multiplexed is not None
    await until(lambda: not client._multiplexed._connections and not client._multiplexed._leaving)
    await send(client)
    assert client._multiplexed.opened == 2


async def test_an_answer_before_the_body_was_heard_ends_it(script: Any, make_client: MakeClient) -> None:
    def answer(server: Server, stream: int, _: Any) -> None:
        server.answer(stream, [(b":status", b"413")], b"no")

    port, served = await script(answer)
    client = make_client(port)
    response = await send(client, b"x" * 200_000)
    assert (response.status, response.body) == (413, b"no")
    await until(lambda: served[0].resets)
    assert (await send(client)).status == 413


async def test_closing_the_client_fails_what_is_under_way(script: Any, make_client: MakeClient) -> None:
    port, served = await script(lambda server, stream, _: None)
    client = make_client(port)
    call = asyncio.get_running_loop().create_task(send(client))
    await until(lambda: served and served[0].requests)
    await client.close()
    with pytest.raises(BadUpstream):
        await call
    with pytest.raises(UpstreamUnavailable):
        await send(client)


async def test_plain_http_has_no_http_2(make_client: MakeClient) -> None:
    client = HttpClient(parse("http://localhost:1/", is_plain_allowed=True), SYSTEM, http2=True)
    assert client._multiplexed is None
