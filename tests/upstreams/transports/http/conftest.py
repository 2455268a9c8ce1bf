"""An `HttpServer` for a test, closed at its end."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import uvloop
from tests.upstreams.transports.http.support import FakeSealer

from mantlet.core.secret import Secret
from mantlet.upstreams.transports.http import HttpServer, HttpServerConfig


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> dict[str, Callable[[], Any]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def opened() -> AsyncIterator[Callable[..., HttpServer]]:
    servers: list[HttpServer] = []

    def make(where: str | int, **config: Any) -> HttpServer:
        url = where if isinstance(where, str) else f"http://127.0.0.1:{where}/mcp"
        config["headers"] = {name: Secret(value) for name, value in config.get("headers", {}).items()}
        made = HttpServerConfig(name="everything", url=url, **config)
        servers.append(HttpServer(made, FakeSealer(), is_plain_allowed=True))
        return servers[-1]

    yield make
    for server in servers:
        await server.close()
