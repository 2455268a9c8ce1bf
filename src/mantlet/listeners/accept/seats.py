"""Seats: how many connections a listener has, in all and from each address."""

import asyncio
from collections.abc import Sequence

from mantlet.listeners.peer import Network, is_within


class Seats:
    """One for a listener. A connection takes its seat before anything is spent on it (RATE-06)."""

    __slots__ = ("_is_empty", "_max", "_max_each", "_trusted", "by_peer", "is_shut", "refused", "taken")

    def __init__(self, max_connections: int, max_each: int, trusted: Sequence[Network] = ()) -> None:
        """`max_each` is for one address; not for the proxies in `trusted`, which bring the connections of many."""
        self._max, self._max_each, self._trusted = max_connections, max_each, trusted
        self._is_empty = asyncio.Event()
        self.by_peer: dict[str, int] = {}
        """Open connections by peer address; never more keys than connections."""
        self.taken = 0
        self.refused = 0
        """Connections turned away."""
        self.is_shut = False
        """Nobody new gets one."""

    def __len__(self) -> int:
        return self.taken

    def take(self, peer: str, /) -> bool:
        """Count a connection of `peer` in, or refuse it."""
        mine = self.by_peer.get(peer, 0)
        is_full = self.taken >= self._max or (mine >= self._max_each and not is_within(peer, self._trusted))
        if self.is_shut or is_full:
            self.refused += 1
            return False
        self.by_peer[peer] = mine + 1
        self.taken += 1
        self._is_empty.clear()
        return True

    def give_back(self, peer: str, /) -> None:
        """Count it out."""
        self.taken -= 1
        if (mine := self.by_peer[peer] - 1) > 0:
            self.by_peer[peer] = mine
        else:
            del self.by_peer[peer]
        if not self.taken:
            self._is_empty.set()

    async def until_empty(self, timeout_s: float) -> None:
        """Return when all are gone, or after `timeout_s`."""
        if not self.taken:
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._is_empty.wait()
        except TimeoutError:
            return
