"""How long a store's answers are waited for, for metrics: decisions wait for some of them."""

from collections.abc import Callable


class Waits:
    """Answers that came, and the seconds that they took together, as whoever asked saw it. `monotonic` is finer than a
    loop's own clock, which may stand for a whole turn."""

    __slots__ = ("answers", "monotonic", "seconds")

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self.monotonic = monotonic
        self.answers = 0
        self.seconds = 0.0

    def came(self, asked_s: float) -> None:
        """The answer to what was asked at `asked_s` is here."""
        self.answers += 1
        self.seconds += self.monotonic() - asked_s
