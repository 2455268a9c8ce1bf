"""A real server for a test that may kill it."""

import random
from collections.abc import AsyncIterator

import pytest

from mantlet.stores.valkey.client import ValkeyClient
from mantlet.stores.valkey.embedded import EmbeddedValkey


def fail(error: BaseException) -> None:
    raise error


@pytest.fixture
async def server() -> AsyncIterator[tuple[EmbeddedValkey, str]]:
    embedded = EmbeddedValkey(on_error=fail)
    try:
        url = await embedded.start()
    except Exception as error:
        pytest.fail(f"embedded Valkey did not start: {error!r}")
    yield embedded, url
    await embedded.close()


@pytest.fixture
async def client(server: tuple[EmbeddedValkey, str]) -> AsyncIterator[ValkeyClient]:
    client = ValkeyClient(server[1], chance=random.random, on_error=fail, timeout_s=1.0)
    assert await client.start()
    yield client
    await client.close()
