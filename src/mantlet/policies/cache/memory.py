"""Answers in the memory of one process, within bounds (CACHE-05).

Each tenant has a shelf of its own. Where a shelf takes more than a tenant's share, or all together more than there is,
what was not asked for since it was last looked at goes first: CLOCK (Corbató, 1968), which costs a hit one assignment
where least-recently-used costs it a move.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Generic, TypeVar

T = TypeVar("T")

OVERHEAD_BYTES: Final = 500
"""What an entry takes beside its value: the key, the places that hold it, the entry."""

MAX_LOOKS: Final = 64
"""Entries passed over because they were used, before one goes all the same: nobody waits for a walk over all."""
MAX_MARKS: Final = 10_000
"""Scopes that are known to have been forgotten; with one more, everything is."""


class Entry(Generic[T]):
    """A value and its times, in seconds of the monotonic clock: fresh for `ttl_s` from `born_s`, stale for as much as
    `stale_s` more. `cost_s` is how long it took to make; `marks` what its scopes stood at."""

    __slots__ = ("born_s", "cost_s", "current_at", "marks", "rest_until_s", "scopes", "size", "stale_s", "tenant",
                 "ttl_s", "value", "was_used")  # fmt: skip

    def __init__(
        self,
        value: T,
        *,
        size: int,
        tenant: str,
        born_s: float,
        ttl_s: float,
        stale_s: float,
        cost_s: float,
        scopes: tuple[str, ...],
        marks: tuple[int, ...],
    ) -> None:
        self.value, self.size, self.tenant = value, size + OVERHEAD_BYTES, tenant
        self.born_s, self.ttl_s, self.stale_s, self.cost_s = born_s, ttl_s, stale_s, cost_s
        self.scopes, self.marks = scopes, marks
        self.current_at = -1
        """How much had been forgotten when it was last found to be none of it."""
        self.was_used = False
        self.rest_until_s = 0.0
        """Until when it is not fetched anew in the background."""

    def over_s(self, now_s: float) -> float:
        """How long its time has been over; negative while it is fresh."""
        return now_s - self.born_s - self.ttl_s


class Marks:
    """When each scope was last forgotten: an entry made before that is none, and nobody has to look for it."""

    def __init__(self) -> None:
        self._marks: dict[str, int] = {}
        self.count = self._others = 0

    def of(self, scopes: tuple[str, ...]) -> tuple[int, ...]:
        """What they stand at."""
        marks, others = self._marks, self._others
        return tuple([marks.get(scope, others) for scope in scopes])

    def forget(self, scope: str) -> None:
        """Everything made under it is old from now on."""
        self.count += 1
        if scope not in self._marks and len(self._marks) >= MAX_MARKS:
            # Rather all of it than one scope more than there is room for.
            self._marks.clear()
            self._others = self.count
        self._marks[scope] = self.count


class _Shelf(Generic[T]):
    __slots__ = ("entries", "size")

    def __init__(self) -> None:
        self.entries: OrderedDict[bytes, Entry[T]] = OrderedDict()
        self.size = 0


class Memory(Generic[T]):
    """Every bound holds after each `put`; one that cannot fit is not kept."""

    def __init__(
        self,
        *,
        max_bytes: int,
        max_entries: int,
        max_entry_bytes: int,
        tenant_share: float = 1.0,
        evicted: Callable[[str], None] = lambda why: None,
    ) -> None:
        self._max_bytes, self._max_entries, self._max_entry_bytes = max_bytes, max_entries, max_entry_bytes
        self._share = tenant_share
        self._evicted = evicted
        self._where: dict[bytes, Entry[T]] = {}
        self._shelves: dict[str, _Shelf[T]] = {}
        self.marks = Marks()
        self.size = 0
        """Bytes of all entries."""

    def __len__(self) -> int:
        return len(self._where)

    def get(self, key: bytes, now_s: float) -> Entry[T] | None:
        """The entry, fresh or stale; None for one that is over or was forgotten."""
        entry = self._where.get(key)
        if entry is None:
            return None
        if now_s - entry.born_s >= entry.ttl_s + entry.stale_s:
            self._drop(key, "expired")
            return None
        if entry.current_at != self.marks.count:
            if self.marks.of(entry.scopes) != entry.marks:
                self._drop(key, "forgotten")
                return None
            entry.current_at = self.marks.count
        entry.was_used = True
        return entry

    def put(self, key: bytes, entry: Entry[T], now_s: float) -> None:
        """Keep it, in the place of what was there."""
        self._drop(key, "")
        if entry.size - OVERHEAD_BYTES > self._max_entry_bytes or entry.size > self._share * self._max_bytes:
            return  # it would have to push out everything else, or itself
        shelf = self._shelves.get(entry.tenant)
        if shelf is None:
            shelf = self._shelves[entry.tenant] = _Shelf()
        shelf.entries[key] = self._where[key] = entry
        shelf.size += entry.size
        self.size += entry.size
        self._drop_the_dead(shelf, now_s)
        self._make_room(entry.tenant)

    def drop(self, key: bytes) -> None:
        """Keep it no longer."""
        self._drop(key, "forgotten")

    def clear(self) -> None:
        """Keep nothing."""
        self._where.clear()
        self._shelves.clear()
        self.size = 0

    def _make_room(self, tenant: str) -> None:
        # A tenant has its share alone as soon as there is another; until then all the room is its own.
        share = self._share if len(self._shelves) > 1 else 1.0
        while (shelf := self._shelves.get(tenant)) is not None and (
            shelf.size > share * self._max_bytes or len(shelf.entries) > share * self._max_entries
        ):
            self._evict(shelf)
        while self.size > self._max_bytes or len(self._where) > self._max_entries:
            self._evict(max(self._shelves.values(), key=lambda shelf: shelf.size))

    def _evict(self, shelf: _Shelf[T]) -> None:
        entries = shelf.entries
        key = next(iter(entries))
        for _ in range(MAX_LOOKS):
            entry = entries[key]
            if not entry.was_used:
                break
            entry.was_used = False
            entries.move_to_end(key)
            key = next(iter(entries))
        self._drop(key, "room")

    def _drop_the_dead(self, shelf: _Shelf[T], now_s: float) -> None:
        # Two with every put: what nobody asks for again goes without anybody walking over all of it.
        for key in [key for key, _ in zip(shelf.entries, range(2), strict=False)]:
            entry = shelf.entries[key]
            if now_s - entry.born_s >= entry.ttl_s + entry.stale_s or self.marks.of(entry.scopes) != entry.marks:
                self._drop(key, "expired")

    def _drop(self, key: bytes, why: str) -> None:
        entry = self._where.pop(key, None)
        if entry is None:
            return
        shelf = self._shelves[entry.tenant]
        del shelf.entries[key]
        shelf.size -= entry.size
        self.size -= entry.size
        if not shelf.entries:
            del self._shelves[entry.tenant]
        if why:
            self._evicted(why)
