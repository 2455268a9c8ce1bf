"""A TCP listener on a loopback port with a clock in the test's hand, and a client in lines."""

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from mantlet.core.call import Arrival, Reply
from mantlet.core.caller import Caller
from mantlet.core.clock import Clock
from mantlet.core.key_proof import check
from mantlet.core.record import Trail
from mantlet.core.refusal import InvalidCredential, Refusal, Unauthenticated
from mantlet.core.tasks import Tasks
from mantlet.listeners.messages.carrier import Terms
from mantlet.listeners.tcp.config import TcpConfig
from mantlet.listeners.tcp.listener import TcpListener, listen
from mantlet.listeners.tls import Served
from mantlet.wire import jsonrpc
from mantlet.wire.answer import refused

PEPPER: Final = b"p" * 32
PATIENCE_S: Final = 10.0
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


class House:
    """What is served, and what reached its handlers."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.arrivals: list[Arrival] = []
        self.openings: list[Arrival] = []
        self.refusals: list[Refusal] = []
        self.errors: list[BaseException] = []
        self.cancelled = 0
        self.holders: dict[bytes, Caller] = {b"alice-token": ALICE, b"bob-token": BOB}
        self.verifiers: dict[str, str] = {}
        """By the id of a key of Alice's."""
        self.handler: Callable[[Arrival, Any], Awaitable[Reply]] = self.echo
        self.tasks = Tasks(self.errors.append)
        self.clients: list[LineClient] = []
        self.may_open: asyncio.Event | None = None
        self.listener: TcpListener
        self.terms: Terms

    def open(self, tls: Served | None = None, **settings: Any) -> None:
        config = msgspec.convert({"port": 0, "enabled": True, **settings}, TcpConfig)
        ids = itertools.count(1)
        self.terms = Terms(
            handler=self._handle,
            refuse=self._refuse,
            clock=Clock(lambda: self.now_s, lambda: self.now_s),
            tasks=self.tasks,
            new_id=lambda: f"r{next(ids)}",
            on_error=lambda error, _: self.errors.append(error),
            door="tcp",
            max_in_flight=config.max_in_flight,
            max_refused=config.max_refused,
            max_per_caller=config.per_caller_connections,
        )
        self.listener = listen(
            config, self.terms, self._opening, ["/mcp", "/mcp/one"], on_error=self.errors.append, tls=tls
        )

    async def close(self) -> None:
        for client in self.clients:
            client.writer.close()
        await self.listener.close()
        await self.tasks.close()

    async def _opening(self, arrival: Arrival) -> Reply:
        self.openings.append(arrival)
        if self.may_open is not None:
            await self.may_open.wait()
        if arrival.proof is not None:
            if not check(arrival.proof, self.verifiers.get(arrival.proof.key_id, ""), PEPPER):
                raise InvalidCredential("a wrong proof")
            arrival.caller = ALICE
            return Reply(200, [])
        value = arrival.headers.get(b"authorization")
        if value is None:
            raise Unauthenticated
        caller = self.holders.get(value.removeprefix(b"Bearer "))
        if caller is None:
            raise InvalidCredential("unknown")
        arrival.caller = caller
        return Reply(200, [])

    async def _handle(self, arrival: Arrival) -> Reply:
        self.arrivals.append(arrival)
        body = await arrival.read()
        try:
            message = jsonrpc.envelope(jsonrpc.decode(body)).message if arrival.verb == "POST" else None
            return await self.handler(arrival, message)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    async def echo(self, arrival: Arrival, message: Any) -> Reply:
        if message is None or "id" not in message:
            return Reply(202, [])
        body = {"jsonrpc": "2.0", "id": message["id"], "result": message.get("params")}
        return Reply(200, [], json.dumps(body, indent=1).encode())  # over several lines

    async def hang(self, arrival: Arrival, message: Any) -> Reply:
        await asyncio.Event().wait()
        raise AssertionError

    async def _refuse(self, trail: Trail, refusal: Refusal) -> Reply:
        self.refusals.append(refusal)
        return refused(refusal, trail)

    async def connect(self, **kwargs: Any) -> LineClient:
        client = LineClient(*await asyncio.open_connection("127.0.0.1", self.listener.port, **kwargs))
        self.clients.append(client)
        return client

    async def ready(self, **params: Any) -> LineClient:
        client = await self.connect()
        assert "result" in await client.auth(**params)
        return client

    def pass_s(self, seconds: float) -> None:
        """Let time go by, and the listener notice."""
        self.now_s += seconds
        self.listener._door.sweep()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                await asyncio.sleep(0)
