"""What one decision costs, and how often the store is asked for it."""

import asyncio
import random
import resource
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.stores.servers import Servers

from mantlet.core.clock import SYSTEM
from mantlet.core.ports import Charge
from mantlet.stores.limits import open_limits

CONCURRENCIES = (1, 16, 64)
CHARGES = (
    Charge(("principal", "default", "issuer", "alice", "client"), 2_000_000, 60.0, "client"),
    Charge(("global", "global"), 20_000_000, 60.0, "global"),
    Charge(("principal", "default", "issuer", "alice", "burst"), 500_000, 1.0, "burst"),
)
"""Large, so that leases have something to do; the cost of an exact take does not depend on it."""
ROUNDS = 5
OTHERS = Path(__file__).with_name("others.py")


@dataclass(frozen=True)
class Cost:
    """Of one decision on three limits."""

    name: str
    concurrency: int
    cpu_us: float
    """Of the best round, beside what the same callers cost without a limiter."""
    round_trips: float


class _Counted:
    """Puts a count before whatever sends."""

    def __init__(self, limits: Any) -> None:
        self.sent = 0
        shared = getattr(limits, "_shared", None)
        if shared is None:
            return
        client = getattr(shared, "_store", shared)._client
        send = client.send

        def counting(*args: Any) -> Any:
            self.sent += 1
            return send(*args)

        client.send = counting


async def cost(name: str, url: str, concurrency: int, decisions: int, *, leases: bool = False) -> Cost:
    """Best of some rounds, in this process."""

    def unexpected(error: BaseException) -> None:
        raise error

    async with open_limits(
        url, clock=SYSTEM, chance=random.random, on_error=unexpected, leases=leases, sharers=3
    ) as limits:
        counted = _Counted(limits)

        async def caller(times: int, is_limited: bool) -> None:
            for _ in range(times):
                if is_limited:
                    await limits.take(CHARGES)
                await asyncio.sleep(0)

        async def round_us(is_limited: bool) -> float:
            before_s = _cpu_s()
            await asyncio.gather(*(caller(decisions // concurrency, is_limited) for _ in range(concurrency)))
            return (_cpu_s() - before_s) / (decisions // concurrency * concurrency) * 1e6

        await round_us(True)
        counted.sent = 0
        best = min([await round_us(True) for _ in range(ROUNDS)])
        trips = counted.sent / (decisions // concurrency * concurrency * ROUNDS)
        return Cost(name, concurrency, best - min([await round_us(False) for _ in range(ROUNDS)]), trips)


def others(python: str, url: str, decisions: int) -> list[Cost]:
    """The same with `limits` under another Python, which has it and a client for it."""
    done = subprocess.run([python, str(OTHERS), url, str(decisions)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr[-800:])
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    return [Cost(name, int(concurrency), float(cpu_us), float(trips)) for name, concurrency, cpu_us, trips in rows]


async def measure(decisions: int, python: str) -> Sequence[Cost]:
    """All, interleaved by concurrency."""
    found: list[Cost] = []
    with tempfile.TemporaryDirectory() as folder:
        servers = Servers(Path(folder))
        try:
            url = f"valkey://127.0.0.1:{servers.start()}"
            for concurrency in CONCURRENCIES:
                found.append(await cost("in memory", "memory://", concurrency, decisions))
                found.append(await cost("shared, exact", url, concurrency, decisions))
                found.append(await cost("shared, with leases", url, concurrency, decisions, leases=True))
            if python:
                found += await asyncio.to_thread(others, python, url, decisions // 10)
        finally:
            servers.close()
    return found


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
