"""A process that hammers one window. Run by test_exactness.py; prints the server's time of every admit."""

import asyncio
import random
import sys
import time
from collections.abc import Sequence

from mantlet.core.clock import SYSTEM
from mantlet.core.ports import Charge, Taken
from mantlet.stores.valkey.client import ValkeyClient
from mantlet.stores.valkey.leased import LeasedLimits
from mantlet.stores.valkey.limits import ValkeyLimits

CONCURRENCY = 8


class Leased(LeasedLimits):
    """What is spent of a lease is admitted when it is spent. The wall clock here is the server's: one machine."""

    def _spend(self, charges: Sequence[Charge], now_s: float) -> tuple[Taken, list[int], int, int] | None:
        spent = super()._spend(charges, now_s)
        return None if spent is None else (spent[0], spent[1], time.time_ns() // 1000, spent[3])


async def main(url: str, seconds: float, limit: int, window_s: float, sharers: int) -> None:
    def fail(error: BaseException) -> None:
        raise error

    client = ValkeyClient(url, chance=random.random, on_error=fail, timeout_s=10.0)
    assert await client.start(10.0)
    exact = ValkeyLimits(client)
    store = Leased(exact, SYSTEM, sharers=sharers) if sharers else exact
    # The last never refuses: it counts what the hot window's refusals must not spend.
    charges = (Charge(("hot",), limit, window_s), Charge(("also",), 10**9, 1), Charge(("log",), 10**9, 3600))
    admits: list[int] = []
    loop = asyncio.get_running_loop()
    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    end_s = loop.time() + seconds

    async def hammer() -> None:
        while loop.time() < end_s:
            taken, _, at_us, _ = await store.take_seen(charges)
            if taken.allowed:
                admits.append(at_us)

    await asyncio.gather(*(hammer() for _ in range(CONCURRENCY)))
    if isinstance(store, Leased):
        await store.close()
    await client.close()
    print(*admits, flush=True)


asyncio.run(main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5])))
