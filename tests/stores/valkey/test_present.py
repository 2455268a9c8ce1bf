"""RATE-05: how many share the limits is counted, not believed."""

import asyncio
import random
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from tests.stores.servers import Servers

from mantlet.core.clock import SYSTEM
from mantlet.core.ports import Charge
from mantlet.core.refusal import StoreUnavailable
from mantlet.stores.failover import FailoverLimits
from mantlet.stores.limits import open_limits
from mantlet.stores.memory import MemoryLimits
from mantlet.stores.valkey.client import ValkeyClient
from mantlet.stores.valkey.present import REMEMBERED, Present


def fail(error: BaseException) -> None:
    raise error


@pytest.fixture
async def client(valkey_url: str) -> AsyncIterator[ValkeyClient]:
    made = ValkeyClient(valkey_url, chance=random.random, on_error=fail)
    await made.start()
    yield made
    await made.close()


class Process:
    def __init__(self, client: ValkeyClient, group: str, *, is_taking: bool = True) -> None:
        self.is_taking, self.told = is_taking, (0, 0)
        self.present = Present(client, group, is_taking=lambda: self.is_taking, counted=self._counted, on_error=fail)

    def _counted(self, most: int, fewest: int) -> None:
        self.told = (most, fewest)


async def test_processes_of_a_group_count_each_other(client: ValkeyClient) -> None:
    group = secrets.token_hex(8)
    several = [Process(client, group) for _ in range(3)]
    stranger, looker = Process(client, group + " other"), Process(client, group, is_taking=False)
    for one in (*several, stranger, looker, several[0]):
        await one.present.beat()
    assert [one.told[0] for one in several] == [3, 2, 3]
    assert stranger.told == (1, 0)
    assert looker.told == (4, 0), "it would be one more if it began now, and no other counts it"
    await several[2].present.close()
    await several[0].present.beat()
    assert several[0].told[0] == 3, "who left is remembered for a while: a store that was emptied knows nobody either"
    for _ in range(REMEMBERED):
        await several[0].present.beat()
    assert several[0].told == (2, 2)


async def test_what_was_counted_is_what_limits_are_shared_by_when_the_store_is_gone() -> None:
    store = MemoryLimits(SYSTEM)

    class Gone:
        async def take_seen(self, charges: object) -> object:
            raise StoreUnavailable(why="gone")

    limits = FailoverLimits(Gone(), SYSTEM, on_failure="local_share", sharers=2, epoch=lambda: 1)  # type: ignore[arg-type]
    assert not limits.is_taking
    limits.counted(1, 1)
    assert (limits.sharers, limits.are_more) == (2, False), "some may not be up yet"
    limits.counted(3, 3)
    assert not limits.are_more, "a supervisor of two workers, which takes nothing itself"
    limits.counted(6, 0)
    charges = [Charge(("library", "x", "alice"), 60, 60.0)]
    assert [(await limits.take(charges)).allowed for _ in range(12)] == [True] * 10 + [False] * 2
    assert limits.is_taking
    limits.counted(6, 6)
    assert limits.are_more
    assert len(store) == 0


async def test_nodes_that_nobody_configured_as_several_admit_no_more_than_the_limit(servers: Servers) -> None:
    """Three processes, each told that it is the only one."""
    port = servers.start()
    url = f"valkey://127.0.0.1:{port}"
    charges = [Charge(("principal", "alice"), 60, 60.0)]
    async with AsyncExitStack() as opened:
        several = []
        for _ in range(3):
            opening = open_limits(url, clock=SYSTEM, chance=random.random, on_error=fail, beat_s=0.02)
            limits = await opened.enter_async_context(opening)
            assert isinstance(limits, FailoverLimits)
            assert (await limits.take(charges)).allowed
            several.append(limits)
        async with asyncio.timeout(10):
            while any(limits.sharers < 3 for limits in several):
                await asyncio.sleep(0.01)
            servers.kill(port)
            while any(limits.state == "shared" for limits in several):
                for limits in several:
                    limits.look()
                await asyncio.sleep(0.01)
        admitted = len(several) + sum([(await limits.take(charges)).allowed for limits in several for _ in range(60)])
        assert 40 <= admitted <= 60
