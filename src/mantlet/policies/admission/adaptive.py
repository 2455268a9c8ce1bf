"""How many calls a server may have under way: additive increase, multiplicative decrease, on how they end.

Not on a gradient of latency, as between like requests of one service: a server's tools take milliseconds or minutes,
and a change of what is called would look like a change of how the server is. A deadline that passed is a failure, and
where all tools are quick, so is what took longer than `slow_ms`.
"""

from typing import Final

SHRINK: Final = 0.8
FAILED_SHARE: Final = 0.1
"""Of as many calls as the limit allows. A tool that fails now and then costs its server nothing."""
GROWTH: Final = 1 / 16
"""A round. Whole again from the least in some 50 rounds."""


class Adaptive:
    """The limit in force, between `least` and `most`. No clock: a round is as many calls as the limit allows."""

    __slots__ = ("_ended", "_failed", "_least", "limit", "most")

    def __init__(self, least: int, most: int) -> None:
        self.most = most
        self.limit = most
        self._least = min(least, most)
        self._ended = 0
        self._failed = 0

    def succeeded(self, under_way: int) -> None:
        """One of `under_way` calls was answered."""
        self._ended += 1
        if self._ended >= self.limit:
            self._ended = self._failed = 0
            # What is not asked for is not known to be there.
            if self.limit < self.most and under_way * 2 >= self.limit:
                self.limit = min(self.most, self.limit + max(1, int(self.limit * GROWTH)))

    def failed(self) -> None:
        """One found the server busy, gone, broken or silent."""
        self._failed += 1
        if self._failed >= max(2, self.limit * FAILED_SHARE):
            self._ended = self._failed = 0
            self.limit = max(self._least, int(self.limit * SHRINK))
            return
        self._ended += 1
