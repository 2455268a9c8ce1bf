"""The cache by itself: one computation for all who ask at once, in one process or in all that share a store."""

import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from math import inf
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec

from mantlet.core.clock import SYSTEM
from mantlet.core.ports import CacheStore
from mantlet.core.tasks import Tasks
from mantlet.embed.log import failed
from mantlet.policies.cache.cache import Ask, Made
from mantlet.policies.cache.cache import Cache as Core
from mantlet.policies.cache.key import key_of
from mantlet.policies.cache.memory import Memory
from mantlet.policies.cache.turns import Codec

if TYPE_CHECKING:
    from mantlet.stores.valkey.access import Access

_FAILED: Final = b"\xff"
"""Before the text of a failure: no JSON begins so."""
_encode: Final = msgspec.json.encode
_decode: Final = msgspec.json.decode


class ComputeFailed(Exception):
    """Somebody else's computation of the value failed; the cause is its exception, where it was in this process."""


@dataclass(frozen=True, slots=True)
class _Failure:
    said: str
    error: Exception | None = None


_Value = bytes | _Failure


class Cache:
    """Values are JSON (`dict`, `list`, `str`, numbers, booleans, None), and each caller gets one of its own.

    `url` is as for `RateLimiter`: what is in memory is this process's alone; with a store one process computes for all,
    and what it keeps is found by all. A store that is gone or does not let us in turns keeping off, never the calls.
    `ttl` is how long a value is given again, in seconds; for `stale_while_revalidate` more it is still given while a
    new one is computed. What `compute` raises is raised by its caller, and by those who waited as `ComputeFailed`; with
    `negative_ttl` it is kept for so long and told as `ComputeFailed`, else it is not kept. `access` holds what a log-in
    to the store needs beside the URL. Use it by `async with`.

    >>> async with Cache(ttl=60) as cache:
    ...     key = cache.generate_cache_key("weather", city="Berlin")
    ...     weather = await cache.get_or_compute(key, fetch)
    """

    def __init__(
        self,
        url: str = "memory://",
        *,
        ttl: float = 300.0,
        stale_while_revalidate: float = 0.0,
        negative_ttl: float = 0.0,
        max_bytes: int = 67_108_864,
        max_entries: int = 100_000,
        max_entry_bytes: int = 1_048_576,
        early_refresh: float = 1.0,
        access: "Access | None" = None,
    ) -> None:
        if (
            ttl <= 0
            or min(stale_while_revalidate, negative_ttl) < 0
            or min(max_bytes, max_entries, max_entry_bytes) < 1
        ):
            raise ValueError("ttl and bounds must be above 0")
        self._url = url
        self._ttl_s, self._stale_s, self._negative_s = ttl, stale_while_revalidate, negative_ttl
        self._access = access
        self._max_bytes, self._early_refresh = max_bytes, early_refresh
        self._evicted = 0
        self._memory: Memory[_Value] = Memory(
            max_bytes=max_bytes, max_entries=max_entries, max_entry_bytes=max_entry_bytes, evicted=self._count_evicted
        )
        self._opened = AsyncExitStack()
        self._store: CacheStore | None = None
        self._core: Core[_Value] | None = None

    async def __aenter__(self) -> Self:
        """Raises `ValueError` for a URL that is not understood."""
        tasks = Tasks(failed)
        if not self._url.startswith("memory:"):
            from mantlet.stores.valkey.cache import open_cache_store  # what is in memory needs no client

            self._store = await self._opened.enter_async_context(
                open_cache_store(
                    self._url, self._access, max_bytes=self._max_bytes, chance=random.random, on_error=failed
                )
            )
        self._opened.push_async_callback(tasks.close)
        self._core = Core(
            self._memory,
            Codec(_size, _dump, _load),
            tasks=tasks,
            monotonic=SYSTEM.monotonic,
            chance=random.random,
            store=self._store,
            early_refresh=self._early_refresh,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._core = None
        self._memory.clear()
        await self._opened.aclose()

    @staticmethod
    def generate_cache_key(*parts: Any, **named: Any) -> str:
        """A key that depends on all of these JSON values and on nothing else, not on the order of members. Put in
        whom the value is for, where it is not for everybody. Raises `TypeError` for what is no JSON."""
        return key_of(list(parts), named).hex()

    async def get_or_compute(self, key: str, compute: Callable[[], Awaitable[Any]], ttl: float | None = None) -> Any:
        """The value under `key`, or what `compute` gives; computed once, however many ask meanwhile.

        Who began it may leave: the others get it all the same. `ttl` is of this value, in seconds; 0 keeps nothing.
        """
        core = self._opened_core()
        ask, mine = self._ask(key, compute, self._ttl_s if ttl is None else ttl)
        now_s = SYSTEM.monotonic()
        entry = core.look(ask.key)
        is_stale = entry is not None and now_s - entry.born_s >= entry.ttl_s
        if entry is not None and not (is_stale and isinstance(entry.value, _Failure)):
            core.figures.hits += 1
            core.figures.stale += is_stale
            if is_stale or core.is_due(entry, now_s):
                core.refresh(entry, ask)
            return _given(entry.value, mine)
        made = await core.get_or_compute(ask)
        assert made is not None  # nothing here is for one alone
        return _given(made.value, mine)

    async def forget(self, key: str) -> None:
        """Whatever stands under `key` is old, in all processes of the store. Raises `StoreUnavailable`."""
        await self._opened_core().purge(f"key/{key}")

    def get_cache_health(self) -> dict[str, Any]:
        """`is_on`, entries, bytes, hit_rate and all counts; for people and monitors."""
        core = self._opened_core()
        figures = core.figures
        return {
            "is_on": core.is_on,
            "entries": len(self._memory),
            "bytes": self._memory.size,
            "under_way": core.under_way,
            "hit_rate": round(figures.hit_rate, 4),
            **asdict(figures),
            "evicted": self._evicted,
        }

    def _ask(
        self, key: str, compute: Callable[[], Awaitable[Any]], ttl_s: float
    ) -> tuple[Ask[_Value], list[Exception]]:
        mine: list[Exception] = []

        async def computed() -> Made[_Value]:
            try:
                value = _encode(await compute())
            except Exception as error:  # it is everybody's who waits, and raised by each of them
                mine.append(error)
                said = f"{type(error).__name__}: {error}"
                # What is kept must not keep the frames that the exception came through.
                return Made(_Failure(said, None if self._negative_s else error), self._negative_s)
            return Made(value, ttl_s)

        return Ask(key_of(key), computed, scopes=("", f"key/{key}"), deadline_s=inf, stale_s=self._stale_s), mine

    def _opened_core(self) -> Core[_Value]:
        if self._core is None:
            raise RuntimeError("open the cache first: async with Cache(...)")
        return self._core

    def _count_evicted(self, why: str) -> None:
        self._evicted += why == "room"


def _given(value: _Value, mine: list[Exception]) -> Any:
    if isinstance(value, bytes):
        return _decode(value)
    if mine:
        raise mine[0]
    raise ComputeFailed(value.said) from value.error


def _size(value: _Value) -> int:
    return len(value) if isinstance(value, bytes) else len(value.said)


def _dump(value: _Value) -> bytes:
    return value if isinstance(value, bytes) else _FAILED + value.said.encode()


def _load(text: bytes) -> _Value:
    return _Failure(text[1:].decode(errors="replace")) if text[:1] == _FAILED else text
