"""Seats: how many connections a listener has, in all and from each address, and who gives way when all are taken.

A connection takes its seat before anything is spent on it. Until somebody is known on it the seat is only lent: when
all are taken, whoever has been nobody for longest leaves for the newcomer, and after all of those whoever is known and
has rested for longest. So those who hold connections and say nothing hold them against each other; who is served, or
was a moment ago, keeps its seat, and when nobody gives way the newcomer is refused.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from mantlet.listeners.peer import Network, is_within

RESTED_S: Final = 10.0
"""How long somebody who is known must have said nothing before it gives way: a call is often followed by the next."""
SCARCE: Final = 0.9
"""From this part of all seats on it is looked for who rests."""


class Holder(Protocol):
    """Who sits on a seat."""

    def make_room(self) -> bool:
        """Leave at once, seat and all, for whoever comes; False when what it does must not be cut off."""
        ...


class Seat:
    """One connection's. It goes from hand to hand while the connection becomes what it will be."""

    __slots__ = ("_seats", "holder", "is_trusted", "peer")

    def __init__(self, seats: "Seats", peer: str, *, is_trusted: bool) -> None:
        self._seats: Seats | None = seats
        self.peer = peer
        self.is_trusted = is_trusted
        """Of a proxy that is believed, and brings the connections of many."""
        self.holder: Holder | None = None

    def lend(self, holder: Holder) -> None:
        """`holder` is nobody yet, or nobody again. It stands behind all others who are."""
        self.holder = holder
        if self._seats is not None and not self.is_trusted:
            self._seats.lent[self] = None
            self._seats.lent.move_to_end(self)

    def keep(self) -> None:
        """Nobody takes it from its holder any more."""
        if self._seats is not None:
            self._seats.lent.pop(self, None)

    def leave(self) -> None:
        """Give it back. Whoever comes second to say so says nothing new."""
        seats, self._seats = self._seats, None
        if seats is not None:
            seats.lent.pop(self, None)
            self.holder = None
            seats.left(self.peer)


class Seats:
    """One for a listener (RATE-06)."""

    __slots__ = (
        "_is_empty",
        "_max",
        "_max_each",
        "_resting",
        "_scarce_from",
        "_trusted",
        "by_peer",
        "displaced",
        "is_shut",
        "lent",
        "refused",
        "taken",
    )

    def __init__(self, max_connections: int, max_each: int, trusted: Sequence[Network] = ()) -> None:
        """`max_each` is for one address; not for the proxies in `trusted`, which bring the connections of many."""
        self._max, self._max_each, self._trusted = max_connections, max_each, tuple(trusted)
        self._scarce_from = int(SCARCE * max_connections)
        self._is_empty = asyncio.Event()
        self._resting: deque[Holder] = deque()
        self.lent: OrderedDict[Seat, None] = OrderedDict()
        """Of nobody known, oldest first. Some have become known since: that is looked at when it matters."""
        self.by_peer: dict[str, int] = {}
        """Open connections by peer address; never more keys than connections."""
        self.taken = 0
        self.refused = 0
        """Connections turned away."""
        self.displaced = 0
        """Connections that left for others."""
        self.is_shut = False
        """Nobody new gets one."""

    def __len__(self) -> int:
        return self.taken

    @property
    def is_scarce(self) -> bool:
        """Whether it is worth knowing who rests."""
        return self.taken >= self._scarce_from

    def take(self, peer: str, /) -> Seat | None:
        """Count a connection of `peer` in, or refuse it."""
        mine = self.by_peer.get(peer, 0)
        is_trusted = is_within(peer, self._trusted)
        if (
            self.is_shut
            or (mine >= self._max_each and not is_trusted)
            or (self.taken >= self._max and not self._make_room())
        ):
            self.refused += 1
            return None
        self.by_peer[peer] = self.by_peer.get(peer, 0) + 1  # it may be one of its own that made room
        self.taken += 1
        self._is_empty.clear()
        return Seat(self, peer, is_trusted=is_trusted)

    def left(self, peer: str, /) -> None:
        """A seat is free again; called by the seat."""
        self.taken -= 1
        if (mine := self.by_peer[peer] - 1) > 0:
            self.by_peer[peer] = mine
        else:
            del self.by_peer[peer]
        if not self.taken:
            self._is_empty.set()

    def rest(self, holders: Iterable[Holder]) -> None:
        """Hear who is known and rests, those first who have for longest; said anew at times while seats are scarce."""
        self._resting = deque(holders)

    def _make_room(self) -> bool:
        # Each is looked at once for each time that it was lent or rested: what this costs a newcomer is constant, taken
        # over all of them.
        while self.lent:
            seat, _ = self.lent.popitem(last=False)
            if seat.holder is not None and self.displace(seat.holder):
                return True
        while self._resting:
            if self.displace(self._resting.popleft()):
                return True
        return False

    def displace(self, holder: Holder) -> bool:
        """Have `holder` leave for somebody else; whether it did."""
        has_left = holder.make_room()
        self.displaced += has_left
        return has_left

    async def until_empty(self, timeout_s: float) -> None:
        """Return when all are gone, or after `timeout_s`."""
        if not self.taken:
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._is_empty.wait()
        except TimeoutError:
            return
