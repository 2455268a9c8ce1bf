"""Nodes as the limiter knows them: one client and one failover each, all in this process, and calls that are timed."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from mantlet.core.clock import SYSTEM
from mantlet.core.ports import Charge
from mantlet.core.refusal import Refusal
from mantlet.stores.failover import FailoverLimits
from mantlet.stores.limits import open_limits
from mantlet.stores.valkey.access import Access

PACE_S = 0.005
CALLERS = 8


@dataclass
class Calls:
    """What became of the calls of a run. Times are monotonic seconds."""

    begun_s: list[float] = field(default_factory=list)
    took_s: list[float] = field(default_factory=list)
    admitted_s: list[float] = field(default_factory=list)
    errors: int = 0

    def between(self, start_s: float, end_s: float) -> list[float]:
        """Durations of the calls begun in that time, ascending."""
        return sorted(took for begun, took in zip(self.begun_s, self.took_s, strict=True) if start_s <= begun < end_s)

    def most_in_a_window(self, window_s: float) -> int:
        """The most that any true window admitted."""
        at = sorted(self.admitted_s)
        most = first = 0
        for last, end_s in enumerate(at):
            while at[first] <= end_s - window_s:
                first += 1
            most = max(most, last - first + 1)
        return most


def percentile(durations: Sequence[float], part: float) -> float:
    """Of ascending durations; 0 when there are none."""
    return durations[min(len(durations) - 1, int(len(durations) * part))] if durations else 0.0


@asynccontextmanager
async def nodes(
    url: str, access: Access | None = None, *, count: int = 3, **more: Any
) -> AsyncIterator[list[FailoverLimits]]:
    """So many nodes on one store; each looks after it once a second, as a whole node does."""

    def unexpected(error: BaseException) -> None:
        raise error

    async with AsyncExitStack() as opened:
        made = []
        for _ in range(count):
            limits = await opened.enter_async_context(
                open_limits(url, access, clock=SYSTEM, chance=random.random, on_error=unexpected, sharers=count, **more)
            )
            assert isinstance(limits, FailoverLimits)
            made.append(limits)
        yield made


async def load(made: Sequence[FailoverLimits], charges: Sequence[Charge], until: Callable[[], bool]) -> Calls:
    """Callers at every node, one call every few milliseconds each, until told."""
    calls = Calls()

    async def caller(limits: FailoverLimits) -> None:
        while not until():
            begun_s = time.monotonic()
            try:
                taken = await limits.take(charges)
            except Refusal:
                calls.errors += 1
            else:
                if taken.allowed:
                    calls.admitted_s.append(time.monotonic())
            calls.begun_s.append(begun_s)
            calls.took_s.append(time.monotonic() - begun_s)
            await asyncio.sleep(PACE_S * (0.5 + random.random()))

    async def look() -> None:
        while not until():
            await asyncio.sleep(1.0)
            for limits in made:
                limits.look()

    async with asyncio.TaskGroup() as group:
        group.create_task(look())
        for limits in made:
            for _ in range(CALLERS):
                group.create_task(caller(limits))
    return calls
