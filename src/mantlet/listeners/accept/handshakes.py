"""TLS handshakes under way at one listener: a few begun a turn, and not more at once than memory has room for.

From its first record on a handshake takes some 45 KiB and a millisecond, and whoever has sent that record may leave it
at that. One that is meant ends within a round trip or two; so when there are too many, the oldest is the one that is
not. It needs no clock: at the rate at which handshakes can be begun at all, the oldest has had most of a second.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

from mantlet.listeners.accept.seats import Holder

MAX_UNDER_WAY: Final = 512
"""Some 25 MiB."""
BEGUN_A_TURN: Final = 1
"""Each takes half a millisecond of it: so a flood of first records is looked at beside everything else."""


class Handshakes:
    """One for a listener; touched by its loop only."""

    def __init__(self, loop: asyncio.AbstractEventLoop, displace: Callable[[Holder], object]) -> None:
        """`displace` has a holder leave for another."""
        self._loop, self._displace = loop, displace
        self._under_way: OrderedDict[Holder, None] = OrderedDict()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._left_this_turn = BEGUN_A_TURN
        self._is_counting = False

    def __len__(self) -> int:
        return len(self._under_way)

    async def begin(self, holder: Holder) -> None:
        """Return when it is the turn of `holder`, which tells when it is `over`."""
        if not self._left_this_turn or self._waiting:
            turn: asyncio.Future[None] = self._loop.create_future()
            self._waiting.append(turn)
            self._count()
            await turn
        else:
            self._left_this_turn -= 1
            self._count()
        if len(self._under_way) >= MAX_UNDER_WAY:
            oldest, _ = self._under_way.popitem(last=False)
            self._displace(oldest)
        self._under_way[holder] = None

    def over(self, holder: Holder) -> None:
        """The handshake of `holder` has ended, however it did; one that never began likewise."""
        self._under_way.pop(holder, None)

    def _count(self) -> None:
        if not self._is_counting:
            self._is_counting = True
            self._loop.call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._is_counting = False
        self._left_this_turn = BEGUN_A_TURN
        while self._waiting and self._left_this_turn:
            turn = self._waiting.popleft()
            if not turn.done():  # it may have given up meanwhile
                turn.set_result(None)
                self._left_this_turn -= 1
        if self._waiting or self._left_this_turn < BEGUN_A_TURN:
            self._count()
