"""Asks one endpoint at intervals, and sooner where there is doubt. Off the way of calls: what it hears goes to a
`Health`, and nobody waits for it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from mantlet.core.refusal import Refusal
from mantlet.upstreams.health.config import HealthConfig

MIN_GAP_S: Final = 1.0
"""Between two probes of one endpoint, however many calls doubt it."""
SPREAD: Final = 0.1
"""Workers and endpoints that began together do not stay so."""

Probe = Callable[[float], Awaitable[None]]
"""Asks once, in at most so many seconds. Raises a `Refusal` for no good answer; `TimeoutError` for none."""


class Prober:
    """`told` hears what came of each probe: nothing when it succeeded, else why not. It gives whether to look again
    soon. `run` is for a task of the owner's."""

    def __init__(
        self, probe: Probe, config: HealthConfig, told: Callable[[str], bool], *, chance: Callable[[], float]
    ) -> None:
        self._probe = probe
        self._config = config
        self._told = told
        self._chance = chance
        self._doubted = asyncio.Event()
        self.probes = 0
        """So far."""

    def doubt(self) -> None:
        """A call failed: ask soon."""
        self._doubted.set()

    async def run(self) -> None:
        """Ask until cancelled."""
        config = self._config
        while True:
            try:
                why = await self.ask()
            except Exception as error:  # a task root: what nobody expected of one probe must not end the watch
                why = f"the probe failed: {type(error).__name__}"
            self.probes += 1
            is_in_doubt = self._told(why)
            wait_s = min(config.interval, config.recheck) if is_in_doubt else config.interval
            wait_s *= 1 - SPREAD + 2 * SPREAD * self._chance()
            self._doubted.clear()
            gap_s = min(wait_s, MIN_GAP_S)
            await asyncio.sleep(gap_s)
            try:
                async with asyncio.timeout(wait_s - gap_s):
                    await self._doubted.wait()
            except TimeoutError:
                continue

    async def ask(self) -> str:
        """Probe once; why it failed, or nothing."""
        timeout_s = self._config.timeout
        try:
            async with asyncio.timeout(timeout_s):
                await self._probe(timeout_s)
        except TimeoutError:
            return f"no answer within {timeout_s:g} s"
        except Refusal as refusal:
            return refusal.why
        return ""
