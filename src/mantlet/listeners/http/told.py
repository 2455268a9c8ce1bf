"""Requests that are answered at once, within the turn in which they were read: refused like others a moment ago.

What is read only to be refused is not worth a task. Of those that were sent ahead some are answered within one another;
then others have their turn first.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from mantlet.core.call import Arrival, Reply
from mantlet.listeners.http.door import Told

MAX_TOLD: Final = 8
"""Requests sent ahead that are answered within one another."""


class AtOnce:
    """Of one connection: what is decided already is answered by it."""

    __slots__ = ("_depth", "_go_on", "_told", "is_deferred")

    def __init__(self, told: Told, go_on: Callable[[], None]) -> None:
        """`go_on` begins on what was sent ahead."""
        self._told, self._go_on = told, go_on
        self._depth = 0
        self.is_deferred = False
        """What was sent ahead waits for the loop's next turn."""

    @property
    def is_deep(self) -> bool:
        """Whether what was sent ahead has to wait."""
        return self._depth >= MAX_TOLD

    def answer(self, arrival: Arrival, tell: Callable[[Reply, bytes], None]) -> bool:
        """Have `tell` answer if it is decided already what `arrival` gets; whether it was."""
        reply = self._told(arrival)
        if reply is None:
            return False
        assert isinstance(reply.body, bytes)
        self._depth += 1
        try:
            tell(reply, reply.body)
        finally:
            self._depth -= 1
        return True

    def defer(self) -> None:
        """Let others have their turn first."""
        self.is_deferred = True
        asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self.is_deferred = False
        self._go_on()
