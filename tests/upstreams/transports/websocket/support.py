"""A WebSocket server of few bytes, that does on the socket exactly what a test says."""

import asyncio
import base64
import hashlib
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.upstreams.transports.peers import Recorder, Talk, listening

from mantlet.upstreams.transports.websocket.channel import WebSocketChannel
from mantlet.upstreams.transports.websocket.config import WebSocketServerConfig
from mantlet.upstreams.transports.websocket.connector import WebSocketConnector

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def frame(opcode: int, data: bytes = b"", *, fin: bool = True, masked: bool = False, rsv: int = 0) -> bytes:
    head = bytes([fin << 7 | rsv << 4 | opcode])
    mask = 0x80 if masked else 0
    if len(data) < 126:
        head += bytes([mask | len(data)])
    elif len(data) < 65536:
        head += struct.pack("!BH", mask | 126, len(data))
    else:
        head += struct.pack("!BQ", mask | 127, len(data))
    return head + (b"\0\0\0\0" if masked else b"") + data


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """A client's frame: opcode and payload. Masked, or the assertion fails."""
    one, two = await reader.readexactly(2)
    assert two & 0x80, "a client must mask"
    length = two & 0x7F
    if length == 126:
        (length,) = struct.unpack("!H", await reader.readexactly(2))
    elif length == 127:
        (length,) = struct.unpack("!Q", await reader.readexactly(8))
    key = await reader.readexactly(4)
    data = await reader.readexactly(length)
    return one & 0x0F, bytes(byte ^ key[index % 4] for index, byte in enumerate(data))


async def read_head(reader: asyncio.StreamReader) -> dict[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    line, *lines = head[:-4].split(b"\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (one.partition(b":") for one in lines)}
    return {b":line": line, **fields}


def accepted(head: dict[bytes, bytes], *fields: bytes) -> bytes:
    digest = base64.b64encode(hashlib.sha1(head[b"sec-websocket-key"] + _GUID).digest())
    lines = [b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", b"Connection: Upgrade"]
    lines += [b"Sec-WebSocket-Accept: " + digest, *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def after_handshake(talk: Talk) -> Talk:
    async def whole(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(accepted(await read_head(reader), b"Sec-WebSocket-Protocol: mcp"))
        assert await read_frame(reader) == (PING, b"")  # the client is through with its opening
        writer.write(frame(PONG))
        await talk(reader, writer)

    return whole


def configured(port: int, **settings: Any) -> WebSocketServerConfig:
    return WebSocketServerConfig(name="test", url=f"ws://127.0.0.1:{port}/mcp", **settings)


@asynccontextmanager
async def connected(talk: Talk, **settings: Any) -> AsyncIterator[tuple[WebSocketChannel, Recorder]]:
    """An open channel to a server that talks as `talk` does after the handshake."""
    async with listening(after_handshake(talk)) as port:
        recorder = Recorder()
        connect = WebSocketConnector(configured(port, **settings), is_plain_allowed=True)
        channel = await connect(recorder, lambda _line: None)
        try:
            yield channel, recorder
        finally:
            await channel.stop(0.5)
