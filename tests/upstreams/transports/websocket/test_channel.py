"""One WebSocket, and servers that do not keep to RFC 6455."""

import asyncio
import random
import struct

import pytest
from tests.upstreams.transports.peers import Recorder, Talk, listening, within
from tests.upstreams.transports.websocket.support import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    accepted,
    configured,
    connected,
    frame,
    read_frame,
    read_head,
)
from websockets.client import ClientProtocol
from websockets.protocol import State

from mantlet.core.refusal import UpstreamUnavailable
from mantlet.core.secret import Secret
from mantlet.upstreams.transports.websocket.channel import WebSocketChannel
from mantlet.upstreams.transports.websocket.connector import WebSocketConnector


def saying(*frames: bytes) -> Talk:
    """Send these, then read until the client leaves."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"".join(frames))
        await reader.read()

    return talk


async def test_messages_go_both_ways_without_their_line_ends() -> None:
    got = asyncio.Queue[tuple[int, bytes]]()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.put_nowait(await read_frame(reader))
        writer.write(frame(TEXT, '{"é":1}'.encode()))
        await reader.read()

    async with connected(talk) as (channel, recorder):
        assert channel.write_line(b'{"a":1}\n')
        assert await within(got.get()) == (TEXT, b'{"a":1}')
        await within(recorder.heard.wait())
        assert recorder.lines == ['{"é":1}'.encode()]


async def test_a_message_of_several_lines_becomes_one() -> None:
    async with connected(saying(frame(TEXT, b'{\r\n"a":\n1}'))) as (_, recorder):
        await within(recorder.heard.wait())
        assert recorder.lines == [b'{  "a": 1}']


async def test_a_message_in_pieces_with_a_ping_between_is_put_together() -> None:
    pongs = asyncio.Queue[bytes]()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(TEXT, b'{"a', fin=False) + frame(CONTINUATION, b"", fin=False))
        writer.write(frame(PING, b"hi") + frame(CONTINUATION, b'":1}'))
        while True:
            opcode, data = await read_frame(reader)
            if opcode == PONG:
                pongs.put_nowait(data)

    async with connected(talk) as (_, recorder):
        assert await within(pongs.get()) == b"hi"
        await within(recorder.heard.wait())
        assert recorder.lines == [b'{"a":1}']


async def test_bytes_that_come_one_by_one_are_as_good_as_at_once() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.get_extra_info("socket")
        for byte in frame(TEXT, b'{"a":1}') + frame(TEXT, b"x" * 300):
            writer.write(bytes([byte]))
            await asyncio.sleep(0)
        await reader.read()

    async with connected(talk) as (_, recorder):
        async with asyncio.timeout(10):
            while len(recorder.lines) < 2:
                recorder.heard.clear()
                await recorder.heard.wait()
        assert recorder.lines == [b'{"a":1}', b"x" * 300]


@pytest.mark.parametrize(
    ("frames", "code", "why"),
    [
        ([frame(TEXT, b"x" * 2000)], 1009, "exceeds limit"),
        ([b"\x81\x7f" + struct.pack("!Q", 2**62)], 1009, "exceeds limit"),
        ([frame(TEXT, b"x" * 600, fin=False), frame(CONTINUATION, b"x" * 600)], 1009, "exceeds limit"),
        ([frame(TEXT, b"x" * 600, fin=False)] + [frame(CONTINUATION, b"x", fin=False)] * 500, 1009, "exceeds limit"),
        ([frame(BINARY, b"{}")], 1003, "binary"),
        ([frame(TEXT, b"\xff\xfe")], 1007, "UTF-8"),
        ([frame(TEXT, b"\xc3", fin=False), frame(CONTINUATION, b"(")], 1007, "UTF-8"),
        ([frame(TEXT, b"{}", masked=True)], 1002, "masking"),
        ([frame(TEXT, b"{}", rsv=4)], 1002, "reserved bits"),
        ([frame(3, b"{}")], 1002, "opcode"),
        ([frame(CONTINUATION, b"{}")], 1002, "continuation"),
        ([frame(TEXT, b"{", fin=False), frame(TEXT, b"}")], 1002, "continuation"),
        ([frame(PING, b"x" * 126)], 1002, "too long"),
        ([frame(PING, b"x", fin=False)], 1002, "fragmented control"),
        ([frame(CLOSE, b"\x03")], 1002, "close frame"),
        ([frame(CLOSE, struct.pack("!H", 1005))], 1002, "invalid status code"),
    ],
)
async def test_what_breaks_the_protocol_ends_the_connection_with_its_code(
    frames: list[bytes], code: int, why: str
) -> None:
    """RFC 6455 section 7.4.1."""
    codes = asyncio.Queue[int]()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"".join(frames))
        while True:
            opcode, data = await read_frame(reader)
            if opcode == CLOSE:
                codes.put_nowait(struct.unpack("!H", data[:2])[0])
                return

    async with connected(talk, max_line_bytes=1000) as (channel, recorder):
        await within(recorder.closed.wait())
        assert await within(codes.get()) == code
        assert why in recorder.whys[0]
        assert recorder.lines == []
        assert not channel.write_line(b"{}\n")
    assert len(recorder.whys) == 1


@pytest.mark.parametrize(
    ("begun", "flood"),
    [
        (frame(TEXT, b"", fin=False), frame(CONTINUATION, b"", fin=False)),
        (b"", frame(PING)),
        (b"", frame(PONG, b"x")),
    ],
)
async def test_frames_without_end_and_without_a_message_are_too_many(begun: bytes, flood: bytes) -> None:
    """Empty pieces, pings nobody needs: each costs us more than it costs the server."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(begun)
        while not writer.is_closing():
            writer.write(flood * 1000)
            await writer.drain()
            await asyncio.sleep(0)

    async with connected(talk, max_line_bytes=1000) as (_, recorder):
        await within(recorder.closed.wait())
        assert "no messages" in recorder.whys[0]
        assert recorder.lines == []


