"""A scripted legacy server, and as many processes before it as a test wants."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from tests.upstreams.bridge.to_legacy.support import Client, Legacy
from tests.upstreams.conftest import Serve
from tests.upstreams.transports.http.support import FakeSealer

from mantlet.stores.post import LocalPost
from mantlet.upstreams.bridge.config import BridgeConfig
from mantlet.upstreams.bridge.to_legacy import Places, ToLegacy
from mantlet.upstreams.transports.http import HttpServer
from mantlet.upstreams.transports.http.config import HttpServerConfig


class Door:
    """One process: `crossing` before the server, with all that it shares."""

    def __init__(
        self, port: int, houses: dict[str, LocalPost], config: BridgeConfig, name: str, connections: int
    ) -> None:
        url = f"http://127.0.0.1:{port}/mcp"
        self.sealer = FakeSealer()
        self.inner = HttpServer(
            HttpServerConfig(name=name, url=url, era="legacy", max_connections=connections),
            self.sealer,
            is_plain_allowed=True,
        )
        self.post = LocalPost(houses)
        self.places = Places(config)
        self.errors: list[BaseException] = []
        self.crossing = ToLegacy(
            self.inner,
            config,
            self.sealer,
            self.post,
            self.places,
            room=self.inner.room,
            on_error=self.errors.append,
        )

    def client(self, **more: Any) -> Client:
        return Client(self.crossing, **more)

    async def settle(self) -> None:
        """Until nothing is under way but what lasts."""
        async with asyncio.timeout(5):
            while any(task.get_name() in _PASSING for task in asyncio.all_tasks()):
                await asyncio.sleep(0.01)

    async def close(self) -> None:
        await self.crossing.close()
        await self.inner.close()
        assert self.errors == []


_PASSING = {"bridge-call", "bridge-cancel", "bridge-end", "bridge-open", "bridge-relay", "bridge-leave",
            "bridge-unsubscribe"}  # fmt: skip
MakeDoor = Callable[..., Door]


@pytest.fixture
async def server() -> Legacy:
    return Legacy()


@pytest.fixture
async def open_door(server: Legacy, serve: Serve) -> AsyncIterator[MakeDoor]:
    raw = await serve(server)
    doors: list[Door] = []
    houses: dict[str, LocalPost] = {}

    def make(name: str = "everything", connections: int = 400, **config: Any) -> Door:
        doors.append(Door(raw.port, houses, BridgeConfig(**config), name, connections))
        return doors[-1]

    yield make
    for door in doors:
        await door.close()
    assert not [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("bridge-")]


@pytest.fixture
def door(open_door: MakeDoor) -> Door:
    return open_door()
