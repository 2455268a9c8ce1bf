"""A store that answers, but late: neither gone nor useful (RATE-05)."""

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.stores.proxy import Proxy
from tests.stores.servers import Servers
from tests.waiting import until

from mantlet.core.refusal import StoreUnavailable
from mantlet.stores.valkey.client import ValkeyClient


def fail(error: BaseException) -> None:
    raise error


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    servers = Servers(tmp_path)
    proxy = Proxy(servers.start())
    proxy.start()
    yield proxy
    proxy.close()
    servers.close()


async def test_a_slow_server_is_left_until_it_is_quick_again(proxy: Proxy) -> None:
    client = ValkeyClient(
        f"valkey://127.0.0.1:{proxy.port}", chance=random.random, on_error=fail, timeout_s=10.0, slow_s=0.1
    )
    assert await client.start()
    proxy.delay_s = 0.2

    async def ask() -> None:
        while True:
            await client.call("PING")

    async with asyncio.timeout(30):
        with pytest.raises(StoreUnavailable, match="answers take"):
            await ask()
    await until(lambda: client.epoch == 1 and "answers take" in client.why and not client.is_ready)
    proxy.delay_s = 0.0
    await until(lambda: client.is_ready)
    assert await client.call("PING") == b"PONG"
    await client.close()


async def test_one_slow_answer_is_a_moment_and_not_a_slow_store(proxy: Proxy) -> None:
    client = ValkeyClient(
        f"valkey://127.0.0.1:{proxy.port}", chance=random.random, on_error=fail, timeout_s=10.0, slow_s=0.1
    )
    assert await client.start()
    for _ in range(3):
        proxy.delay_s = 0.15
        await client.call("PING")
        proxy.delay_s = 0.0
        await client.call("PING")
    assert client.epoch == 1
    await client.close()
