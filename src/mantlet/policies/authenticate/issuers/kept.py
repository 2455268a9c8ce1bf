"""Something fetched from outside and used for a while: one fetch at a time, the last good one until a set age (TOK-07).

Nothing is fetched while the node starts: a provider that is down must not keep the node down. Until the first answer
whoever needs it waits for the fetch under way, or is refused at once where the next one is still to come.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Generic, TypeVar

from mantlet.core.clock import Clock
from mantlet.core.refusal import IssuerUnavailable, Overloaded, Refusal
from mantlet.core.tasks import Tasks

T = TypeVar("T")
Tell = Callable[[str, str, Mapping[str, Any]], None]

MAX_WAITING: Final = 256
"""Requests that wait for one fetch; more are turned away, so that a slow provider cannot fill memory."""
FIRST_RETRY_S: Final = 1.0
LAST_RETRY_S: Final = 60.0


class Kept(Generic[T]):
    """The value as last loaded. `load` raises a `Refusal` or `ValueError` when it cannot be had."""

    def __init__(
        self,
        name: str,
        load: Callable[[], Awaitable[T]],
        *,
        clock: Clock,
        tasks: Tasks,
        tell: Tell,
        refresh_s: float,
        cooldown_s: float,
        max_age_s: float,
    ) -> None:
        self._name, self._load, self._clock, self._tasks, self._tell = name, load, clock, tasks, tell
        self.refresh_s, self._cooldown_s, self._max_age_s = refresh_s, cooldown_s, max_age_s
        self._value: T | None = None
        self._loaded_s = self._tried_s = -float("inf")
        self._opened_s = clock.monotonic()
        self._flight: asyncio.Task[None] | None = None
        self._waiting = self._failures = 0
        self._said = ""
        self.renewed: Callable[[], object] = lambda: None
        """Called when another value has taken the place of one."""

    @property
    def standing(self) -> T | None:
        """The value, if it may still be used; nothing is fetched for it."""
        return self._value if self.left_s > 0 else None

    @property
    def left_s(self) -> float:
        """How long the value may still be used; 0 when there is none."""
        if self._value is None:
            return 0.0
        return max(0.0, self._loaded_s + self._max_age_s - self._clock.monotonic())

    @property
    def age_s(self) -> float:
        """How long ago the value was good; without one, how long it has been missing."""
        return self._clock.monotonic() - (self._opened_s if self._value is None else self._loaded_s)

    def take_over(self, other: "Kept[T]") -> None:
        """Begin with what `other` holds, as old as it is: a new configuration need not ask again before it serves."""
        if self._value is None:
            self._value, self._loaded_s = other._value, other._loaded_s

    async def get(self) -> T:
        """The value. Raises `IssuerUnavailable` when there is none, or none young enough; `Overloaded`."""
        if (value := self.standing) is not None:
            return value
        if self._flight is not None:
            await self._join(self._flight)
        elif not self._failures:
            await self._join(self._begin())
        # After a failure the clockwork tries again, not the calls: they are answered at once.
        if (value := self.standing) is None:
            raise IssuerUnavailable(why=f"{self._name}: {self._said or 'nothing was fetched yet'}")
        return value

    async def newer(self, than: T) -> T:
        """A value fetched after `than` was, when one may be fetched now; else what there is."""
        if self._value is not than:
            return await self.get()
        if self._flight is None and self._clock.monotonic() - self._tried_s < self._cooldown_s:
            return than
        await self._join(self._flight or self._begin())
        return await self.get()

    async def refresh(self) -> float:
        """Fetch once, with whoever fetches already; gives after how many seconds to do so again."""
        flight = self._flight or self._begin()
        await asyncio.wait((flight,))
        if not self._failures:
            return self.refresh_s
        return min(LAST_RETRY_S, FIRST_RETRY_S * 2.0 ** min(self._failures - 1, 10))

    def _begin(self) -> asyncio.Task[None]:
        self._tried_s = self._clock.monotonic()
        self._flight = self._tasks.start(self._fetch(), f"issuer.{self._name}")
        return self._flight

    async def _join(self, flight: asyncio.Task[None]) -> None:
        if self._waiting >= MAX_WAITING:
            raise Overloaded(why=f"{self._name}: {MAX_WAITING} requests wait for its keys")
        self._waiting += 1
        try:
            await asyncio.wait((flight,))  # a waiter that is cancelled takes the fetch away from nobody
        finally:
            self._waiting -= 1

    async def _fetch(self) -> None:
        self._failures += 1  # until it is known to be none: what nobody expected counts as well
        try:
            had, self._value = self._value, await self._load()
        except (Refusal, ValueError) as error:
            said = error.why if isinstance(error, Refusal) else str(error)
            if said != self._said:  # once, not with every retry
                self._tell("error", "issuer.failed", {"issuer": self._name, "said": said, "usable_s": self.left_s})
            self._said = said
        else:
            if self._said:
                self._tell("info", "issuer.recovered", {"issuer": self._name})
            self._loaded_s = self._clock.monotonic()
            self._failures, self._said = 0, ""
            if had is not None:
                self.renewed()
        finally:
            self._flight = None


async def keep_fresh(kept: Kept[Any], chance: Callable[[], float]) -> None:
    """Refresh `kept` for ever, a little apart from whoever else does so."""
    while True:
        wait_s = await kept.refresh()
        await asyncio.sleep(wait_s * (0.8 + 0.4 * chance()))
