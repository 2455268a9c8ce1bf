"""A started stdio server for a test, closed at its end."""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.upstreams.transports.stdio.support import PlainSealer

from mantlet.upstreams.transports.stdio.config import RestartConfig, StdioServerConfig
from mantlet.upstreams.transports.stdio.server import StdioServer

Open = Callable[..., Any]


@pytest.fixture
def events() -> list[tuple[str, dict[str, Any]]]:
    return []


@pytest.fixture
def opened(events: list[tuple[str, dict[str, Any]]]) -> Open:
    """`async with opened(command, **config) as server`: a started server that is closed at the end."""

    @asynccontextmanager
    async def open_server(command: list[str], **config: Any) -> AsyncIterator[StdioServer]:
        config.setdefault("restart", RestartConfig(backoff=0.05, max=0.5))
        config.setdefault("stop_timeout", 1.0)
        server = StdioServer(
            StdioServerConfig(name="test", command=command, **config),
            PlainSealer(),
            chance=random.Random(1).random,
            events=lambda event, fields: events.append((event, dict(fields))),
        )
        await server.start()
        try:
            yield server
        finally:
            await server.close()

    return open_server
