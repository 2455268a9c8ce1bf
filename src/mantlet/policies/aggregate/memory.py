"""What was made of servers' answers, kept by their size."""

from collections import OrderedDict
from typing import Final, Generic, TypeVar

MAX_BYTES: Final = 8 * 1024 * 1024
"""Answers remembered, by their own size; what is made of them takes some ten times that."""

V = TypeVar("V")


class Memory(Generic[V]):
    """The values most recently used, as many as their size allows."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._size = 0
        self._kept: OrderedDict[object, tuple[V, int]] = OrderedDict()

    def get(self, key: object) -> V | None:
        """The value, or None."""
        found = self._kept.get(key)
        if found is None:
            return None
        self._kept.move_to_end(key)
        return found[0]

    def put(self, key: object, value: V, size: int) -> None:
        """Remember it, and forget what was not asked for the longest."""
        former = self._kept.pop(key, None)
        self._size += size - (0 if former is None else former[1])
        self._kept[key] = value, size
        while self._size > self._max_bytes:
            _, (_, gone) = self._kept.popitem(last=False)
            self._size -= gone
