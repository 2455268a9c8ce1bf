"""Real servers: one of its own for a test that asks for `server` (and may kill it), else one for the whole session."""

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Iterator

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


@pytest.fixture(scope="session")
def shared_url() -> Iterator[str]:
    """The session's server, in a thread with a loop of its own."""
    started: list[str] = []
    errors: list[BaseException] = []
    ready, over = threading.Event(), threading.Event()

    async def serve() -> None:
        embedded = EmbeddedValkey(on_error=errors.append)
        started.append(await embedded.start())
        ready.set()
        await asyncio.get_running_loop().run_in_executor(None, over.wait)
        await embedded.close()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            errors.append(error)
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait()
    if errors:
        pytest.fail(f"embedded Valkey did not start: {errors[0]!r}")
    yield started[0]
    over.set()
    thread.join()


@pytest.fixture
async def client(request: pytest.FixtureRequest) -> AsyncIterator[ValkeyClient]:
    """Connected to the test's own server if it has one, else to the session's, emptied."""
    if "server" in request.fixturenames:
        url = request.getfixturevalue("server")[1]
    else:
        url = request.getfixturevalue("shared_url")
    client = ValkeyClient(url, chance=random.random, on_error=fail, timeout_s=5.0)
    assert await client.start()
    await client.call("FLUSHALL")
    yield client
    await client.close()
