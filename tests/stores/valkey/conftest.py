"""Real servers: one of its own for a test that asks for `server` (and may kill it), else one for the whole session."""

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
async def client(request: pytest.FixtureRequest) -> AsyncIterator[ValkeyClient]:
    """Connected to the test's own server if it has one, else to the session's, emptied."""
    if "server" in request.fixturenames:
        url = request.getfixturevalue("server")[1]
    else:
        url = request.getfixturevalue("valkey_url")
    client = ValkeyClient(url, chance=random.random, on_error=fail, timeout_s=5.0)
    assert await client.start()
    await client.call("FLUSHALL")
    yield client
    await client.close()
