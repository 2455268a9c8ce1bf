"""A started stdio server for a test, closed at its end."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop
from tests.upstreams.transports.channel.support import PlainSealer, spawning

from mantlet.upstreams.transports.channel.config import RestartConfig
from mantlet.upstreams.transports.channel.server import ChannelServer
from mantlet.upstreams.transports.stdio.config import StdioServerConfig

Open = Callable[..., Any]


BOTH_LOOPS = (
    "test_a_modern_call",
    "test_close_while",
    "test_kill_of_the_child",
    "test_close_leaves_no_process",
    "test_a_deaf_child",
    "test_last_words",
    "test_a_program_that_cannot_run",
)
"""Pipes and processes differ between the loops."""


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> dict[str, Callable[[], Any]]:
    """uvloop, as the node runs; where it matters asyncio's own too."""
    loops: dict[str, Callable[[], Any]] = {"uvloop": uvloop.new_event_loop}
    if item.name.startswith(BOTH_LOOPS):
        loops["asyncio"] = asyncio.new_event_loop
    return loops


@pytest.fixture
def events() -> list[tuple[str, dict[str, Any]]]:
    return []


@pytest.fixture
def opened(events: list[tuple[str, dict[str, Any]]]) -> Open:
    """`async with opened(command, **config) as server`: a started server that is closed at the end."""

    @asynccontextmanager
    async def open_server(command: list[str], **config: Any) -> AsyncIterator[ChannelServer]:
        config.setdefault("restart", RestartConfig(backoff=0.05, max=0.5))
        config.setdefault("stop_timeout", 1.0)
        settings = StdioServerConfig(name="test", command=command, **config)
        server = ChannelServer(
            settings,
            PlainSealer(),
            spawning(settings),
            chance=random.Random(1).random,
            events=lambda event, fields: events.append((event, dict(fields))),
        )
        await server.start()
        try:
            yield server
        finally:
            await server.close()

    return open_server
