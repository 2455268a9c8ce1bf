"""Slow start: an endpoint that came back is cold, and gets its share bit by bit."""

from typing import Final

STEPS: Final = 10
"""A share changes in tenths: each change makes the pickers begin anew."""


def share(since_s: float, window_s: float) -> float:
    """The part of its weight that an endpoint has `since_s` seconds after its return."""
    if window_s <= 0 or since_s >= window_s:
        return 1.0
    return max(1, int(STEPS * max(0.0, since_s) / window_s)) / STEPS
