"""Limits in this process: exact, bounded, and about a microsecond a charge."""

from collections.abc import Sequence
from typing import Final

from mantlet.core.clock import Clock
from mantlet.core.ports import Charge, LimitKey, Taken
from mantlet.core.refusal import Overloaded
from mantlet.stores.keyspace import Keyspace
from mantlet.stores.window import Window, advance, seconds, wait_us

MAX_KEYS: Final = 65_536
"""Known clients (times the limits each has). About 350 bytes each when seen once, 850 when busy: 55 MiB at worst."""
MAX_WINDOWS: Final = 256
"""Different window lengths. They come from config, so this is a guard against a caller that makes them up."""
_SWEEP: Final = 4
_SWEEP_WHEN_FULL: Final = 64
_MOST: Final = 1 << 62
_CACHED_ANSWERS: Final = 4096


class MemoryLimits:
    """A `LimitStore` for one process. Atomic because nothing in it awaits.

    Monotonic time (RATE-04). A full table refuses unknown keys with `Overloaded` rather than forget known ones
    (RATE-02): forgetting would hand every flooder the quota of those it pushed out.
    """

    def __init__(self, clock: Clock, *, max_keys: int = MAX_KEYS) -> None:
        self._monotonic = clock.monotonic
        self._max_keys = max_keys
        self._spaces: dict[float, Keyspace] = {}
        self._keys = 0
        self._answers: dict[int, Taken] = {}

    def __len__(self) -> int:
        return self._keys

    @property
    def is_full(self) -> bool:
        """Whether unknown keys are being refused; a metric and health show it."""
        return self._keys >= self._max_keys

    @property
    def longest_window_s(self) -> float:
        """Of all windows in use."""
        return max(self._spaces, default=0.0)

    async def take(self, charges: Sequence[Charge]) -> Taken:
        """Count every charge or none. Raises `Overloaded` when an unknown key finds the table full.

        One pass that counts as it goes and takes back on a refusal: so a key named twice is counted twice.
        """
        # Measured: 2.2 µs for three charges; half of it if `advance`, the ring and a fresh Taken were on this path.
        now_us = int(self._monotonic() * 1e6)
        spaces = self._spaces
        least = _MOST
        tightest = 0
        fresh: list[tuple[Keyspace, LimitKey, Window]] | None = None
        for index, charge in enumerate(charges):
            space = spaces.get(charge.window_s)
            if space is None:
                space = self._space(charge.window_s, charges, index, fresh)
            bucket = now_us // space.width
            window = space.windows.get(charge.key)
            if window is None:
                window = Window(bucket)
                self._make_room(space, bucket, charges, index, fresh)
                space.windows[charge.key] = window
                self._keys += 1
                entry = (space, charge.key, window)
                if fresh is None:
                    fresh = [entry]
                else:
                    fresh.append(entry)
            elif window.at != bucket:
                self._advance(space, window, bucket)
            cost = charge.cost
            total = window.total + cost
            left = charge.limit - total
            if left < 0:
                self._give_back(charges, index, fresh)
                return self._refusal(charges, index, now_us)
            window.total = total
            window.current += cost
            if left < least:
                least = left
                tightest = index
        if fresh is not None:
            for space, key, window in fresh:
                space.enrol(key, window.at)
        if least < charges[tightest].cost:
            return self._spent(charges[tightest], tightest, least, now_us)
        # A frozen dataclass costs 0.7 µs to make, and the same few answers are given again and again.
        number = least * 64 + tightest
        known = self._answers.get(number)
        if known is None:
            known = Taken(-1, tightest, least, 0.0)
            if len(self._answers) < _CACHED_ANSWERS:
                self._answers[number] = known
        return known

    async def count(self, charge: Charge) -> Taken:
        """The state of one window; makes no key."""
        now_us = int(self._monotonic() * 1e6)
        space = self._spaces.get(charge.window_s)
        window = None if space is None else space.windows.get(charge.key)
        if space is None or window is None:
            return Taken(-1 if charge.cost <= charge.limit else 0, 0, charge.limit, 0.0)
        if window.at != now_us // space.width:
            advance(window, now_us // space.width)
        wait = wait_us(window, limit=charge.limit, cost=charge.cost, now_us=now_us, width=space.width)
        return Taken(0 if wait else -1, 0, max(0, charge.limit - window.total), seconds(wait))

    async def reset(self, prefix: LimitKey) -> int:
        """Forget every window under `prefix`. Walks all keys: an act of administration."""
        return sum(space.forget(prefix) for space in self._spaces.values())

    def record(self, charges: Sequence[Charge], used: Sequence[int], sharers: int, *, is_counted: bool) -> None:
        """Keep warm beside a shared store: count our own admits, and at least our share of what all have `used`.

        Never refuses; what finds the table full is not kept.
        """
        now_us = int(self._monotonic() * 1e6)
        for charge, all_used in zip(charges, used, strict=True):
            space = self._spaces.get(charge.window_s) or self._space(charge.window_s, (), 0, None)
            bucket = now_us // space.width
            window = space.windows.get(charge.key)
            if window is None:
                self._keys -= space.sweep(bucket, _SWEEP)
                if self._keys >= self._max_keys:
                    continue
                window = space.windows[charge.key] = Window(bucket)
                self._keys += 1
                space.enrol(charge.key, bucket)
            elif window.at != bucket:
                self._advance(space, window, bucket)
            more = charge.cost if is_counted else 0
            more = max(more, all_used // sharers - window.total)
            window.total += more
            window.current += more

    def _advance(self, space: Keyspace, window: Window, bucket: int) -> None:
        # Not on every call: the sweep rides along when a window moves on, so that idle keys go even if none come.
        advance(window, bucket)
        self._keys -= space.sweep(bucket, _SWEEP)

    def _space(
        self,
        window_s: float,
        charges: Sequence[Charge],
        taken: int,
        fresh: list[tuple[Keyspace, LimitKey, Window]] | None,
    ) -> Keyspace:
        if len(self._spaces) >= MAX_WINDOWS:
            self._give_back(charges, taken, fresh)
            raise Overloaded(why=f"more than {MAX_WINDOWS} different limit windows")
        space = self._spaces[window_s] = Keyspace(window_s)
        return space

    def _make_room(
        self,
        space: Keyspace,
        bucket: int,
        charges: Sequence[Charge],
        taken: int,
        fresh: list[tuple[Keyspace, LimitKey, Window]] | None,
    ) -> None:
        """Sweep a little; raise `Overloaded` (and give back what was taken) if the table stays full."""
        self._keys -= space.sweep(bucket, _SWEEP)
        if self._keys < self._max_keys:
            return
        now_us = int(self._monotonic() * 1e6)
        for other in self._spaces.values():
            self._keys -= other.sweep(now_us // other.width, _SWEEP_WHEN_FULL)
        if self._keys >= self._max_keys:
            self._give_back(charges, taken, fresh)
            raise Overloaded(why=f"limits know {self._max_keys} keys and take no more")

    def _give_back(
        self, charges: Sequence[Charge], taken: int, fresh: list[tuple[Keyspace, LimitKey, Window]] | None
    ) -> None:
        for charge in charges[:taken]:
            window = self._spaces[charge.window_s].windows[charge.key]
            window.total -= charge.cost
            window.current -= charge.cost
        # A refused call leaves no key behind, or refusals would fill the table.
        for space, key, _ in fresh or ():
            del space.windows[key]
            self._keys -= 1

    def _refusal(self, charges: Sequence[Charge], found: int, now_us: int) -> Taken:
        """Which of the charges frees last; `found` is one that refused."""
        refused, longest, left = found, 0, 0
        demand: dict[tuple[LimitKey, float], int] = {}
        for index, charge in enumerate(charges):
            # A key named twice needs room for both.
            cost = demand[charge.key, charge.window_s] = demand.get((charge.key, charge.window_s), 0) + charge.cost
            space = self._spaces.get(charge.window_s)
            window = None if space is None else space.windows.get(charge.key)
            if space is None or window is None:
                wait, remaining = (0 if cost <= charge.limit else int(charge.window_s * 1e6)), charge.limit
            else:
                bucket = now_us // space.width
                if window.at != bucket:
                    advance(window, bucket)
                wait = wait_us(window, limit=charge.limit, cost=cost, now_us=now_us, width=space.width)
                remaining = charge.limit - window.total
            if wait > longest:
                refused, longest, left = index, wait, max(0, remaining)
        return Taken(refused, refused, left, seconds(longest))

    def _spent(self, charge: Charge, index: int, left: int, now_us: int) -> Taken:
        space = self._spaces[charge.window_s]
        window = space.windows[charge.key]
        wait = wait_us(window, limit=charge.limit, cost=charge.cost, now_us=now_us, width=space.width)
        return Taken(-1, index, left, seconds(wait))
