"""How many calls may be made again: a share of all, as a token bucket. Pure."""

from typing import Final

STORED: Final = 10.0
"""What quiet times save up: so many may be made again at once, and after that a share of what is called."""


class Budget:
    """Of any n calls in a row no more than n * percent / 100 + `STORED` are made again."""

    __slots__ = ("_share", "_tokens", "refused", "spent")

    def __init__(self, percent: float) -> None:
        self._share = percent / 100
        self._tokens = 1.0  # the first call may be the one that needs it
        self.spent = 0
        self.refused = 0

    def called(self) -> None:
        """One call is made for the first time."""
        tokens = self._tokens + self._share
        self._tokens = STORED if tokens > STORED else tokens

    def take(self) -> bool:
        """Whether one may be made again; then it is counted."""
        if self._tokens < 1.0:
            self.refused += 1
            return False
        self._tokens -= 1.0
        self.spent += 1
        return True
