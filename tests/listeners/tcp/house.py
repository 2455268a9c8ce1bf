"""A TCP listener on a loopback port with a clock in the test's hand, and a client in lines."""

import asyncio
import json
from typing import Any, Final

import msgspec
from tests.listeners.messages.door_house import PATIENCE_S, DoorHouse

from mantlet.core.call import Arrival, Reply
from mantlet.core.caller import Caller
from mantlet.core.key_proof import check
from mantlet.core.refusal import InvalidCredential
from mantlet.listeners.tcp.config import TcpConfig
from mantlet.listeners.tcp.listener import TcpListener, listen
from mantlet.listeners.tls import Served

PEPPER: Final = b"p" * 32
ALICE: Final = Caller("alice", "test", "test")
BOB: Final = Caller("bob", "test", "test")


class LineClient:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def say(self, **message: Any) -> None:
        self.send(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")

    async def line(self) -> Any:
        async with asyncio.timeout(PATIENCE_S):
            line = await self.reader.readline()
        assert line.endswith(b"\n"), line
        return json.loads(line)

    async def end(self) -> bytes:
        async with asyncio.timeout(PATIENCE_S):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b""

    async def auth(self, token: str = "alice-token", **params: Any) -> Any:
        self.say(id="auth", method="auth", params={"token": token, **params})
        return await self.line()


class House(DoorHouse[LineClient]):
    """What is served, and what reached its handlers."""

    listener: TcpListener

    def __init__(self) -> None:
        super().__init__("tcp", LineClient, {b"alice-token": ALICE, b"bob-token": BOB})
        self.openings: list[Arrival] = []
        self.verifiers: dict[str, str] = {}
        """By the id of a key of Alice's."""
        self.may_open: asyncio.Event | None = None

    async def open(self, tls: Served | None = None, **settings: Any) -> None:
        config = msgspec.convert({"port": 0, "enabled": True, **settings}, TcpConfig)
        self.terms = self.terms_of(config)
        self.listener = listen(
            config, self.terms, self._opening, ["/mcp", "/mcp/one"], on_error=self.errors.append, tls=tls
        )

    async def _opening(self, arrival: Arrival) -> Reply:
        self.openings.append(arrival)
        if self.may_open is not None:
            await self.may_open.wait()
        if arrival.proof is None:
            arrival.caller = self.holder(arrival)
            return Reply(200, [])
        if not check(arrival.proof, self.verifiers.get(arrival.proof.key_id, ""), PEPPER):
            raise InvalidCredential("a wrong proof")
        arrival.caller = ALICE
        return Reply(200, [])

    async def ready(self, **params: Any) -> LineClient:
        client = await self.connect()
        assert "result" in await client.auth(**params)
        return client
