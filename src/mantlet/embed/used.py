"""Which sealed tokens have come already, for a program of one process."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from mantlet.core.refusal import Overloaded

MAX_KEPT: Final = 100_000
"""About 20 MB. A program that takes more in five minutes keeps them elsewhere."""


class MemoryUsed:
    """`policies.forwarded.receiver.Used`. Several processes need a common one, such as `SET NX EX` in Valkey."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, max_kept: int = MAX_KEPT) -> None:
        self._monotonic, self._max_kept = monotonic, max_kept
        self._until: OrderedDict[str, float] = OrderedDict()

    async def first(self, jti: str, life_s: float, /) -> bool:
        """See the port. Raises `Overloaded` rather than forget one that still counts."""
        now_s = self._monotonic()
        while self._until and next(iter(self._until.values())) <= now_s:
            self._until.popitem(last=False)  # in the order they came, and all live equally long
        if jti in self._until:
            return False
        if len(self._until) >= self._max_kept:
            raise Overloaded(why="too many sealed tokens to remember")
        self._until[jti] = now_s + life_s
        return True
