"""Limits in the shared store that take for many calls in one round trip, where limits are large enough."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from mantlet.core.clock import Clock
from mantlet.core.ports import Charge, LimitKey, Taken
from mantlet.core.refusal import StoreUnavailable
from mantlet.stores.lease import lasts_s, most, size
from mantlet.stores.valkey.limits import Mark, ValkeyLimits
from mantlet.stores.window import seconds, width_us

MAX_LEASES: Final = 8_192
"""Windows that are watched for how much is used of them. With more, all leases are given back and begun anew."""
_MOST: Final = 1 << 62


class Lease:
    """What was taken of one window and not yet spent. A class with slots: it is touched on every call."""

    __slots__ = (
        "asked_s", "before", "bucket", "charge", "coming", "left", "now", "now_us", "remaining", "seen", "until_s",
        "used", "waiting", "width",
    )  # fmt: skip

    def __init__(self, charge: Charge) -> None:
        self.charge = charge
        self.width = width_us(charge.window_s)
        self.left = 0
        self.until_s = 0.0
        self.bucket = 0
        """The store's number of the sub-bucket that it is charged to."""
        self.asked_s, self.now_us = 0.0, 0
        """When it was asked for by our clock, and taken by the store's."""
        self.used = self.remaining = 0
        """What the window held, and had left, when the store was last asked."""
        self.seen = self.before = self.now = 0
        """A sub-bucket by our own clock, and what was used in the one before it and in itself."""
        self.coming = 0
        """Units that are being asked for."""
        self.waiting: list[asyncio.Future[None]] = []
        """Calls that wait for these; no more of them than units."""


