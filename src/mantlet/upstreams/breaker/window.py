"""How the calls of the last seconds ended, in a ring of sub-buckets."""

from typing import Final

SLOTS: Final = 10
"""What is counted is between nine and ten tenths of the window."""


class Window:
    """Counts of the last `window_s` seconds; fixed in size, whatever comes.

    `calls` counts in the slot that is open, too, and `_closed` without it: what has been in it is known when it ends.
    """

    __slots__ = ("_calls", "_closed", "_failed", "_index", "_slot_s", "_slow", "calls", "ends_s", "failed", "slow")

    def __init__(self, window_s: float, now_s: float) -> None:
        self._slot_s = window_s / SLOTS
        self.clear(now_s)

    def clear(self, now_s: float) -> None:
        """Forget everything."""
        self.calls = self.failed = self.slow = self._closed = 0
        self._calls = [0] * SLOTS
        self._failed = [0] * SLOTS
        self._slow = [0] * SLOTS
        self._index = 0
        self.ends_s = now_s + self._slot_s
        """When the open slot ends: whoever counts looks at it first."""

    def turn(self, now_s: float) -> None:
        """Let go of the slots whose time is over; `now_s` is not before `ends_s`."""
        steps = int((now_s - self.ends_s) / self._slot_s) + 1
        if steps >= SLOTS:
            self.clear(now_s)
            return
        self._calls[self._index] = self.calls - self._closed
        for _ in range(steps):
            self._index = index = (self._index + 1) % SLOTS
            self.calls -= self._calls[index]
            self.failed -= self._failed[index]
            self.slow -= self._slow[index]
            self._calls[index] = self._failed[index] = self._slow[index] = 0
        self._closed = self.calls
        self.ends_s += steps * self._slot_s

    def went_wrong(self, now_s: float, *, slow: bool) -> None:
        """One more failed, or was answered too late."""
        if now_s >= self.ends_s:
            self.turn(now_s)
        self.calls += 1
        if slow:
            self.slow += 1
            self._slow[self._index] += 1
        else:
            self.failed += 1
            self._failed[self._index] += 1
