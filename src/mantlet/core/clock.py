"""Time is handed in, so that a test or a simulation can drive it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Clock:
    """Two clocks, in seconds: `monotonic` for intervals and deadlines, `wall` (Unix time) for stamps and expiry."""

    monotonic: Callable[[], float]
    wall: Callable[[], float]


SYSTEM: Final = Clock(time.monotonic, time.time)