class LeasedLimits:
    """`ValkeyLimits`, asked less often. A call whose limits all have something left on lease needs no round trip.

    If one limit of a call is too small for leases the store is asked for every such call.
    """

    def __init__(self, store: ValkeyLimits, clock: Clock, *, sharers: int) -> None:
        self._store = store
        self._monotonic = clock.monotonic
        self._sharers = max(1, sharers)
        self._leases: dict[tuple[LimitKey, float], Lease] = {}
        self._shelves: dict[float, dict[Lease, None]] = {}
        """Those that hold something, by the length of their windows: these end at the same time."""
        self._mark: Mark = (0, 0)

    def __len__(self) -> int:
        return len(self._leases)

    async def take(self, charges: Sequence[Charge]) -> Taken:
        """Count every charge or none. Raises `StoreUnavailable`."""
        return (await self.take_seen(charges))[0]

    async def take_seen(self, charges: Sequence[Charge]) -> tuple[Taken, list[int], int, int]:
        """As `ValkeyLimits` does; with what stood in the windows when the lease was taken."""
        now_s = self._monotonic()
        spent = self._spend(charges, now_s)
        if spent is None and (waiter := self._waiter(charges)) is not None:
            await waiter
            now_s = self._monotonic()
            spent = self._spend(charges, now_s)
        return await self._ask(charges, now_s) if spent is None else spent

    async def count(self, charge: Charge) -> Taken:
        """The state of one window; what is on lease counts as used. Raises `StoreUnavailable`."""
        return await self._store.count(charge)

    async def reset(self, prefix: LimitKey) -> int:
        """Forget windows, and leases of them here. What other nodes hold of them ends within a sub-bucket."""
        for (key, _), lease in self._leases.items():
            if key[: len(prefix)] == prefix:
                lease.left = 0
        return await self._store.reset(prefix)

    async def close(self) -> None:
        """Give back what is left."""
        self._start_over()
        with suppress(StoreUnavailable):
            await self._store.settled()

    def _spend(self, charges: Sequence[Charge], now_s: float) -> tuple[Taken, list[int], int, int] | None:
        """What is on lease, or None and nothing at all. Measured: 2.6 µs for three charges."""
        leases = self._leases
        found: list[Lease] = []
        least, tightest, at_us = _MOST, 0, 0
        for charge in charges:
            lease = leases.get((charge.key, charge.window_s))
            if lease is None or lease.left < charge.cost or lease.until_s <= now_s:
                break
            lease.left -= charge.cost
            remaining = lease.remaining + lease.left
            if remaining < least:
                least, tightest = remaining, len(found)
            found.append(lease)
            at_us = lease.now_us + int((now_s - lease.asked_s) * 1e6)
        else:
            return Taken(-1, tightest, least, 0.0), [lease.used for lease in found], at_us, self._mark[0]
        for lease, charge in zip(found, charges, strict=False):  # as far as it got
            lease.left += charge.cost
        return None

    def _waiter(self, charges: Sequence[Charge]) -> asyncio.Future[None] | None:
        """Done when units that are on their way are here; None when there are not enough for one more."""
        for charge in charges:
            lease = self._leases.get((charge.key, charge.window_s))
            if lease is None:
                return None
            if lease.coming > len(lease.waiting):
                waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                lease.waiting.append(waiter)
                return waiter
        return None

    async def _ask(self, charges: Sequence[Charge], now_s: float) -> tuple[Taken, list[int], int, int]:
        leases = [self._of(charge) for charge in charges] if self._are_large(charges) else []
        extra = [self._wanted(lease, charge.cost, now_s) for lease, charge in zip(leases, charges, strict=False)]
        extra = coming = extra if any(extra) else []
        for lease, units in zip(leases, coming, strict=False):
            lease.coming += units
        try:
            reply = await self._store.run(charges, extra)
            if extra and reply[0] >= 0:
                extra = []  # perhaps it is only what nobody needs yet that does not fit
                reply = await self._store.run(charges)
        except StoreUnavailable:
            self._drop()  # a store that is gone must look so, and all that is held was counted there
            raise
        finally:
            self._came(leases, coming)
        self._marked((reply[5], reply[6]))
        for number, lease in enumerate(leases):
            lease.used = reply[7 + number]
            lease.remaining = max(0, lease.charge.limit - lease.used)
            if extra and extra[number]:
                self._took(lease, extra[number], reply[4], now_s)
        taken = Taken(reply[0], reply[1], reply[2], seconds(reply[3]))
        if extra:  # what is on lease is still left
            left = [lease.remaining + lease.left for lease in leases]
            taken = Taken(-1, left.index(min(left)), min(left), 0.0)
        return taken, reply[7:], reply[4], reply[5]

    def _are_large(self, charges: Sequence[Charge]) -> bool:
        sharers = self._sharers
        return all(most(charge.limit, sharers) for charge in charges)

    def _of(self, charge: Charge) -> Lease:
        name = (charge.key, charge.window_s)
        lease = self._leases.get(name)
        if lease is None:
            if len(self._leases) >= MAX_LEASES:
                self._start_over()
            lease = self._leases[name] = Lease(charge)
        lease.charge = charge  # its limit may be another one by now
        return lease

    def _wanted(self, lease: Lease, cost: int, now_s: float) -> int:
        """How much more than `cost` to take; keeps count of what is used."""
        number = int(now_s * 1e6) // lease.width
        if lease.seen != number:
            lease.before = max(0, lease.now - lease.left) if lease.seen == number - 1 else 0
            lease.now = 0
            lease.seen = number
        units = 0
        if not lease.coming and (lease.left <= cost or lease.until_s <= now_s):
            units = size(
                limit=lease.charge.limit,
                sharers=self._sharers,
                remaining=lease.remaining,
                before=lease.before,
                now=lease.now,
            )
        lease.now += cost + units
        return units

    def _came(self, leases: Sequence[Lease], coming: Sequence[int]) -> None:
        """Wake who waited, in a turn of their own: by then what came is here."""
        for lease, units in zip(leases, coming, strict=False):
            if units:
                lease.coming = 0
                waiting, lease.waiting = lease.waiting, []
                for waiter in waiting:
                    if not waiter.done():
                        waiter.set_result(None)

    def _took(self, lease: Lease, units: int, now_us: int, asked_s: float) -> None:
        bucket = now_us // lease.width
        if lease.bucket != bucket:
            self._give(lease)
            lease.bucket = bucket
        lease.left += units
        lease.until_s = asked_s + lasts_s(now_us, lease.width)
        lease.asked_s, lease.now_us = asked_s, now_us
        shelf = self._shelves.setdefault(lease.charge.window_s, {})
        if not shelf:
            self._wake(lease.charge.window_s, lease.until_s)
        shelf[lease] = None

    def _give(self, lease: Lease) -> None:
        units, lease.left = lease.left, 0
        if units:
            lease.now -= units
            now_us = lease.now_us + int((self._monotonic() - lease.asked_s) * 1e6)
            self._store.give(lease.charge, units, bucket=lease.bucket, mark=self._mark, now_us=now_us)

    def _wake(self, window_s: float, at_s: float) -> None:
        wait_s = max(0.0, at_s - self._monotonic())
        asyncio.get_running_loop().call_later(wait_s, self._end, window_s)

    def _end(self, window_s: float) -> None:
        """Give back what was not spent in its sub-bucket: one timer for all windows of a length."""
        now_s = self._monotonic()
        shelf = self._shelves.get(window_s)
        if not shelf:
            return
        kept: dict[Lease, None] = {}
        for lease in shelf:
            if lease.until_s <= now_s:
                self._give(lease)
            elif lease.left:
                kept[lease] = None
        self._shelves[window_s] = kept
        if kept:
            self._wake(window_s, min(lease.until_s for lease in kept))

    def _marked(self, mark: Mark) -> None:
        if mark != self._mark:
            # Emptied, or windows were reset: what was charged before may be forgotten.
            self._drop()
            self._mark = mark

    def _drop(self) -> None:
        for shelf in self._shelves.values():
            for lease in shelf:
                lease.left = 0

    def _start_over(self) -> None:
        for shelf in self._shelves.values():
            for lease in shelf:
                self._give(lease)
        self._shelves.clear()
        self._leases.clear()
