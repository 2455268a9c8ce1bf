"""A watch over one open channel: whether the other end still answers at all, and its end when it does not.

A process that crashes ends its channel; one that hangs keeps it, with every call that it will never answer. So it is
asked at intervals, off the way of calls. Any line that it writes meanwhile is a sign of life too: what works hard on
one call and answers no other is slow, not dead. Ending it is bounded in two ways (RES-06): by the supervisor's
back-off, and by so many times within an hour; then it is left as it is, and called unhealthy.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from mantlet.core.clock import Clock
from mantlet.core.refusal import DeadlineExceeded, Overloaded, Refusal
from mantlet.upstreams.health.config import HealthConfig
from mantlet.upstreams.health.prober import Prober
from mantlet.upstreams.transports.channel.link import Link
from mantlet.upstreams.transports.channel.opening import CLIENT_INFO
from mantlet.wire.mcp.methods import META_CAPABILITIES, META_CLIENT_INFO, META_VERSION, MODERN_VERSIONS

WINDOW_S: Final = 3_600.0
_META: Final = {META_VERSION: MODERN_VERSIONS[0], META_CLIENT_INFO: CLIENT_INFO, META_CAPABILITIES: {}}


class Budget:
    """How often in `WINDOW_S` a channel may be ended because it hangs."""

    def __init__(self, limit: int, clock: Clock) -> None:
        self._limit = limit
        self._clock = clock
        self._ended_s: deque[float] = deque()

    def take(self) -> bool:
        """One time; False when there is none left."""
        now_s = self._clock.monotonic()
        while self._ended_s and now_s - self._ended_s[0] >= WINDOW_S:
            self._ended_s.popleft()
        if len(self._ended_s) >= self._limit:
            return False
        self._ended_s.append(now_s)
        return True


class Vigil:
    """Of one link. `told` hears what stands against the channel, or nothing, and whether it is given up."""

    def __init__(
        self,
        link: Link,
        config: HealthConfig,
        budget: Budget,
        told: Callable[[str, bool], None],
        *,
        chance: Callable[[], float],
    ) -> None:
        self._link = link
        self._config = config
        self._budget = budget
        self._told = told
        self._prober = Prober(self.ask, config, self._heard, chance=chance)
        self._fell = 0

    async def run(self) -> None:
        """Watch until cancelled."""
        await self._prober.run()

    async def ask(self, timeout_s: float) -> None:
        """Ask once. Raises a `Refusal` when there was no sign of life."""
        link, before = self._link, self._link.heard
        params: dict[str, Any] = {"_meta": _META} if link.mux.era == "modern" else {}
        try:
            # Whatever it answers, it answers; a little less than the time there is, so that silence has its own words.
            await link.ask("server/discover" if params else "ping", params, timeout_s * 0.9)
        except (DeadlineExceeded, Overloaded):
            if link.heard == before:
                raise
        except Refusal:
            return  # it has ended: others tell of that

    def _heard(self, why: str) -> bool:
        self._fell = self._fell + 1 if why else 0
        said = f"it hangs: {why} ({self._fell} in a row)" if why else ""
        is_given_up = bool(why) and self._fell >= self._config.fall
        may_end = is_given_up and self._budget.take()
        self._told(said, is_given_up)
        if may_end:
            self._link.on_closed(said)
        return bool(why)


async def wait(link: Link, vigil: Vigil | None) -> None:
    """Until `link` is closed, watched meanwhile."""
    if vigil is None:
        await link.closed.wait()
        return
    async with asyncio.TaskGroup() as watched:
        watching = watched.create_task(vigil.run(), name="vigil")
        await link.closed.wait()
        watching.cancel()
