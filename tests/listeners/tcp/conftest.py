"""Houses that are closed after the test."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import uvloop
from tests.listeners.tcp.house import House

Serve = Callable[..., Awaitable[House]]


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Both loops that the product runs on."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    houses: list[House] = []

    async def open_house(**settings: Any) -> House:
        house = House()
        house.open(**settings)
        houses.append(house)
        return house

    yield open_house
    for house in houses:
        await house.close()
