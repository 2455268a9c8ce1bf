"""A cluster that changes under its users: slots that move, masters that die (RATE-03, RATE-05)."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.stores.servers import Servers, say, start_cluster
from tests.waiting import until

from mantlet.core.clock import SYSTEM
from mantlet.core.ports import Charge
from mantlet.core.refusal import StoreUnavailable
from mantlet.stores.failover import FailoverLimits
from mantlet.stores.limits import open_limits
from mantlet.stores.shared import open_shared
from mantlet.stores.valkey.cluster import ClusterClient
from mantlet.stores.valkey.keys import PREFIX
from mantlet.stores.valkey.limits import SLOT, ValkeyLimits
from mantlet.stores.valkey.opening import make_client
from mantlet.stores.valkey.slots import slot_of
from mantlet.stores.valkey.state import ValkeyState
from mantlet.stores.valkey.state import name_of as name_of_state


def fail(error: BaseException) -> None:
    raise error


class Cluster:
    """Three masters of the test's own, and as many replicas as it asks for."""

    def __init__(self, servers: Servers, replicas: int = 0) -> None:
        self.servers = servers
        self.ports = start_cluster(servers, replicas=replicas, node_timeout_ms=700)

    @property
    def url(self) -> str:
        return f"valkey+cluster://127.0.0.1:{self.ports[0]},127.0.0.1:{self.ports[1]},127.0.0.1:{self.ports[2]}"

    def owner(self, slot: int, asked: int) -> int:
        for first, last, (_, port, *_), *_ in say(asked, "CLUSTER", "SLOTS"):
            if first <= slot <= last:
                found: int = port
                return found
        raise AssertionError("nobody has the slot")

    def move(self, slot: int, here: int, there: int, *, is_done: bool = True) -> None:
        """Move a slot as the tools do; or leave it half moved, its keys gone and its owner still the old one."""
        ids = {port: say(port, "CLUSTER", "MYID") for port in (here, there)}
        say(there, "CLUSTER", "SETSLOT", slot, "IMPORTING", ids[here])
        say(here, "CLUSTER", "SETSLOT", slot, "MIGRATING", ids[there])
        while keys := say(here, "CLUSTER", "GETKEYSINSLOT", slot, 100):
            say(here, "MIGRATE", "127.0.0.1", there, "", 0, 5000, "KEYS", *keys)
        if is_done:
            self.settle(slot, there)

    def settle(self, slot: int, there: int) -> None:
        who = say(there, "CLUSTER", "MYID")
        for port in [there, *(port for port in self.ports[:3] if port != there)]:
            say(port, "CLUSTER", "SETSLOT", slot, "NODE", who)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Servers]:
    servers = Servers(tmp_path)
    yield servers
    servers.close()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """For the tests that leave it whole."""
    servers = Servers(tmp_path_factory.mktemp("cluster"))
    yield Cluster(servers)
    servers.close()


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[ClusterClient]:
    client = make_client(url, chance=random.random, on_error=fail, timeout_s=5.0)
    assert isinstance(client, ClusterClient)
    assert await client.start(10.0), client.why
    yield client
    await client.close()


async def test_windows_move_with_their_slot_and_no_count_is_lost(cluster: Cluster) -> None:
    """RATE-03: the slot that all windows lie in moves back and forth under load; moved, half moved, unknown."""
    charge = Charge(("a",), 500, 60)
    async with connected(cluster.url) as client:
        limits = ValkeyLimits(client)
        admitted = 0
        assert client.epoch_of(SLOT) == 1
        here = cluster.owner(SLOT, cluster.ports[0])
        for there in [port for port in cluster.ports if port != here]:
            for _ in range(50):
                admitted += (await limits.take([charge])).allowed
            await asyncio.to_thread(cluster.move, SLOT, here, there, is_done=False)
            for _ in range(50):  # ASK: the old owner still answers for the slot, and has no key of it
                admitted += (await limits.take([charge])).allowed
            await asyncio.to_thread(cluster.settle, SLOT, there)
            for _ in range(50):  # MOVED
                admitted += (await limits.take([charge])).allowed
            here = there
        for _ in range(300):
            admitted += (await limits.take([charge])).allowed
        assert admitted == 500
        assert await limits.reset(("a",)) == 1
        assert client.epoch_of(SLOT) > 1  # whoever takes over a slot might have forgotten


