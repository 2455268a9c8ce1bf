"""A conversation with a carrier that keeps what is sent, and a handler in the test's hand."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from mantlet.core.call import Arrival, Reply
from mantlet.core.caller import Caller
from mantlet.core.clock import Clock
from mantlet.core.record import Trail
from mantlet.core.refusal import Refusal
from mantlet.core.tasks import Tasks
from mantlet.listeners.messages.carrier import Ending, Gate, Terms
from mantlet.listeners.messages.conversation import Conversation
from mantlet.wire.answer import refused
from mantlet.wire.sse import format_event

PATIENCE_S = 10.0
CALLER = Caller("alice", "test", "test")


class FakeCarrier:
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed: list[Ending] = []
        self.rooms = 0
        self.gate = Gate()

    @property
    def is_write_paused(self) -> bool:
        return self.gate.is_shut

    def send(self, message: bytes) -> None:
        self.sent.append(message)

    async def writable(self) -> None:
        await self.gate.passed()

    def room(self) -> None:
        self.rooms += 1

    def close(self, ending: Ending) -> None:
        self.closed.append(ending)

    @property
    def messages(self) -> list[Any]:
        return [json.loads(message) for message in self.sent]


class Talk:
    """One conversation, and what reached its handler. Unless told otherwise a request is answered with its params."""

    def __init__(self, **terms: Any) -> None:
        self.arrivals: list[Arrival] = []
        self.bodies: list[Any] = []
        self.recorded: list[Refusal] = []
        self.errors: list[BaseException] = []
        self.cancelled: list[Any] = []
        self.handler: Callable[[Arrival, Any], Awaitable[Reply]] = self.echo
        self.now_s = 1000.0
        self.tasks = Tasks(self.errors.append)
        ids = itertools.count(1)
        self.terms = Terms(
            handler=self._handle,
            refuse=self._refuse,
            clock=Clock(lambda: self.now_s, lambda: self.now_s),
            tasks=self.tasks,
            new_id=lambda: f"r{next(ids)}",
            on_error=lambda error, _: self.errors.append(error),
            door="test",
            **terms,
        )
        self.carrier = FakeCarrier()
        self.conversation = Conversation(self.terms, self.carrier, CALLER, "/mcp/one", "192.0.2.1")

    async def _handle(self, arrival: Arrival) -> Reply:
        self.arrivals.append(arrival)
        body = await arrival.read()
        try:
            message = json.loads(body) if body else None
        except ValueError:
            message = body
        self.bodies.append(message)
        try:
            return await self.handler(arrival, message)
        except asyncio.CancelledError:
            self.cancelled.append(message)
            raise

    async def _refuse(self, trail: Trail, refusal: Refusal) -> Reply:
        self.recorded.append(refusal)
        return refused(refusal, trail)

    async def echo(self, arrival: Arrival, message: Any) -> Reply:
        if message is None or "id" not in message or "method" not in message:
            return Reply(202, [])
        return answer(message["id"], message.get("params"))

    def say(self, **message: Any) -> None:
        self.conversation.receive(json.dumps({"jsonrpc": "2.0", **message}).encode())

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                await asyncio.sleep(0)

    async def settled(self) -> None:
        """Until nothing more happens by itself."""
        for _ in range(50):
            await asyncio.sleep(0)


def answer(identity: Any, result: Any, headers: list[tuple[bytes, bytes]] | None = None) -> Reply:
    body = json.dumps({"jsonrpc": "2.0", "id": identity, "result": result}).encode()
    return Reply(200, [(b"content-type", b"application/json"), *(headers or [])], body)


class Events:
    """A streamed body in the test's hand."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.is_closed = False
        for message in messages:
            self.push(message)

    def push(self, message: dict[str, Any], id: bytes | None = None) -> None:  # noqa: A002
        self.queue.put_nowait(format_event(json.dumps({"jsonrpc": "2.0", **message}).encode(), id))

    def end(self) -> None:
        self.queue.put_nowait(None)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        chunk = await self.queue.get()
        if chunk is None:
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        self.is_closed = True

    def reply(self) -> Reply:
        return Reply(200, [(b"content-type", b"text/event-stream")], self)
