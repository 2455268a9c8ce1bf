"""One event stream with its POSTs, and servers that misbehave."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.upstreams.transports.peers import Recorder, listening, within

from mantlet.core.refusal import BadUpstream, Refusal, UpstreamUnavailable
from mantlet.core.secret import Secret
from mantlet.upstreams.transports.sse.channel import SseChannel
from mantlet.upstreams.transports.sse.config import SseServerConfig
from mantlet.upstreams.transports.sse.connector import SseConnector

STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
ENDPOINT = b"event: endpoint\r\ndata: /messages?session=1\r\n\r\n"
ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 8\r\n\r\nAccepted"


@dataclass
class Posted:
    target: bytes
    headers: dict[bytes, bytes]
    body: bytes


@dataclass
class SseServer:
    """Answers a GET with `opening` and then what is put in `events`; keeps POSTs, answering them with `answer`."""

    opening: bytes = STREAM + ENDPOINT
    answer: bytes = ACCEPTED
    hold: Callable[[Posted], Awaitable[None]] | None = None
    posted: "asyncio.Queue[Posted]" = field(default_factory=asyncio.Queue)
    gets: "asyncio.Queue[Posted]" = field(default_factory=asyncio.Queue)
    events: "asyncio.Queue[bytes]" = field(default_factory=asyncio.Queue)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            line, *lines = (await reader.readuntil(b"\r\n\r\n"))[:-4].split(b"\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (one.partition(b":") for one in lines)}
            verb, target, _ = line.split(b" ", 2)
            body = await reader.readexactly(int(headers.get(b"content-length", b"0")))
            request = Posted(target, headers, body)
            if verb == b"GET":
                self.gets.put_nowait(request)
                writer.write(self.opening)
                await self._stream(reader, writer)
                return
            self.posted.put_nowait(request)
            if self.hold is not None:
                await self.hold(request)
            writer.write(self.answer)

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        leaving = asyncio.ensure_future(reader.read())
        try:
            while not leaving.done():
                next_event = asyncio.ensure_future(self.events.get())
                await asyncio.wait({leaving, next_event}, return_when=asyncio.FIRST_COMPLETED)
                if not next_event.done():
                    next_event.cancel()
                    break
                if not (event := next_event.result()):
                    break
                writer.write(event)
            if leaving.done():
                self.left.set()
        finally:
            leaving.cancel()
            await asyncio.wait({leaving})


def configured(port: int, **settings: Any) -> SseServerConfig:
    return SseServerConfig(name="test", url=f"http://127.0.0.1:{port}/sse", **settings)


@asynccontextmanager
async def connected(server: SseServer, **settings: Any) -> AsyncIterator[tuple[SseChannel, Recorder]]:
    async with listening(server.talk) as port:
        recorder = Recorder()
        connect = SseConnector(configured(port, **settings), is_plain_allowed=True)
        try:
            channel = await within(connect(recorder, lambda _line: None))
            try:
                yield channel, recorder
            finally:
                await within(channel.stop(0.5))
        finally:
            await connect.close()


async def refused(server: SseServer, **settings: Any) -> Refusal:
    with pytest.raises(Refusal) as raised:
        async with connected(server, **settings):
            pass
    return raised.value


async def test_messages_are_posted_and_answers_come_on_the_stream() -> None:
    server = SseServer()
    async with connected(server, headers={"X-Key": Secret("xyz")}) as (channel, recorder):
        assert channel.write_line(b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n')
        posted = await within(server.posted.get())
        assert posted.target == b"/messages?session=1"
        assert posted.body == b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
        assert posted.headers[b"content-type"] == b"application/json"
        got = await within(server.gets.get())
        assert got.target == b"/sse"
        assert got.headers[b"accept"] == b"text/event-stream"
        assert posted.headers[b"x-key"] == got.headers[b"x-key"] == b"xyz"
        server.events.put_nowait(b": comment\n\nevent: message\ndata: {\ndata: }\n\n")
        await within(recorder.heard.wait())
        assert recorder.lines == [b"{ }"]


@pytest.mark.parametrize(
    ("endpoint", "why"),
    [
        (b"http://127.0.0.1:1/messages", "another origin"),
        (b"https://{host}/messages", "another origin"),
        (b"//evil.example/messages", "another origin"),
        (b"http://evil.example/messages", "another origin"),
        (b"http://{host}@evil.example/messages", "no URL"),
        (b"http://127.0.0.1.evil.example/", "another origin"),
        (b"file:///etc/passwd", "no URL"),
        (b"/a b", "no URL"),
        (b"\xff", "no URL"),
        (b"/" + b"a" * 9_000, "too long"),
        (b"http://[::1", "no URL"),
        (b"http://{host}:99999999/", "no URL"),
    ],
)
async def test_an_endpoint_elsewhere_gets_nothing(endpoint: bytes, why: str) -> None:
    """EGR-03: a server cannot have our credentials and its callers' arguments sent to anybody else."""
    server = SseServer()
    async with listening(server.talk) as port:
        named = endpoint.replace(b"{host}", b"127.0.0.1:%d" % port)
        server.opening = STREAM + b"event: endpoint\ndata: %b\n\n" % named
        connect = SseConnector(configured(port), is_plain_allowed=True)
        with pytest.raises(UpstreamUnavailable) as raised:
            await within(connect(Recorder(), lambda _line: None))
        assert why in raised.value.why
        await within(server.left.wait())
        assert server.posted.empty()
        await connect.close()


