"""A listener on a loopback port, a clock that tests drive, and a raw socket to speak to it."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest
import uvloop

from mantlet.core.call import Arrival, Reply
from mantlet.core.clock import Clock
from mantlet.core.record import Trail
from mantlet.core.refusal import Refusal
from mantlet.core.tasks import Tasks
from mantlet.listeners.http import HttpConfig, HttpListener, listen
from mantlet.wire.answer import refused

PATIENCE_S = 10.0


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Both loops that the product runs on."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


class Client:
    """One raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def head(self) -> tuple[int, dict[bytes, bytes]]:
        async with asyncio.timeout(PATIENCE_S):
            block = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = block[:-4].split(b"\r\n")
        return int(first.split(b" ")[1]), {line.partition(b": ")[0]: line.partition(b": ")[2] for line in lines}

    async def answer(self) -> tuple[int, dict[bytes, bytes], bytes]:
        status, headers = await self.head()
        async with asyncio.timeout(PATIENCE_S):
            return status, headers, await self.reader.readexactly(int(headers.get(b"content-length", b"0")))

    async def chunk(self) -> bytes:
        async with asyncio.timeout(PATIENCE_S):
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            return (await self.reader.readexactly(size + 2))[:-2]

    async def rest(self) -> bytes:
        """Everything until the end, however it ends."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b""

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        self.writer.transport.abort()


class House:
    """A served listener, and what reached its handler."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.arrivals: list[Arrival] = []
        self.refusals: list[tuple[Trail, Refusal]] = []
        self.errors: list[BaseException] = []
        self.bodies: list[bytes] = []
        self.listener: HttpListener
        self.handler: Callable[[Arrival], Awaitable[Reply]] = self.echo
        self.clients: list[Client] = []

    async def echo(self, arrival: Arrival) -> Reply:
        body = await arrival.read()
        self.bodies.append(body)
        return Reply(200, [(b"content-type", b"text/plain")], body)

    async def handle(self, arrival: Arrival) -> Reply:
        self.arrivals.append(arrival)
        try:
            return await self.handler(arrival)
        except Refusal as refusal:  # as the path does
            self.refusals.append((arrival.trail, refusal))
            return refused(refusal, arrival.trail)

    async def refuse(self, trail: Trail, refusal: Refusal) -> Reply:
        self.refusals.append((trail, refusal))
        return refused(refusal, trail)

    async def connect(self, **kwargs: Any) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.listener.port, **kwargs))
        self.clients.append(client)
        return client

    async def ask(self, data: bytes) -> bytes:
        """Send `data` on a fresh connection and give all that comes until its end."""
        client = await self.connect()
        client.send(data)
        return await client.rest()

    def pass_s(self, seconds: float) -> None:
        """Let time go by, and the listener notice."""
        self.now_s += seconds
        self.listener._door.sweep()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let the loop turn until `condition` holds: an event of the other side, not a time."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                await asyncio.sleep(0)

    @property
    def host(self) -> bytes:
        return b"Host: 127.0.0.1:%d\r\n" % self.listener.port

    def get(self, path: bytes = b"/", fields: bytes = b"") -> bytes:
        return b"GET %b HTTP/1.1\r\n%b%b\r\n" % (path, self.host, fields)

    def post(self, body: bytes, fields: bytes = b"", path: bytes = b"/mcp") -> bytes:
        return b"POST %b HTTP/1.1\r\n%bContent-Length: %d\r\n%b\r\n%b" % (path, self.host, len(body), fields, body)


Serve = Callable[..., Awaitable[House]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    opened: list[tuple[House, Tasks]] = []

    async def open_house(
        handler: Callable[[Arrival], Awaitable[Reply]] | None = None,
        public_hosts: tuple[str, ...] = (),
        largest: int = 0,
        told: Callable[[Arrival], Reply | None] | None = None,
        unanswered: Callable[[Trail, Refusal], None] | None = None,
        **config: Any,
    ) -> House:
        house = House()
        if handler is not None:
            house.handler = handler
        tasks = Tasks(house.errors.append)
        ids = itertools.count(1)
        house.listener = await listen(
            msgspec.convert({"port": 0, **config}, HttpConfig),
            house.handle,
            refuse=house.refuse,
            clock=Clock(lambda: house.now_s, lambda: 1_700_000_000.0 + house.now_s),
            tasks=tasks,
            new_id=lambda: f"id-{next(ids)}",
            on_error=lambda error, trail: house.errors.append(error),
            public_hosts=public_hosts,
            max_body_bytes=largest,
            told=told,
            unanswered=unanswered,
        )
        opened.append((house, tasks))
        return house

    yield open_house
    for house, tasks in opened:
        for client in house.clients:
            client.reset()
        await house.listener.close()
        await house.until(lambda: not house.listener.connections())  # noqa: B023
        await tasks.close()