async def test_many_pieces_and_small_messages_are_no_flood() -> None:
    pieces = frame(TEXT, b"", fin=False) + frame(CONTINUATION, b"", fin=False) * 9_000 + frame(CONTINUATION, b"{}")
    async with connected(saying(pieces, pieces, frame(TEXT, b"[]") * 9_000)) as (_, recorder):
        async with asyncio.timeout(10):
            while len(recorder.lines) < 9_002:
                recorder.heard.clear()
                await recorder.heard.wait()
        assert recorder.lines[:3] == [b"{}", b"{}", b"[]"]


async def test_nothing_after_a_close_is_heard_and_the_reason_is_told() -> None:
    farewell = frame(CLOSE, struct.pack("!H", 1001) + b"bye") + frame(TEXT, b"{}")
    async with connected(saying(frame(TEXT, b"[]") + farewell)) as (channel, recorder):
        await within(recorder.closed.wait())
        assert recorder.lines == [b"[]"]
        assert "1001" in recorder.whys[0]
        assert "bye" in recorder.whys[0]
        assert not channel.write_line(b"{}\n")


async def test_a_reader_that_answers_while_the_close_came_along_does_no_harm() -> None:
    class Answering(Recorder):
        def on_line(self, line: bytes, /) -> None:
            super().on_line(line)
            answers.append(channel.write_line(b"{}\n"))

    answers: list[bool] = []
    said = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(accepted(await read_head(reader)))
        await said.wait()
        writer.write(frame(TEXT, b"[]") + frame(CLOSE, struct.pack("!H", 1000)))
        await reader.read()

    async with listening(talk) as port:
        recorder = Answering()
        channel = await WebSocketConnector(configured(port), is_plain_allowed=True)(recorder, lambda _line: None)
        said.set()
        await within(recorder.closed.wait())
        assert answers == [False]
        await channel.stop(0.5)


