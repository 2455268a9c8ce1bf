"""How many failed authentications a source may make (AUTHN-07).

A level per key rises by one with each failure and leaks away evenly, `limit` in `window_s`: exact enough to slow a
guesser, one pair of numbers a key, and no long lock for a client that was mended. It stands before costly checks only:
what is cheap to check (a cached token, an API key) is always checked, so that a stranger behind the same address, or
one who knows a key's public id, cannot lock its owner out.
"""

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

MAX_SOURCES: Final = 16_384
"""Least recently failing out first: a flood of addresses can make us forget, never grow."""


@dataclass(frozen=True, slots=True)
class Level:
    """How full a source's measure is, at a monotonic instant."""

    failures: float
    at_s: float


EMPTY: Final = Level(0.0, 0.0)


def leaked(level: Level, *, now_s: float, limit: int, window_s: float) -> Level:
    """`level` as it stands at `now_s`."""
    now_s = max(now_s, level.at_s)
    return Level(max(0.0, level.failures - (now_s - level.at_s) * limit / window_s), now_s)


def wait_s(level: Level, *, limit: int, window_s: float) -> float:
    """How long until one more failure fits; 0 when it fits now."""
    over = level.failures + 1 - limit
    return max(0.0, over * window_s / limit)


class Failures:
    """The levels of all sources, bounded."""

    def __init__(self, limit: int, window_s: float, max_sources: int = MAX_SOURCES) -> None:
        self.limit, self.window_s = limit, window_s
        self._max_sources = max_sources
        self._levels: OrderedDict[str, Level] = OrderedDict()
        self._full: dict[str, float] = {}
        """Until when no failure of theirs fits: while none does none is counted, so nothing moves it."""

    def is_full(self, source: str, now_s: float) -> bool:
        """Whether another failure of `source` does not fit. While nobody's does, as cheap as can be."""
        until_s = self._full.get(source)
        if until_s is None:
            return False
        if now_s < until_s:
            return True
        del self._full[source]
        return False

    @property
    def has_full(self) -> bool:
        """Whether anybody is, or was a moment ago."""
        return bool(self._full)

    def wait_s(self, source: str, now_s: float) -> float:
        """How long `source` has to wait before another failure fits; 0 when it need not."""
        level = self._levels.get(source)
        if level is None:
            return 0.0
        level = leaked(level, now_s=now_s, limit=self.limit, window_s=self.window_s)
        wait = wait_s(level, limit=self.limit, window_s=self.window_s)
        if wait > 0:
            self._full[source] = now_s + wait
        return wait

    def count(self, source: str, now_s: float) -> float:
        """Count a failure that fits, and give 0; or count nothing, and give how long to wait."""
        level = leaked(self._levels.get(source, EMPTY), now_s=now_s, limit=self.limit, window_s=self.window_s)
        wait = wait_s(level, limit=self.limit, window_s=self.window_s)
        if wait == 0:
            self._levels[source] = Level(level.failures + 1, level.at_s)
            self._levels.move_to_end(source)
            if len(self._levels) > self._max_sources:
                self._full.pop(self._levels.popitem(last=False)[0], None)
        return wait

    def __len__(self) -> int:
        return len(self._levels)


@lru_cache(maxsize=4096)  # 20 us each, and a flood from one address would pay it with every request
def source_of(peer: str) -> str:
    """What counts as one source: an IPv4 address, an IPv6 network of 64 bits (one customer has all of it)."""
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))
