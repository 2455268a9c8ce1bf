"""Houses that are closed after the test."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import uvloop
from tests.listeners.messages.door_house import serving
from tests.listeners.websocket.house import House

Serve = Callable[..., Awaitable[House]]


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Both loops that the product runs on."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    async with serving(House) as serve:
        yield serve
