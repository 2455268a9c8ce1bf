"""Highest random weight (Thaler and Ravishankar, 1998): a key goes to the endpoint that wins a lottery drawn from both.
Every process draws the same; when an endpoint comes or goes, only the keys that it wins move.

Weighted as an exponential race: the winner is the one with the smallest `-ln(u) * cost`, so each wins in proportion to
its weight, and a weight that grows only ever pulls keys to its own endpoint.
"""

import math
from collections.abc import Collection, Sequence
from hashlib import blake2b
from typing import Final, Protocol, TypeVar

_MASK: Final = (1 << 64) - 1
_ODD: Final = 0x9E3779B97F4A7C15
_MIX: Final = 0xBF58476D1CE4E5B9


class Seeded(Protocol):
    """What takes part."""

    @property
    def name(self) -> str:
        """For `avoid`."""
        ...

    @property
    def seed(self) -> int:
        """64 bits of its own, the same in every process."""
        ...

    cost: float


S = TypeVar("S", bound=Seeded)


def seed_of(text: str) -> int:
    """64 bits for a text, the same in every process (Python's own `hash` is not)."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def pick(key: str, candidates: Sequence[S], avoid: Collection[str] = ()) -> S | None:
    """The one that `key` belongs to among those whose names are not to be avoided; None when there is none."""
    drawn = seed_of(key)
    best: S | None = None
    least = math.inf
    for candidate in candidates:
        if avoid and candidate.name in avoid:
            continue
        # splitmix64's mixing: one cryptographic hash a key, not one for each endpoint (8 us for ten).
        x = ((drawn ^ candidate.seed) * _ODD) & _MASK
        x = ((x ^ (x >> 30)) * _MIX) & _MASK
        time = -math.log(((x ^ (x >> 31)) | 1) / _MASK) * candidate.cost
        if time < least or best is None:
            best, least = candidate, time
    return best
