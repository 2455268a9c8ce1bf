"""What the houses of doors for messages have in common: a clock in the test's hand, and what reached the handlers."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, Generic, Protocol, TypeVar

from mantlet.core.call import Arrival, Reply
from mantlet.core.caller import Caller
from mantlet.core.clock import Clock
from mantlet.core.record import Trail
from mantlet.core.refusal import InvalidCredential, Refusal, Unauthenticated
from mantlet.core.tasks import Tasks
from mantlet.listeners.messages.carrier import Terms
from mantlet.wire import jsonrpc
from mantlet.wire.answer import refused

PATIENCE_S: Final = 10.0


class Client(Protocol):
    """One connection."""

    writer: asyncio.StreamWriter


C = TypeVar("C", bound=Client)


class DoorHouse(Generic[C]):
    """A listener on a loopback port, and what reached its handlers."""

    def __init__(
        self,
        door: str,
        client: Callable[[asyncio.StreamReader, asyncio.StreamWriter], C],
        holders: dict[bytes, Caller],
    ) -> None:
        self._name, self._client = door, client
        self.now_s = 1000.0
        self.clock = Clock(lambda: self.now_s, lambda: self.now_s)
        self.arrivals: list[Arrival] = []
        self.refusals: list[Refusal] = []
        self.errors: list[BaseException] = []
        self.cancelled = 0
        self.holders = holders
        """Who comes with which token."""
        self.handler: Callable[[Arrival, Any], Awaitable[Reply]] = self.echo
        self.tasks = Tasks(self.errors.append)
        self.clients: list[C] = []
        self.listener: Any
        self.terms: Terms

    async def open(self, **settings: Any) -> None:
        raise NotImplementedError

    def terms_of(self, config: Any) -> Terms:
        ids = itertools.count(1)
        return Terms(
            handler=self._handle,
            refuse=self._refuse,
            clock=self.clock,
            tasks=self.tasks,
            new_id=lambda: f"r{next(ids)}",
            on_error=lambda error, _: self.errors.append(error),
            door=self._name,
            max_in_flight=config.max_in_flight,
            max_refused=config.max_refused,
            max_per_caller=config.per_caller_connections,
        )

    async def close(self) -> None:
        for client in self.clients:
            client.writer.close()
        await self.listener.close()
        await self.tasks.close()

    def holder(self, arrival: Arrival) -> Caller:
        value = arrival.headers.get(b"authorization")
        if value is None:
            raise Unauthenticated
        caller = self.holders.get(value.removeprefix(b"Bearer "))
        if caller is None:
            raise InvalidCredential("unknown")
        return caller

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

    async def connect(self, **kwargs: Any) -> C:
        client = self._client(*await asyncio.open_connection("127.0.0.1", self.listener.port, **kwargs))
        self.clients.append(client)
        return client

    def pass_s(self, seconds: float) -> None:
        """Let time go by, and the listener notice."""
        self.now_s += seconds
        self.listener._door.sweep()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                await asyncio.sleep(0)


H = TypeVar("H", bound=DoorHouse[Any])


@asynccontextmanager
async def serving(make: Callable[[], H]) -> AsyncIterator[Callable[..., Awaitable[H]]]:
    """Opens houses, and closes them at the end."""
    houses: list[H] = []

    async def serve(**settings: Any) -> H:
        house = make()
        await house.open(**settings)
        houses.append(house)
        return house

    yield serve
    for house in houses:
        await house.close()