async def test_a_value_is_found_wherever_its_key_went(cluster: Cluster) -> None:
    async with connected(cluster.url) as client:
        state = ValkeyState(client)
        for number in range(30):
            await state.put((str(number),), b"%d" % number, 60)
        moved = []
        for number in range(0, 30, 5):
            slot = slot_of(name_of_state((str(number),)))
            here = cluster.owner(slot, cluster.ports[0])
            there = next(port for port in cluster.ports if port != here)
            await asyncio.to_thread(cluster.move, slot, here, there, is_done=number % 2 == 0)
            moved.append((slot, there))
        assert [await state.get((str(number),)) for number in range(30)] == [b"%d" % number for number in range(30)]
        for slot, there in moved:
            await asyncio.to_thread(cluster.settle, slot, there)


async def test_one_named_server_leads_to_all(cluster: Cluster) -> None:
    async with connected(f"valkey+cluster://127.0.0.1:{cluster.ports[2]}") as client:
        state = ValkeyState(client)
        for number in range(30):
            await state.put((str(number),), b"x", 60)
        assert len(client._servers) == 3


@pytest.mark.slow
async def test_what_nobody_serves_is_refused_at_once(own: Servers) -> None:
    """RATE-05"""
    cluster = Cluster(own)
    async with connected(cluster.url) as client:
        owner = cluster.owner(SLOT, cluster.ports[0])
        cluster.servers.kill(owner)
        await until(lambda: not client.is_ready_for(SLOT))
        with pytest.raises(StoreUnavailable):
            client.send(b"", SLOT)


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 10], ids=["exact", "leases are out"])
async def test_a_fail_over_grants_no_second_quota_and_is_over_by_itself(own: Servers, times: int) -> None:
    """RATE-03, RATE-05, RES-06: the master of all windows dies under load; limits, state and post come back."""
    cluster = Cluster(own, replicas=3)
    changes: list[str] = []
    charge = Charge(("a",), 300 * times, 60)
    tools: Any = {"clock": SYSTEM, "chance": random.random, "on_error": fail}
    async with (
        open_limits(cluster.url, sharers=2, on_change=lambda state, why: changes.append(state), **tools) as one,
        open_limits(cluster.url, sharers=2, **tools) as other,
        open_shared(cluster.url, **tools) as (state, post),
        open_shared(cluster.url, **tools) as (_, there),
    ):
        assert isinstance(one, FailoverLimits)
        assert isinstance(other, FailoverLimits)
        heard: list[bytes] = []
        there.open("box", heard.append)
        admitted = 0
        for number in range(100 * times):
            admitted += (await (one, other)[number % 2].take([charge])).allowed
        await state.put(("kept",), b"x", 60)
        old = cluster.owner(SLOT, cluster.ports[0])
        alive = next(port for port in cluster.ports[:3] if port != old)
        cluster.servers.kill(old)
        for number in range(100 * times):
            admitted += (await (one, other)[number % 2].take([charge])).allowed
        await until(lambda: cluster.owner(SLOT, alive) != old)

        async def is_back() -> bool:
            nonlocal admitted
            for limits in (one, other):
                admitted += (await limits.take([charge])).allowed
                limits.look()  # a share that is spent asks the store no more: the node looks every second
            return "recovering" in changes

        await until(is_back)
        for number in range(600 * times):
            admitted += (await (one, other)[number % 2].take([charge])).allowed
        assert 200 * times <= admitted <= 300 * times
        assert [*dict.fromkeys(changes)] == ["degraded", "recovering"]  # one word more for each new reason

        async def is_heard() -> bool:
            try:
                return await post.send(there.address, "box", b"x") and await state.get(("kept",)) == b"x"
            except StoreUnavailable:
                return False

        await until(is_heard)
        await until(lambda: bool(heard))


def test_all_names_of_limits_have_one_tag() -> None:
    assert slot_of(f"{PREFIX}:anything") == SLOT
