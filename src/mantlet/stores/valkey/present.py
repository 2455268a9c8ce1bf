"""How many processes take from the limits of a store, counted by themselves (RATE-05).

While the store is gone each goes on with its share, so it must know how many there are. What the configuration says may
be wrong: a node is added, another has more workers, and nobody thinks of a number that matters on one bad day only.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from importlib.resources import files
from typing import Final

from mantlet.core.refusal import StoreUnavailable
from mantlet.core.tasks import Tasks
from mantlet.stores.valkey.client import Client
from mantlet.stores.valkey.keys import PREFIX, escaped

BEAT_S: Final = 5.0
COUNTS_S: Final = 15.0
"""How long after its last word a process counts: one that died, and one whose beat was lost."""
REMEMBERED: Final = 12
"""Counts, hence for a minute: a store that was emptied knows nobody for a moment, and a share must not grow by that."""

Counted = Callable[[int, int], None]
"""Is told the most and the fewest of the latest counts; the fewest are 0 until there were `REMEMBERED`."""


class Present:
    """Of one process. `is_taking` says whether it takes from limits at all: one that does not has no share."""

    def __init__(
        self,
        client: Client,
        group: str,
        *,
        is_taking: Callable[[], bool],
        counted: Counted,
        on_error: Callable[[BaseException], None],
        beat_s: float = BEAT_S,
    ) -> None:
        """`group` are those between whom the limits are shared."""
        self._client = client
        self._key = f"{PREFIX}::{escaped(group)}"  # no window's key begins with nothing
        self._name = secrets.token_hex(8)
        self._is_taking, self._counted, self._beat_s = is_taking, counted, beat_s
        self._script = (files("mantlet.stores.valkey") / "lua" / "present.lua").read_bytes()
        self._counts: deque[int] = deque(maxlen=REMEMBERED)
        self._tasks = Tasks(on_error)
        self._has_said = False

    def start(self) -> None:
        """Begin to say so, and to count."""
        self._tasks.start(self._beats(), "limits.present")

    async def close(self) -> None:
        """Be there no longer."""
        await self._tasks.close()
        if self._has_said:
            with suppress(StoreUnavailable):  # then its time is over soon
                await self._client.call("ZREM", self._key, self._name)

    async def beat(self) -> None:
        """Once. Raises `StoreUnavailable`."""
        is_taking = self._is_taking()
        self._has_said |= is_taking
        name = self._name if is_taking else ""
        kept_ms = int(COUNTS_S * 1000)
        there = await self._client.call("EVAL", self._script, 1, self._key, kept_ms, name, key=self._key)
        self._counts.append(int(there) + (not is_taking))  # who begins to take when the store is gone, is one more
        least = min(self._counts) if len(self._counts) == REMEMBERED else 0
        self._counted(max(self._counts), least)

    async def _beats(self) -> None:
        while True:
            with suppress(StoreUnavailable):  # the count from before it went is what shares are made by
                await self.beat()
            await asyncio.sleep(self._beat_s)
