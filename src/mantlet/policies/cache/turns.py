"""Whose turn it is to compute, among all processes of a store (CACHE-03).

One has a lease on the key and holds on to it while it computes; the others wait for its news, or for the end of its
lease if it dies. What it left is fenced by a token: who comes back after losing its lease changes nothing any more.
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from mantlet.core.ports import CacheStore, Found, Lead
from mantlet.core.refusal import DeadlineExceeded, Refusal, StoreUnavailable
from mantlet.core.tasks import Tasks
from mantlet.policies.cache.failure import name_of, named
from mantlet.policies.cache.figures import Figures

T = TypeVar("T")

LEASE_S: Final = 2.0
"""How long a process that died keeps the others waiting; one that lives holds on well before."""
HOLD_S: Final = 0.6
POLL_S: Final = 0.5
"""News may be lost: so often it is looked whether there is something."""
LONGEST_S: Final = 30 * 86_400.0
MAX_NEWS_BYTES: Final = 65_536
"""The largest value that is told instead of kept: an error, or what may not be kept."""

_KEPT: Final = b"k"
_GONE: Final = b"g"
_ALONE: Final = b"a"
_FAILED: Final = b"e"
_TOLD: Final = b"t"
_HEAD: Final = struct.Struct("<dd")
"""Before each value: how long it is good from when it was kept, and how long it took to make, in seconds."""


@dataclass(frozen=True, slots=True)
class Codec(Generic[T]):
    """How values are counted, written for a store, and read again; `load` raises `ValueError`."""

    size: Callable[[T], int]
    dump: Callable[[T], bytes]
    load: Callable[[bytes], T]


@dataclass(frozen=True, slots=True)
class Turn(Generic[T]):
    """What came of waiting: a value, another's failure, nothing for us, or (none of these) that we compute. Without a
    `lead` the store is gone, and we do so for ourselves alone."""

    value: T | None = None
    ttl_s: float = 0.0
    age_s: float = 0.0
    cost_s: float = 0.0
    error: Refusal | None = None
    is_for_another: bool = False
    lead: Lead | None = None


class Outcome(Generic[T]):
    """What the one whose turn it was has to say."""

    __slots__ = ("cost_s", "for_one", "ttl_s", "value")

    def __init__(self) -> None:
        self.value: T | None = None
        self.ttl_s = self.cost_s = 0.0
        self.for_one = False

    def take(self, value: T, ttl_s: float, cost_s: float, *, for_one: bool) -> None:
        """It computed this."""
        self.value, self.ttl_s, self.cost_s, self.for_one = value, ttl_s, cost_s, for_one


class Turns(Generic[T]):
    """Belongs to one loop; asked once a key at a time by one process."""

    def __init__(
        self, store: CacheStore, codec: Codec[T], tasks: Tasks, monotonic: Callable[[], float], figures: Figures
    ) -> None:
        self._store, self._codec, self._tasks, self._monotonic = store, codec, tasks, monotonic
        self._figures = figures
        self._waiting: dict[bytes, asyncio.Future[bytes]] = {}

    def heard(self, key: bytes, news: bytes) -> None:
        """Another process has settled `key`."""
        waiting = self._waiting.get(key)
        if waiting is not None and not waiting.done():
            waiting.set_result(news)

    async def take(self, key: bytes, scopes: Sequence[str], max_age_s: float, deadline_s: float) -> Turn[T]:
        """Wait until there is a value, or it is our turn. Raises `DeadlineExceeded`."""
        while True:
            # Listening before asking: what is told in between is not missed.
            news = self._waiting[key] = asyncio.get_running_loop().create_future()
            try:
                turn = await self._store.enter(key, scopes, LEASE_S, max_age_s)
                if isinstance(turn, Lead):
                    return Turn(lead=turn)
                if isinstance(turn, Found):
                    if (found := self._read(turn)) is not None:
                        self._figures.from_store += 1
                        return found
                    return Turn()  # not of our making: it is computed, and left alone until its time is over
                left_s = deadline_s - self._monotonic()
                if left_s <= 0:
                    raise DeadlineExceeded(why="the deadline passed while another process computed")
                await asyncio.wait({news}, timeout=min(turn.lease_s, POLL_S, left_s))
            except StoreUnavailable:
                return Turn()
            finally:
                if self._waiting.get(key) is news:
                    del self._waiting[key]
            if news.done() and (told := self._told(news.result())) is not None:
                return told

    @asynccontextmanager
    async def holding(self, key: bytes, scopes: Sequence[str], turn: Turn[T]) -> AsyncIterator[Outcome[T]]:
        """Our turn, for as long as the block takes; its outcome is left and told."""
        outcome: Outcome[T] = Outcome()
        lead = turn.lead
        if lead is None:
            yield outcome
            return
        loop = asyncio.get_running_loop()
        holds: list[asyncio.TimerHandle] = []

        def hold() -> None:
            holds[:] = [loop.call_later(HOLD_S, hold)]
            self._tasks.start(self._hold(key, lead), "cache.hold")

        holds.append(loop.call_later(HOLD_S, hold))
        try:
            yield outcome
        except BaseException as error:
            # Not waited for: who is cancelled does not wait, and who failed has told its own already.
            name = name_of(error)
            self._tasks.start(
                self._settle(key, scopes, lead, b"", 0.0, _FAILED + name if name else _GONE), "cache.settle"
            )
            raise
        finally:
            holds[0].cancel()
        await self._leave(key, scopes, lead, outcome)

    async def _leave(self, key: bytes, scopes: Sequence[str], lead: Lead, outcome: Outcome[T]) -> None:
        value = outcome.value
        if value is None or outcome.for_one:
            await self._settle(key, scopes, lead, b"", 0.0, _ALONE)
            return
        text = self._codec.dump(value)
        if outcome.ttl_s > 0:
            text = _HEAD.pack(outcome.ttl_s, outcome.cost_s) + text
            await self._settle(key, scopes, lead, text, outcome.ttl_s, _KEPT)
        elif len(text) <= MAX_NEWS_BYTES:
            await self._settle(key, scopes, lead, b"", 0.0, _TOLD + text)
        else:
            await self._settle(key, scopes, lead, b"", 0.0, _GONE)

    async def _settle(
        self, key: bytes, scopes: Sequence[str], lead: Lead, value: bytes, ttl_s: float, news: bytes
    ) -> None:
        try:
            if not await self._store.settle(key, scopes, lead, value, ttl_s, news):
                self._figures.fenced += 1
        except StoreUnavailable:
            pass  # the others see the end of the lease, or that the store is gone

    async def _hold(self, key: bytes, lead: Lead) -> None:
        with suppress(StoreUnavailable):
            await self._store.hold(key, lead.token, LEASE_S)

    def _told(self, news: bytes) -> Turn[T] | None:
        """What another's news is for us; None where it is to look again."""
        kind, rest = news[:1], news[1:]
        if kind == _ALONE:
            return Turn(is_for_another=True)
        if kind == _FAILED and (error := named(rest)) is not None:
            return Turn(error=error)
        if kind == _TOLD:
            try:
                return Turn(self._codec.load(rest))
            except ValueError:
                return None
        return None

    def _read(self, found: Found) -> Turn[T] | None:
        try:
            ttl_s, cost_s = _HEAD.unpack_from(found.value)
            value = self._codec.load(found.value[_HEAD.size :])
        except (ValueError, struct.error):
            return None
        if not (0 < ttl_s <= LONGEST_S and 0 <= cost_s <= LONGEST_S):  # nor is it what is no number
            return None
        return Turn(value, ttl_s, max(0.0, found.age_s), cost_s)
