"""Callers that do what the mix says: as fast as they are answered, or at a rate of their own whatever comes back."""

import asyncio
import itertools
import time
from array import array
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field

from bench.soak.mix import DEEDS, Mix, Visitor, Wrong
from bench.wire import Era

PATIENCE_S = 30.0
"""A deed that takes longer has failed."""
MOST_AT_ONCE = 500
"""Deeds under way; what is due beyond it is not offered, and told."""
BUSY = 64
"""Callers that measure the capacity."""
KEPT = 5
"""Wrong and failed deeds whose words are kept."""

_NAMES = list(DEEDS)
_SHARES = list(itertools.accumulate(share for share, _, _ in DEEDS.values()))


@dataclass
class Tally:
    """What came of the deeds."""

    outcomes: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    took_s: dict[str, "array[float]"] = field(default_factory=lambda: defaultdict(lambda: array("f")))
    """From when it was due, not from when it was sent: who waits to be sent waits."""
    wrong: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    done: int = 0
    held: int = 0

    def percentile_ms(self, name: str, part: float) -> float:
        """Of the deeds of one name."""
        took_s = sorted(self.took_s[name])
        return 1e3 * took_s[min(len(took_s) - 1, int(len(took_s) * part))] if took_s else 0.0


class Crowd:
    """Those who wait for their next turn, and the deeds under way."""

    def __init__(self, mix: Mix) -> None:
        self._mix = mix
        self._idle: dict[Era, deque[Visitor]] = {"modern": deque(), "legacy": deque()}
        self.under_way = 0
        self.tally = Tally()

    async def capacity_per_s(self, seconds: float) -> float:
        """How many deeds a second are done when `BUSY` callers never pause."""
        until_s = time.monotonic() + seconds

        async def caller() -> None:
            while time.monotonic() < until_s:
                await self._one(self._pick(), time.monotonic())

        before = self.tally.done
        await asyncio.gather(*(caller() for _ in range(BUSY)))
        return (self.tally.done - before) / seconds

    async def fill(self, callers: int) -> None:
        """So many callers come, are let in and refused once, and leave: what is kept of callers is full afterwards.

        As many at once as there may ever be, for memory keeps the mark of the most connections there were.
        """
        numbers = iter(range(callers))

        async def caller() -> None:
            for _ in numbers:
                visitor = self._mix.arrive()
                for deed in (Mix.modern, Mix.listed, Mix.denied, Mix.limited):
                    await deed(self._mix, visitor)
                await self._mix.leave(visitor)

        await asyncio.gather(*(caller() for _ in range(MOST_AT_ONCE)))

    async def offer(self, per_s: float, seconds: float) -> None:
        """Begin so many deeds a second, at times of chance (Poisson), and wait for the last of them."""
        due_s = time.monotonic()
        until_s = due_s + seconds
        async with asyncio.TaskGroup() as group:
            while (due_s := due_s + self._mix.chance.expovariate(per_s)) < until_s:
                if (early_s := due_s - time.monotonic()) > 0:
                    await asyncio.sleep(early_s)
                if self.under_way >= MOST_AT_ONCE:
                    self.tally.held += 1
                    await asyncio.sleep(0)  # else those under way never go on
                    continue
                self.under_way += 1
                group.create_task(self._one(self._pick(), due_s)).add_done_callback(self._over)

    async def disperse(self) -> None:
        """Everybody leaves."""
        for waiting in self._idle.values():
            while waiting:
                await self._farewell(waiting.popleft())

    def _over(self, _: "asyncio.Task[None]") -> None:
        self.under_way -= 1

    def _pick(self) -> str:
        return self._mix.chance.choices(_NAMES, cum_weights=_SHARES)[0]

    async def _one(self, name: str, due_s: float) -> None:
        _, era, deed = DEEDS[name]
        waiting, tally = self._idle[era], self.tally
        visitor = waiting.popleft() if waiting else self._mix.arrive()
        try:
            async with asyncio.timeout(PATIENCE_S):
                tally.outcomes[name][await deed(self._mix, visitor)] += 1
        except Wrong as error:
            self._bad(tally.wrong, "wrong", name, visitor, error)
        except (OSError, EOFError, TimeoutError) as error:
            self._bad(tally.failed, "failed", name, visitor, error)
        tally.took_s[name].append(time.monotonic() - due_s)
        tally.done += 1
        visitor.left -= 1
        if visitor.left > 0:
            waiting.append(visitor)
        else:
            await self._farewell(visitor)

    def _bad(self, told: list[str], what: str, name: str, visitor: Visitor, error: BaseException) -> None:
        self.tally.outcomes[name][what] += 1
        if len(told) < KEPT:
            told.append(f"{name}: {type(error).__name__}: {error}")
        visitor.connection.close()

    async def _farewell(self, visitor: Visitor) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._mix.leave(visitor)
        except (OSError, EOFError, TimeoutError) as error:
            self._bad(self.tally.failed, "failed", "leaving", visitor, error)
