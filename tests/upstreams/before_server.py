"""A server that does what a test says, a clock in the test's hand, and calls, for what stands before servers."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from mantlet.core.call import Arrival, Call, Reply
from mantlet.core.caller import Caller
from mantlet.core.headers import Headers
from mantlet.core.record import Trail

End = Reply | BaseException


class Clock:
    """Monotonic time."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        """In no time."""
        self.now_s += seconds
        await asyncio.sleep(0)


class Server:
    """Gives a reply or raises an error, after so long; keeps what it was sent."""

    name = "docs"

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.calls: list[Call] = []
        self.end: End | Callable[[Call], Awaitable[End] | End] = Reply(200, [], b"{}")
        self.takes_s = 0.0
        self.gate: asyncio.Event | None = None

    async def send(self, call: Call, /) -> Reply:
        self.calls.append(call)
        self.clock.now_s += self.takes_s
        if self.gate is not None:
            await self.gate.wait()
        end = self.end(call) if callable(self.end) else self.end
        if isinstance(end, Awaitable):
            end = await end
        if isinstance(end, BaseException):
            raise end
        return end

    async def health(self) -> Mapping[str, Any]:
        return {"name": self.name, "state": "healthy"}


def a_call(
    method: str = "tools/call", target: str = "t", *, identity: str | int = 1, era: Any = "modern", **more: Any
) -> Call:
    """A request of somebody's."""

    async def no_body() -> bytes:
        return b""

    trail = Trail("r-1", "http", "127.0.0.1", 0.0)
    arrival = Arrival("POST", "/mcp/docs", b"", Headers(more.pop("headers", [])), "127.0.0.1", no_body, 1e9, trail)
    subject = more.pop("subject", "a")
    params = more.pop("params", {"name": target})
    message = {"jsonrpc": "2.0", "id": identity, "method": method, "params": params}
    return Call(
        arrival=arrival,
        caller=Caller(subject, "local", "api_key"),
        kind=more.pop("kind", "request"),
        era=era,
        server=more.pop("server", "docs"),
        method=method,
        target=target,
        params=params,
        body=msgspec.json.encode(message),
        id=msgspec.json.encode(identity),
        deadline_s=more.pop("deadline_s", 1e9),
        message=message,
        **more,
    )
