"""A real server for every suite that runs over one."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from mantlet.stores.valkey.embedded import EmbeddedValkey


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    """One real server a session, in a loop of its own; a server that cannot start fails the tests with its reason."""
    started: list[str] = []
    errors: list[BaseException] = []
    ready, over = threading.Event(), threading.Event()

    async def serve() -> None:
        server = EmbeddedValkey(on_error=errors.append)
        started.append(await server.start())
        ready.set()
        await asyncio.get_running_loop().run_in_executor(None, over.wait)
        await server.close()

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
