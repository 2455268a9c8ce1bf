"""A thousand callers at a breaker whose time has come: how many reach the server, and how soon the others hear no.

In one process and without a server, by the breaker that the node and the library have in common: through a node the
same callers would first of all wait for each other.
"""

import asyncio
import contextlib
import time
from dataclasses import dataclass

from mantlet.embed import CircuitBreaker, CircuitOpen

CALLERS = 1_000
PROBES = (1, 3, 10)
OPEN_S = 0.001


@dataclass(frozen=True)
class Probed:
    """What became of the callers: at the server, and the time of each verdict of the others in µs."""

    probes: int
    reached: int
    verdicts_us: tuple[float, ...]

    @property
    def p99_us(self) -> float:
        """Of the verdicts."""
        return sorted(self.verdicts_us)[int(len(self.verdicts_us) * 0.99)]


async def probed(probes: int) -> Probed:
    """Open a breaker of so many probes, wait until it may be asked again, and let all callers come at once."""
    breaker = CircuitBreaker("gone", failures=1, open=OPEN_S, half_open_probes=probes)
    with contextlib.suppress(ConnectionError), breaker.attempt():
        raise ConnectionError
    while breaker.state != "half_open":
        await asyncio.sleep(OPEN_S)
    reached, verdicts_us = 0, []
    answered = asyncio.Event()

    async def caller() -> None:
        nonlocal reached
        began_s = time.perf_counter()
        try:
            with breaker.attempt():
                reached += 1
                await answered.wait()
        except CircuitOpen:
            verdicts_us.append(1e6 * (time.perf_counter() - began_s))

    callers = [asyncio.ensure_future(caller()) for _ in range(CALLERS)]
    while len(verdicts_us) + reached < CALLERS:
        await asyncio.sleep(0)
    answered.set()
    await asyncio.gather(*callers)
    return Probed(probes, reached, tuple(verdicts_us))
