"""`State` of one process on its own."""

from collections import OrderedDict
from typing import Final

from mantlet.core.clock import Clock
from mantlet.core.ports import StateKey

MAX_KEYS: Final = 200_000
"""Values kept; with more, those go first that were set longest ago. At 200 bytes each, 40 MiB."""


class MemoryState:
    """Kept in memory, gone with the process."""

    def __init__(self, clock: Clock, *, max_keys: int = MAX_KEYS) -> None:
        self._clock = clock
        self._max_keys = max_keys
        self._values: OrderedDict[StateKey, tuple[float, bytes]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    async def get(self, key: StateKey, /) -> bytes | None:
        """See the port."""
        return self._standing(key)

    async def put(self, key: StateKey, value: bytes, ttl_s: float, /) -> None:
        """See the port."""
        self._values[key] = (self._clock.monotonic() + ttl_s, value)
        self._values.move_to_end(key)
        self._make_room()

    async def claim(self, key: StateKey, value: bytes, ttl_s: float, /) -> bytes:
        """See the port."""
        standing = self._standing(key)
        if standing is not None:
            return standing
        await self.put(key, value, ttl_s)
        return value

    async def drop(self, key: StateKey, /) -> None:
        """See the port."""
        self._values.pop(key, None)

    def _standing(self, key: StateKey) -> bytes | None:
        entry = self._values.get(key)
        if entry is None:
            return None
        if entry[0] <= self._clock.monotonic():
            del self._values[key]
            return None
        return entry[1]

    def _make_room(self) -> None:
        # Looking at a few of the oldest with every put keeps the dead from piling up, without ever walking them all.
        now_s = self._clock.monotonic()
        for _ in range(2):
            oldest = next(iter(self._values))
            if self._values[oldest][0] > now_s and len(self._values) <= self._max_keys:
                return
            del self._values[oldest]
            if not self._values:
                return