@pytest.mark.parametrize(
    "endpoint", [b"messages", b"/messages", b"http://{host}/messages", b"?session=1", b"//{host}/messages"]
)
async def test_an_endpoint_of_the_same_origin_may_be_written_in_any_way(endpoint: bytes) -> None:
    server = SseServer()
    async with listening(server.talk) as port:
        named = endpoint.replace(b"{host}", b"127.0.0.1:%d" % port)
        server.opening = STREAM + b"data: early\n\nevent: endpoint\ndata: %b\n\n" % named
        recorder = Recorder()
        connect = SseConnector(configured(port), is_plain_allowed=True)
        channel = await within(connect(recorder, lambda _line: None))
        channel.write_line(b"{}\n")
        assert (await within(server.posted.get())).target in (b"/messages", b"/sse?session=1")
        assert recorder.lines == []  # before the endpoint nothing is a message
        await channel.stop(0.5)
        await connect.close()


@pytest.mark.parametrize(
    ("opening", "why"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "answered 404"),
        (b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n", "transport: http"),
        (b"HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", "answered 307"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi", "without an event stream"),
    ],
)
async def test_a_server_of_something_else_is_unavailable(opening: bytes, why: str) -> None:
    assert why in (await refused(SseServer(opening=opening))).why


async def test_a_stream_that_ends_before_its_endpoint_is_none() -> None:
    server = SseServer(opening=STREAM)
    server.events.put_nowait(b"")
    assert "ended the event stream" in (await refused(server)).why


async def test_an_opening_that_is_cancelled_leaves_no_stream() -> None:
    server = SseServer(opening=STREAM)
    async with listening(server.talk) as port:
        connect = SseConnector(configured(port), is_plain_allowed=True)
        opening = asyncio.ensure_future(connect(Recorder(), lambda _line: None))
        await within(server.gets.get())
        opening.cancel()
        await asyncio.wait({opening})
        await within(server.left.wait())
        await connect.close()


async def test_the_end_of_the_stream_is_the_end_of_the_channel() -> None:
    server = SseServer()
    async with connected(server) as (channel, recorder):
        server.events.put_nowait(b"")
        await within(recorder.closed.wait())
        assert not channel.write_line(b"{}\n")
    assert len(recorder.whys) == 1


async def test_an_event_too_large_ends_the_channel() -> None:
    server = SseServer()
    async with connected(server, max_line_bytes=1000) as (_, recorder):
        for _ in range(20):
            server.events.put_nowait(b"data: " + b"x" * 100)
        await within(recorder.closed.wait())
        assert "larger than 1000" in recorder.whys[0]


async def test_a_silent_stream_is_given_up() -> None:
    server = SseServer()
    async with connected(server, stream_idle_timeout=0.05) as (_, recorder):
        await within(recorder.closed.wait())


@pytest.mark.parametrize("status", [b"401 Unauthorized", b"404 Not Found", b"410 Gone"])
async def test_a_session_that_the_server_forgot_ends_the_channel(status: bytes) -> None:
    server = SseServer(answer=b"HTTP/1.1 %b\r\nContent-Length: 0\r\n\r\n" % status)
    async with connected(server) as (channel, recorder):
        channel.write_line(b"{}\n")
        await within(recorder.closed.wait())
        assert status[:3].decode() in recorder.whys[0]


async def test_a_message_that_the_server_does_not_take_fails_alone() -> None:
    server = SseServer(answer=b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
    async with connected(server) as (channel, recorder):
        channel.write_line(b'{"jsonrpc":"2.0","id":7,"method":"tools/call"}\n')
        await within(recorder.heard.wait())
        assert b'"id":7' in recorder.lines[0]
        assert b'"error"' in recorder.lines[0]
        channel.write_line(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
        await within(server.posted.get())
        await within(server.posted.get())
        assert not recorder.closed.is_set()
        assert len(recorder.lines) == 1


async def test_a_server_that_accepts_nothing_is_given_up_and_holds_no_more_than_allowed() -> None:
    async def hold(_: Posted) -> None:
        await asyncio.Event().wait()

    server = SseServer(hold=hold)
    async with connected(server, post_timeout=0.3, max_unsent_bytes=100_000) as (channel, recorder):
        line = b'{"jsonrpc":"2.0","id":1}' + b" " * 1_000 + b"\n"
        taken = 0
        while channel.write_line(line):
            taken += len(line)
        assert taken <= 100_000
        await within(recorder.closed.wait())
        assert "could not be posted" in recorder.whys[0]


async def test_a_notification_keeps_its_place_and_requests_overtake_each_other() -> None:
    held: dict[bytes, asyncio.Event] = {}

    async def hold(posted: Posted) -> None:
        held[posted.body] = asyncio.Event()
        await held[posted.body].wait()

    server = SseServer(hold=hold)
    async with connected(server) as (channel, _):
        first, second = b'{"jsonrpc":"2.0","id":1}', b'{"jsonrpc":"2.0","id":2}'
        note, third = b'{"jsonrpc":"2.0","method":"n"}', b'{"jsonrpc":"2.0","id":3}'
        for line in (first, second, note, third):
            channel.write_line(line + b"\n")
        assert {(await within(server.posted.get())).body for _ in range(2)} == {first, second}
        held[second].set()
        await asyncio.sleep(0)
        assert server.posted.empty()
        held[first].set()
        assert (await within(server.posted.get())).body == note
        assert server.posted.empty()
        held[note].set()
        assert (await within(server.posted.get())).body == third
        held[third].set()


async def test_a_post_that_is_answered_with_a_stream_is_not_read() -> None:
    server = SseServer(answer=STREAM.replace(b"200 OK", b"202 Accepted") + b"data: {}\n\n")
    async with connected(server) as (channel, recorder):
        channel.write_line(b"{}\n")
        await within(server.posted.get())
        server.events.put_nowait(b"data: []\n\n")
        await within(recorder.heard.wait())
        assert recorder.lines == [b"[]"]


async def test_a_certificate_or_address_that_is_wrong_is_told() -> None:
    async with listening(SseServer().talk) as port:
        pass
    connect = SseConnector(configured(port), is_plain_allowed=True)
    with pytest.raises((UpstreamUnavailable, BadUpstream), match="no connection"):
        await connect(Recorder(), lambda _line: None)
    await connect.close()
    with pytest.raises(ValueError, match="https://"):
        SseConnector(configured(port))
