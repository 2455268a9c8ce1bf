"""The sliding window: conservative sub-buckets, in plain functions.

A window of W seconds is cut into 100 sub-buckets. A true window of length W that ends now can overlap 101 of them, so
101 are counted: whatever overlaps counts whole. Therefore in no true window of length W more than L are admitted
(RATE-03), and a call is refused only if an exact log over a window of 1.01 W (and a few microseconds) would refuse it:
a caller that always tries gets at least L per 1.01 W, which is 99 % of what the exact log gives.

Two-counter interpolation and GCRA with burst = L admit up to 2 L in one true window and are no substitute.
`lua/window.lua` is this file again, for the shared store; the contract suite holds the two together.
"""

from array import array
from typing import Final

SUB_BUCKETS: Final = 100
SPAN: Final = SUB_BUCKETS + 1
"""Sub-buckets that a true window can overlap."""
_UNUSED: Final = array("I", bytes(4 * SPAN))
"""A ring. Four bytes a count: config has no limit that large."""


class Window:
    """What one key was granted. A class with slots and no methods: it is touched several times on every call.

    The oldest counts stand in `past`, a ring by sub-bucket number, made only when a second sub-bucket is used: the keys
    of a flood are seen once, and cost a fifth of a ring. Invariant: `total == current + sum(past)`, and the ring's
    place of `at` itself is 0.
    """

    __slots__ = ("at", "current", "past", "total")

    def __init__(self, at: int) -> None:
        self.at = at
        """The number of the latest sub-bucket."""
        self.current = 0
        """Granted in `at`."""
        self.total = 0
        """Granted in all sub-buckets that count."""
        self.past: array[int] | None = None


def width_us(window_s: float) -> int:
    """The width of a sub-bucket: a 100th, rounded up by 1 µs, so that neither rounding nor a float clock can lose one.

    Windows below 0.1 s would lose another 0.1 % and more by that microsecond; config refuses them.
    """
    return int(window_s * 1_000_000) // SUB_BUCKETS + 1


def advance(window: Window, bucket: int) -> None:
    """Move `window` to sub-bucket `bucket` and forget what no true window that ends there can see.

    A clock that stepped back keeps the age of every count (RATE-04): nobody is freed by the step, and
    nobody stays locked for longer than the one window that the counts would have lasted anyway.
    """
    step = bucket - window.at
    if step == 0:
        return
    past = window.past
    if step < 0:
        if past is not None:
            turn = -step % SPAN
            window.past = past[turn:] + past[:turn]
    elif step >= SPAN:
        window.total = window.current = 0
        window.past = None
    elif window.total:
        if past is None:
            past = window.past = _UNUSED[:]
        past[window.at % SPAN] = window.current
        window.current = 0
        for number in range(window.at + 1, bucket + 1):
            place = number % SPAN
            if gone := past[place]:
                window.total -= gone
                past[place] = 0
    window.at = bucket


def wait_us(window: Window, *, limit: int, cost: int, now_us: int, width: int) -> int:
    """In how many microseconds `cost` fits into `limit`, if nobody else takes; 0 when it fits now.

    `window` must stand at the sub-bucket of `now_us`. What can never fit waits a whole span.
    """
    excess = window.total + cost - limit
    if excess <= 0:
        return 0
    past = window.past
    if past is not None:
        for number in range(window.at - SUB_BUCKETS, window.at):
            excess -= past[number % SPAN]
            if excess <= 0:
                return (number + SPAN) * width - now_us
    return (window.at + SPAN) * width - now_us


def seconds(us: int) -> float:
    """A wait as seconds, a microsecond longer: a float clock must not bring anyone back too early."""
    return (us + 1) / 1_000_000 if us else 0.0
