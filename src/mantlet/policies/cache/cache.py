"""The cache by itself: memory, one computation for all who ask at once, and other processes through a store.

What is kept in memory is kept for this process alone; `CacheStore` lets processes have it in common, and have one of
them compute what all of them want. While a store that is configured is not able, nothing is kept or given again, since
no other process could say that it has become old: who asks at once is still told together (spec 8.3).
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import inf
from typing import Any, Final, Generic, TypeVar

from mantlet.core.ports import CacheStore
from mantlet.core.refusal import DeadlineExceeded, StoreUnavailable, Unavailable
from mantlet.core.tasks import Tasks
from mantlet.policies.cache.early import FARTHEST, is_due
from mantlet.policies.cache.figures import Figures
from mantlet.policies.cache.flight import Flight, Flights
from mantlet.policies.cache.memory import Entry, Memory
from mantlet.policies.cache.turns import Codec, Turns

T = TypeVar("T")

ALONE_S: Final = 5.0
"""How long a question whose answer was for one alone is asked by each by itself, before it is tried again."""
MAX_ALONE: Final = 10_000
MAX_REFRESHES: Final = 64
"""Computations under way at once that nobody waits for."""
REST_S: Final = 1.0
"""The least time between two attempts to fetch one entry anew in the background."""
NEWER_S: Final = 0.25
"""What another process keeps counts as newer than ours from here on: ages are not told to the millisecond."""
SPARE_S: Final = 0.5
"""How much longer one's own time must be for trying again where another's was over."""
TELL_S: Final = 0.1
"""Between two rounds of telling other processes what has become old."""
GRACE_S: Final = 1.0
"""After its deadline a computation has this long to say so itself."""

Tell = Callable[[str, dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Made(Generic[T]):
    """What a computation gave. `ttl_s` of 0: only those who wait have it. `for_one`: only who it was computed for.

    `key` is a narrower one that it may be kept under: then, too, only who it was computed for has it.
    """

    value: T
    ttl_s: float = 0.0
    key: bytes = b""
    for_one: bool = False


@dataclass(frozen=True, slots=True)
class Ask(Generic[T]):
    """A question. `key` says all that the answer depends on; `scopes` what can make the answer old; `name` is for the
    log. `deadline_s` is on the monotonic clock; for `stale_s` after its time the answer stays at hand.
    """

    key: bytes
    compute: Callable[[], Awaitable[Made[T]]]
    tenant: str = ""
    scopes: tuple[str, ...] = ("",)
    deadline_s: float = inf
    stale_s: float = 0.0
    name: str = ""


class Cache(Generic[T]):
    """Belongs to one loop."""

    def __init__(
        self,
        memory: Memory[T],
        codec: Codec[T],
        *,
        tasks: Tasks,
        monotonic: Callable[[], float],
        chance: Callable[[], float],
        store: CacheStore | None = None,
        early_refresh: float = 1.0,
        tell: Tell = lambda event, fields: None,
        dispose: Callable[[T], None] = lambda value: None,
    ) -> None:
        self.memory, self.figures = memory, Figures()
        self._codec, self._monotonic, self._chance, self._tell = codec, monotonic, chance, tell
        self._beta = early_refresh
        self._flights: Flights[Made[T]] = Flights(tasks, monotonic, lambda made: dispose(made.value))
        self._alone: OrderedDict[bytes, float] = OrderedDict()
        self._store, self._tasks = store, tasks
        self.forgotten: Callable[[str], None] = lambda scope: None
        """Is told of all that is old here, whoever said so: for those who keep answers of their own."""
        self._untold: set[str] = set()
        self._is_telling = False
        self._epoch = -1 if store is None else store.epoch
        self._turns: Turns[T] | None = None
        if store is not None:
            self._turns = Turns(store, codec, tasks, monotonic, self.figures)
            store.listen(self._turns.heard, self._forget_here)

    @property
    def is_on(self) -> bool:
        """Whether anything is kept and given again; asked before every look-up."""
        store = self._store
        if store is None:
            return True
        if not store.is_able:
            if len(self.memory):
                self.memory.clear()
            return False
        if store.epoch != self._epoch:
            # What was forgotten meanwhile, nobody could tell us.
            self._epoch = store.epoch
            self.memory.clear()
            self.forgotten("")
            if self._untold:
                self._tell_soon(store)
        return True

    @property
    def under_way(self) -> int:
        """Computations."""
        return len(self._flights)

    def look(self, key: bytes) -> Entry[T] | None:
        """What is in memory, fresh or stale. A hit is for the caller to count: only it knows whether it is one."""
        return self.memory.get(key, self._monotonic()) if self.is_on else None

    async def get_or_compute(self, ask: Ask[T]) -> Made[T] | None:
        """What `ask.compute` gives, or gives to somebody who asks the same at the same time; None where that is for
        that one alone.

        One computation, however many ask, here and in all processes of the store. Who began it may leave without
        failing or holding up the others; the last to leave cancels it. What it raises is raised for those who wait, and
        forgotten. Raises `DeadlineExceeded` when one's own time is over. Does not look into memory: `look` does.
        """
        self.figures.misses += 1
        while True:
            flight = self._flights.get(ask.key)
            is_starter = flight is None
            if flight is None:
                flight = self._begin(ask, is_background=False)
            else:
                self.figures.coalesced += 1
                if flight.most == 1:
                    self._tell("cache.coalesce", _named(ask))
            try:
                return await self._flights.wait(flight, ask.deadline_s, is_starter=is_starter)
            except DeadlineExceeded:
                if is_starter or ask.deadline_s < flight.deadline_s + SPARE_S:
                    raise
                # Who began it had less time than we have.

    def refresh(self, entry: Entry[T], ask: Ask[T]) -> None:
        """Compute it anew in the background, unless that is being done, or was tried a moment ago."""
        now_s = self._monotonic()
        if (
            now_s >= entry.rest_until_s
            and self._flights.background < MAX_REFRESHES
            and self._flights.get(ask.key) is None
        ):
            entry.rest_until_s = now_s + REST_S
            self.figures.refreshed += 1
            self._begin(ask, is_background=True, max_age_s=max(0.0, now_s - entry.born_s - NEWER_S))

    def is_due(self, entry: Entry[T], now_s: float) -> bool:
        """Whether a fresh entry is to be fetched anew already (CACHE-04)."""
        left_s = entry.born_s + entry.ttl_s - now_s
        return (
            left_s < entry.cost_s * self._beta * FARTHEST
            and now_s >= entry.rest_until_s
            and is_due(left_s, entry.cost_s, self._beta, self._chance())
        )

    def is_alone(self, key: bytes) -> bool:
        """Whether the last answer was for one alone: then everybody asks by itself, and nobody waits for nothing."""
        until_s = self._alone.get(key)
        if until_s is None:
            return False
        if self._monotonic() < until_s:
            return True
        del self._alone[key]
        return False

    def note_alone(self, key: bytes) -> None:
        """It was."""
        self._alone[key] = self._monotonic() + ALONE_S
        if len(self._alone) > MAX_ALONE:
            self._alone.popitem(last=False)

    def forget(self, scope: str) -> None:
        """Everything under `scope` is old: here at once, in all other processes of the store soon."""
        self._forget_here(scope)
        if self._store is not None:
            self._untold.add(scope)
            self._tell_soon(self._store)

    async def purge(self, scope: str) -> None:
        """The same, and every process was told when this ends. Raises `StoreUnavailable` where that cannot be done now:
        they are told as soon as the store is back."""
        self._forget_here(scope)
        if self._store is not None:
            self._untold.add(scope)
            await self._store.forget(scope)
            self._untold.discard(scope)

    def _tell_soon(self, store: CacheStore) -> None:
        if not self._is_telling:
            self._is_telling = True
            self._tasks.start(self._tell_others(store), "cache.forget")

    async def _tell_others(self, store: CacheStore) -> None:
        # However often a server says that it has changed, the others hear of it so often and no more.
        try:
            while self._untold:
                for scope in list(self._untold):
                    self._untold.discard(scope)
                    try:
                        await store.forget(scope)
                    except StoreUnavailable:
                        self._untold.add(scope)
                        return  # `is_on` sees the store come back
                await asyncio.sleep(TELL_S)
        finally:
            self._is_telling = False

    def _forget_here(self, scope: str) -> None:
        self.memory.marks.forget(scope)
        self._flights.forget(scope)
        self.forgotten(scope)

    def _begin(self, ask: Ask[T], *, is_background: bool, max_age_s: float = inf) -> Flight[Made[T]]:
        marks = self.memory.marks.of(ask.scopes)
        flight: Flight[Made[T]] = Flight(ask.key, ask.scopes, marks, ask.deadline_s, is_background=is_background)
        self._flights.begin(flight, lambda flight: self._work(flight, ask, max_age_s), "cache.compute")
        return flight

    async def _work(self, flight: Flight[Made[T]], ask: Ask[T], max_age_s: float) -> None:
        left_s = ask.deadline_s - self._monotonic() + GRACE_S
        try:
            async with asyncio.timeout(None if left_s == inf else max(0.0, left_s)):
                if self._turns is not None and self.is_on:
                    await self._in_turn(self._turns, flight, ask, max_age_s)
                else:
                    self._take(flight, ask, *await self._computed(ask))
        except asyncio.CancelledError:
            self._flights.fail(flight, Unavailable(why="the computation was cancelled"))
            raise
        except TimeoutError:
            self._flights.fail(flight, DeadlineExceeded(why="the computation did not end in time"))
        except Exception as error:  # a task root: whoever waits is told, and nobody else
            self.figures.failed += 1
            self._flights.fail(flight, error)
        finally:
            self._flights.landed(flight)
            if flight.most > 1:
                self._tell("cache.coalesced", _named(ask) | {"waiters": flight.most})

    async def _in_turn(self, turns: Turns[T], flight: Flight[Made[T]], ask: Ask[T], max_age_s: float) -> None:
        turn = await turns.take(ask.key, ask.scopes, max_age_s, ask.deadline_s)
        if turn.error is not None:
            raise turn.error
        if turn.is_for_another:
            self._flights.leave_alone(flight)
            return
        if turn.value is not None:
            made = Made(turn.value, turn.ttl_s)
            self._keep(ask.key, ask, made, flight.marks, born_s=self._monotonic() - turn.age_s, cost_s=turn.cost_s)
            self._flights.succeed(flight, made)
            return
        async with turns.holding(ask.key, ask.scopes, turn) as outcome:
            made, took_s = await self._computed(ask)
            self._take(flight, ask, made, took_s)
            outcome.take(made.value, made.ttl_s, took_s, for_one=made.for_one or bool(made.key))

    async def _computed(self, ask: Ask[T]) -> tuple[Made[T], float]:
        began_s = self._monotonic()
        self._tell("cache.compute", _named(ask))
        made = await ask.compute()
        took_s = self._monotonic() - began_s
        self.figures.computed += 1
        self.figures.took_s += took_s
        self._tell("cache.computed", _named(ask) | {"took_s": round(took_s, 6), "ttl_s": made.ttl_s})
        return made, took_s

    def _take(self, flight: Flight[Made[T]], ask: Ask[T], made: Made[T], took_s: float) -> None:
        if not made.for_one:
            self._keep(made.key or ask.key, ask, made, flight.marks, born_s=self._monotonic(), cost_s=took_s)
        self._flights.succeed(flight, made, for_one=made.for_one or bool(made.key))

    def _keep(
        self, key: bytes, ask: Ask[T], made: Made[T], marks: tuple[int, ...], *, born_s: float, cost_s: float
    ) -> None:
        # Asked before a change and answered after it: nobody knows which state of things it tells.
        if not self.is_on or made.ttl_s <= 0 or self.memory.marks.of(ask.scopes) != marks:
            return
        entry = Entry(
            made.value,
            size=self._codec.size(made.value),
            tenant=ask.tenant,
            born_s=born_s,
            ttl_s=made.ttl_s,
            stale_s=ask.stale_s,
            cost_s=cost_s,
            scopes=ask.scopes,
            marks=marks,
        )
        self.memory.put(key, entry, self._monotonic())


def _named(ask: Ask[Any]) -> dict[str, Any]:
    return {"key": ask.key.hex()[:16], "what": ask.name}