async def test_a_peer_that_says_nothing_is_given_up() -> None:
    """Dead peers are found: no pong, no other byte."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with connected(talk, ping_interval=0.05, ping_timeout=0.1) as (channel, recorder):
        await within(recorder.closed.wait())
        assert "said nothing" in recorder.whys[0]
        assert not channel.write_line(b"{}\n")


async def test_a_peer_that_answers_pings_lives() -> None:
    pings = asyncio.Queue[bytes]()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            opcode, data = await read_frame(reader)
            if opcode == PING:
                writer.write(frame(PONG, data))
                pings.put_nowait(data)

    async with connected(talk, ping_interval=0.01, ping_timeout=0.5) as (_, recorder):
        for _ in range(2):
            await within(pings.get())
        assert not recorder.closed.is_set()


async def test_a_peer_that_never_reads_is_written_to_within_bounds() -> None:
    quiet = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()
        await quiet.wait()

    async with connected(talk, max_unsent_bytes=100_000) as (channel, _):
        line = b"x" * 50_000 + b"\n"
        for _ in range(2_000):
            if not channel.write_line(line):
                break
            await asyncio.sleep(0)
        else:
            pytest.fail("100 MB were taken")
        quiet.set()


async def test_a_flood_of_pings_to_a_full_pipe_is_answered_within_bounds() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()
        writer.write(frame(PING, b"x" * 125) * 5_000)
        writer.write(frame(TEXT, b"{}"))
        await asyncio.Event().wait()

    async with connected(talk, max_unsent_bytes=100_000) as (channel, recorder):
        await within(recorder.heard.wait())
        assert channel._writer.size <= 100_000


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", "answered 401"),
        (b"HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", "answered 302"),
        (b"HTTP/1.1 500 Oops\r\n\r\nuntil the end", "answered 500"),
        (b"HTTP/1.1 101 Ok\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", "Sec-WebSocket-Accept"),
        (b"HTTP/1.1 101 Ok\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", "Upgrade"),
        (b"SSH-2.0-OpenSSH\r\n", "no WebSocket"),
        (b"", "no WebSocket"),
        (b"x" * 20_000, "no WebSocket"),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 500, "no WebSocket"),
    ],
)
async def test_a_server_that_opens_no_websocket_is_unavailable(answer: bytes, why: str) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(answer)

    async with listening(talk) as port:
        connect = WebSocketConnector(configured(port), is_plain_allowed=True)
        with pytest.raises(UpstreamUnavailable) as raised:
            await within(connect(Recorder(), lambda _line: None))
        assert why in raised.value.why


async def test_an_extension_or_subprotocol_that_was_not_offered_is_refused() -> None:
    for field in (b"Sec-WebSocket-Extensions: permessage-deflate", b"Sec-WebSocket-Protocol: chat"):

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, field: bytes = field) -> None:
            writer.write(accepted(await read_head(reader), field))
            await reader.read()

        async with listening(talk) as port:
            with pytest.raises(UpstreamUnavailable):
                await within(
                    WebSocketConnector(configured(port), is_plain_allowed=True)(Recorder(), lambda _line: None)
                )


async def test_the_handshake_carries_the_operators_headers_and_offers_no_compression() -> None:
    """FWD-01"""
    heads = asyncio.Queue[dict[bytes, bytes]]()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        heads.put_nowait(head)
        writer.write(accepted(head))
        await reader.read()

    async with listening(talk) as port:
        config = configured(
            port, headers={"Authorization": Secret("Bearer xyz"), "Origin": Secret("https://a.example")}
        )
        channel = await WebSocketConnector(config, is_plain_allowed=True)(Recorder(), lambda _line: None)
        head = await within(heads.get())
        assert head[b":line"] == b"GET /mcp HTTP/1.1"
        assert head[b"host"] == f"127.0.0.1:{port}".encode()
        assert head[b"authorization"] == b"Bearer xyz"
        assert head[b"origin"] == b"https://a.example"
        assert head[b"sec-websocket-protocol"] == b"mcp"
        assert head[b"sec-websocket-version"] == b"13"
        assert b"sec-websocket-extensions" not in head
        await channel.stop(0.5)


async def test_stop_says_goodbye_and_waits_no_longer_than_told() -> None:
    codes = asyncio.Queue[bytes]()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            opcode, data = await read_frame(reader)
            if opcode == CLOSE:
                codes.put_nowait(data)
                await asyncio.Event().wait()  # and never closes

    async with connected(talk) as (channel, recorder):
        await within(channel.stop(0.1))
        assert await within(codes.get()) == struct.pack("!H", 1000)
        assert len(recorder.whys) == 1
        await within(channel.stop(0.1))  # may be said again


async def test_a_cancelled_opening_leaves_no_socket() -> None:
    left = asyncio.Event()
    begun = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        begun.set()
        await reader.read()
        left.set()

    async with listening(talk) as port:
        connect = WebSocketConnector(configured(port), is_plain_allowed=True)
        opening = asyncio.ensure_future(connect(Recorder(), lambda _line: None))
        await within(begun.wait())
        opening.cancel()
        await asyncio.wait({opening})
        await within(left.wait())


class Sink:
    """A transport that keeps nothing."""

    def write(self, data: bytes) -> None:
        pass

    def close(self) -> None:
        pass

    abort = close


@pytest.mark.parametrize("seed", range(40))
async def test_no_bytes_whatever_make_it_raise(seed: int) -> None:
    """What raised here would be the loop's to report; every end must be told once."""
    chance = random.Random(seed)
    recorder = Recorder()
    channel = WebSocketChannel(configured(1, max_line_bytes=2_000), recorder)
    channel.connection_made(Sink())  # type: ignore[arg-type]
    channel._protocol.state = State.OPEN
    channel._protocol.parser = ClientProtocol.__mro__[1].parse(channel._protocol)
    next(channel._protocol.parser)
    channel._opened.set_result(None)
    for _ in range(200):
        opcode = chance.choice([TEXT, CONTINUATION, PING, PONG, chance.randrange(16)])
        data = chance.randbytes(chance.choice([0, 1, 2, 125, 126, 700, 3_000])) if chance.random() < 0.2 else b"{}"
        whole = bytearray(frame(opcode, data, fin=chance.random() < 0.9))
        if chance.random() < 0.05:
            whole[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        for part in (whole[: len(whole) // 2], whole[len(whole) // 2 :]):
            channel.data_received(bytes(part))
        channel.write_line(b"{}\n")
    channel.eof_received()
    channel.connection_lost(None)
    assert len(recorder.whys) == 1


async def test_nothing_listens_there() -> None:
    async with listening(saying()) as port:
        pass
    with pytest.raises(UpstreamUnavailable, match="no connection"):
        await WebSocketConnector(configured(port), is_plain_allowed=True)(Recorder(), lambda _line: None)


async def test_the_egress_hook_names_the_address() -> None:
    asked: list[tuple[str, int]] = []

    async def resolve(host: str, port: int) -> tuple[str, ...]:
        asked.append((host, port))
        return ("127.0.0.1",)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        assert head[b"host"].startswith(b"mcp.invalid:")
        writer.write(accepted(head))
        await reader.read()

    async with listening(talk) as port:
        config = configured(port)
        config = type(config)(name="test", url=f"ws://mcp.invalid:{port}/mcp")
        connect = WebSocketConnector(config, is_plain_allowed=True, resolve=resolve)
        channel = await connect(Recorder(), lambda _line: None)
        assert asked == [("mcp.invalid", port)]
        await channel.stop(0.5)
