"""Servers behind every kind of channel: real ones in processes of their own, and hostile ones in the test's."""

import asyncio
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvloop
from tests.upstreams.transports.channel.support import PlainSealer

from mantlet.upstreams.transports.channel.channel import Connect
from mantlet.upstreams.transports.channel.config import ChannelConfig, RestartConfig
from mantlet.upstreams.transports.channel.server import ChannelServer

ROOT = Path(__file__).parents[3]
SERVERS = ROOT / "tests" / "servers"
MCP1_PYTHON = ROOT / ".venv-mcp1" / "bin" / "python"
SOON = RestartConfig(backoff=0.05, max=0.2)


def uvloop_only(config: pytest.Config, item: pytest.Item) -> dict[str, Callable[[], Any]]:
    """As the node runs."""
    return {"uvloop": uvloop.new_event_loop}


def both_loops(config: pytest.Config, item: pytest.Item) -> dict[str, Callable[[], Any]]:
    """Where the loops differ."""
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


@contextmanager
def running(program: str, *options: str, python: Path | str = sys.executable) -> Iterator[int]:
    """A program of `tests/servers` in its own process; gives its port."""
    if not Path(python).exists():
        pytest.skip(f"{python} is not there: `make test-all` makes it")
    command = [str(python), str(SERVERS / program), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line.startswith("listening "), f"the server did not start: {line!r}"
        yield int(line.split()[1])
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


@asynccontextmanager
async def served(
    config: ChannelConfig, connect: Connect, events: list[tuple[str, dict[str, Any]]] | None = None
) -> AsyncIterator[ChannelServer]:
    """A started server, closed at the end, and its connector after it."""

    def note(event: str, fields: Any) -> None:
        if events is not None:
            events.append((event, dict(fields)))

    server = ChannelServer(config, PlainSealer(), connect, chance=random.Random(1).random, events=note)
    await server.start()
    try:
        yield server
    finally:
        await server.close()
        if (close := getattr(connect, "close", None)) is not None:
            await close()


@dataclass
class Recorder:
    """A `LineReader` that keeps what it hears."""

    lines: list[bytes] = field(default_factory=list)
    oversized: list[bytes] = field(default_factory=list)
    whys: list[str] = field(default_factory=list)
    heard: asyncio.Event = field(default_factory=asyncio.Event)
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    def on_line(self, line: bytes, /) -> None:
        self.lines.append(line)
        self.heard.set()

    def on_oversized(self, head: bytes, /) -> None:
        self.oversized.append(head)
        self.heard.set()

    def on_closed(self, why: str, /) -> None:
        self.whys.append(why)
        self.closed.set()


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(talk: Talk) -> AsyncIterator[int]:
    """A hostile server: `talk` has each connection. Gives its port."""
    talking: set[asyncio.Task[None]] = set()
    connected: list[asyncio.StreamWriter] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.append(writer)
        try:
            await talk(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(accept(reader, writer))
        talking.add(task)

    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in talking:
            task.cancel()
        if talking:
            await asyncio.wait(talking)
        for task in talking:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error


async def within(awaited: Awaitable[Any], timeout_s: float = 10.0) -> Any:
    """Fail rather than hang."""
    async with asyncio.timeout(timeout_s):
        return await awaited
