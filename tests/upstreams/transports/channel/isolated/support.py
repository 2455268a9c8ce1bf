"""A started server with a channel for each session, and what its clients do."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.upstreams.transports.channel.support import PlainSealer, call, messages, server_command, spawning

from mantlet.core.call import Call, Reply
from mantlet.core.clock import Clock
from mantlet.core.ports import Upstream
from mantlet.upstreams.transports.channel.config import RestartConfig
from mantlet.upstreams.transports.channel.isolated.server import IsolatedServer
from mantlet.upstreams.transports.stdio.config import StdioServerConfig

LEGACY = server_command("lines.py")
MODERN = server_command("lines.py", "--era", "modern")
EVERY_CAPABILITY = {"elicitation": {}, "sampling": {}, "roots": {"listChanged": True}}


@dataclass
class Hand:
    """A clock in the test's hand; it never runs on its own faster than the real one."""

    ahead_s: float = 0.0
    clock: Clock = field(init=False)

    def __post_init__(self) -> None:
        self.clock = Clock(lambda: time.monotonic() + self.ahead_s, lambda: time.time() + self.ahead_s)


@asynccontextmanager
async def isolated(command: list[str], hand: Hand | None = None, **config: Any) -> AsyncIterator[IsolatedServer]:
    input_timeout_s = config.pop("input_timeout_s", 300.0)
    config.setdefault("restart", RestartConfig(backoff=0.05, max=0.5))
    config.setdefault("stop_timeout", 1.0)
    settings = StdioServerConfig(name="test", command=command, isolation="session", **config)
    clock = (hand or Hand()).clock
    server = IsolatedServer(settings, PlainSealer(), spawning(settings), clock=clock, input_timeout_s=input_timeout_s)
    await server.start()
    try:
        yield server
    finally:
        await server.close()


async def begin(server: Upstream, who: str = "alice", capabilities: Any = EVERY_CAPABILITY, **extra: Any) -> str:
    params = {
        "protocolVersion": "2025-11-25",
        "capabilities": capabilities,
        "clientInfo": {"name": f"client of {who}", "version": "1"},
        **extra,
    }
    reply = await server.send(call("initialize", params, era="legacy", who=who, timeout_s=10_000))
    session = reply.header(b"mcp-session-id")
    assert session is not None, reply.body
    told = call("notifications/initialized", era="legacy", kind="notification", who=who, session=session.decode())
    assert (await server.send(told)).status == 202
    return session.decode()


def response(session: str, id: Any, who: str = "alice", **content: Any) -> Call:  # noqa: A002
    """A client's answer to what the server asked."""
    made = call("", era="legacy", kind="response", session=session, who=who)
    made.message = {"jsonrpc": "2.0", "id": id, **(content or {"result": {"action": "accept"}})}
    made.body = json.dumps(made.message).encode()
    return made


class Stream:
    """The messages of a streaming reply, one after another."""

    def __init__(self, reply: Reply) -> None:
        assert not isinstance(reply.body, bytes), reply.body
        self._body = reply.body
        self._ready: list[Any] = []

    async def next(self) -> Any:
        while not self._ready:
            self._ready = messages(await anext(self._body))
        return self._ready.pop(0)

    async def close(self) -> None:
        await self._body.aclose()  # type: ignore[attr-defined]


async def listen(server: Upstream, session: str, who: str = "alice") -> Stream:
    return Stream(await server.send(call("", era="legacy", kind="stream", session=session, who=who)))
