"""A WebSocket listener on a loopback port with a clock in the test's hand, and a raw client that obeys nobody."""

import asyncio
import base64
import json
import os
import struct
from typing import Any, Final

import msgspec
from tests.listeners.messages.door_house import PATIENCE_S, DoorHouse

from mantlet.core.call import Arrival, Reply
from mantlet.core.caller import Caller
from mantlet.core.refusal import InvalidCredential, Refusal
from mantlet.keys.seal import NodeSealer
from mantlet.listeners.http import HttpListener, listen
from mantlet.listeners.websocket.config import WebSocketConfig
from mantlet.listeners.websocket.door import WebSocketDoor
from mantlet.listeners.websocket.tickets import Tickets
from mantlet.stores.state import MemoryState
from mantlet.wire.answer import refused

TOKEN: Final = b"alice-token"
AUTHORIZED: Final = b"Authorization: Bearer " + TOKEN + b"\r\n"
TEXT, BINARY, CONT, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10
MASK: Final = b"\x01\x02\x03\x04"
KEY: Final = b"Sec-WebSocket-Key: " + base64.b64encode(b"0123456789abcdef") + b"\r\n"
OFFER: Final = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" + KEY


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, mask: bool = True, rsv: int = 0,
          length_form: int | None = None) -> bytes:  # fmt: skip
    """A client's frame, as right or wrong as asked for. `length_form` is 7, 16 or 64 bits."""
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    size = len(payload)
    form = length_form or (7 if size < 126 else 16 if size < 65536 else 64)
    second = 0x80 if mask else 0
    head = {
        7: lambda: struct.pack("!BB", first, second | size),
        16: lambda: struct.pack("!BBH", first, second | 126, size),
        64: lambda: struct.pack("!BBQ", first, second | 127, size),
    }[form]()
    if not mask:
        return head + payload
    return head + MASK + bytes(byte ^ MASK[index % 4] for index, byte in enumerate(payload))


class RawClient:
    """One connection; nothing is done by itself, no pong and no closing handshake."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.headers: dict[bytes, bytes] = {}
        self.status = 0

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def say(self, **message: Any) -> None:
        self.send(frame(TEXT, json.dumps({"jsonrpc": "2.0", **message}).encode()))

    async def head(self) -> int:
        async with asyncio.timeout(PATIENCE_S):
            block = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = block[:-4].split(b"\r\n")
        self.headers = {line.partition(b": ")[0].lower(): line.partition(b": ")[2] for line in lines}
        self.status = int(first.split(b" ")[1])
        return self.status

    async def body(self) -> bytes:
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.readexactly(int(self.headers[b"content-length"]))

    async def frame(self) -> tuple[int, bytes]:
        async with asyncio.timeout(PATIENCE_S):
            first, second = await self.reader.readexactly(2)
            assert not second & 0x80, "a server masks nothing"
            assert not first & 0x70, "no extension was agreed on"
            size = second & 0x7F
            if size == 126:
                (size,) = struct.unpack("!H", await self.reader.readexactly(2))
                assert size >= 126
            elif size == 127:
                (size,) = struct.unpack("!Q", await self.reader.readexactly(8))
                assert size >= 65536
            return first & 0x0F, await self.reader.readexactly(size)

    async def message(self) -> Any:
        opcode, payload = await self.frame()
        assert opcode == TEXT, (opcode, payload)
        return json.loads(payload)

    async def closed(self) -> int:
        """The code of the close frame that must come next, and then the end of the connection."""
        opcode, payload = await self.frame()
        assert opcode == CLOSE, (opcode, payload)
        payload[2:].decode()
        return int.from_bytes(payload[:2], "big")

    async def end(self) -> bytes:
        async with asyncio.timeout(PATIENCE_S):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b""


class House(DoorHouse[RawClient]):
    """What is served, and what reached its handlers."""

    listener: HttpListener

    def __init__(self) -> None:
        super().__init__("websocket", RawClient, {TOKEN: Caller("alice", "test", "test", roles=frozenset({"user"}))})
        self.opened: list[Arrival] = []
        self.state = MemoryState(self.clock)
        self.tickets: Tickets

    async def open(self, **settings: Any) -> None:
        config = msgspec.convert({"port": 0, "enabled": True, **settings}, WebSocketConfig)
        self.terms = self.terms_of(config)
        self.tickets = Tickets(self.state, NodeSealer([os.urandom(32)]), self.clock.wall, config.ticket_lifetime)
        door = WebSocketDoor(
            config,
            self.terms,
            self.tickets,
            ["/mcp", "/mcp/one", "/mcp/ticket"],
            identify=self._identify,
            holds=self._holds,
            note=lambda arrival, caller: None,
        )

        async def serve(arrival: Arrival) -> Reply:
            self.opened.append(arrival)
            try:
                return await door.authenticate(arrival, door.handle)
            except Refusal as refusal:
                self.refusals.append(refusal)
                return refused(refusal, arrival.trail)

        self.listener = await listen(
            config.http,
            serve,
            refuse=self._refuse,
            clock=self.clock,
            tasks=self.tasks,
            new_id=self.terms.new_id,
            on_error=lambda error, _: self.errors.append(error),
            door="websocket",
        )

    async def _holds(self, caller: Caller) -> bool:
        return caller in self.holders.values()

    async def _identify(self, arrival: Arrival) -> Caller:
        return self.holder(arrival)

    async def _handle(self, arrival: Arrival) -> Reply:
        if arrival.caller not in self.holders.values():
            raise InvalidCredential("revoked")
        return await super()._handle(arrival)

    def hello(self, path: bytes = b"/ws", fields: bytes = OFFER + AUTHORIZED, host: bytes | None = None) -> bytes:
        host = host or b"127.0.0.1:%d" % self.listener.port
        return b"GET %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (path, host, fields)

    async def knock(
        self, path: bytes = b"/ws", fields: bytes = OFFER + AUTHORIZED, host: bytes | None = None
    ) -> RawClient:
        client = await self.connect()
        client.send(self.hello(path, fields, host))
        await client.head()
        return client

    async def ready(self, path: bytes = b"/ws") -> RawClient:
        client = await self.knock(path)
        assert client.status == 101
        return client
