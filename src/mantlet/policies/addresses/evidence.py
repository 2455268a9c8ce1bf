"""How much a refusal speaks against the address it was sent from, and how that is forgotten. Pure but for `Scores`."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mantlet.core import refusal as r
from mantlet.core.record import Trail

MAX_SOURCES: Final = 16_384
"""Least recently misbehaving out first."""

WEIGHTS: Final[Mapping[type[r.Refusal], float]] = {
    r.InvalidCredential: 1.0,
    r.AmbiguousCredentials: 1.0,
    r.Malformed: 1.0,
    r.InvalidJson: 1.0,
    r.InvalidRequest: 1.0,
    r.HeaderMismatch: 1.0,
    r.TargetTooLong: 1.0,
    r.HeadersTooLarge: 1.0,
    r.NotFound: 1.0,
    # An honest client knocks once without a credential to learn where to get one, and runs into a limit by haste.
    r.Unauthenticated: 0.2,
    r.RateLimited: 0.2,
}
"""By the class itself: its children (another version, an unknown resource, a lost session) are honest mistakes."""


def weight(refusal: r.Refusal, trail: Trail) -> float:
    """Only what this peer itself did counts: not the global limit, and no name that a read message asked for."""
    if isinstance(refusal, r.RateLimited) and refusal.is_global:
        return 0.0
    if type(refusal) is r.NotFound and trail.rpc_id is not None:
        return 0.0
    return WEIGHTS.get(type(refusal), 0.0)


@dataclass(frozen=True, slots=True)
class Score:
    """How much stands against a source, at a monotonic instant."""

    points: float
    at_s: float


def decayed(score: Score, *, now_s: float, half_life_s: float) -> float:
    """Its points as they stand at `now_s`."""
    return float(score.points * 0.5 ** (max(0.0, now_s - score.at_s) / half_life_s))


class Scores:
    """Those of all sources, bounded."""

    def __init__(self, half_life_s: float, max_sources: int = MAX_SOURCES) -> None:
        self._half_life_s, self._max_sources = half_life_s, max_sources
        self._scores: OrderedDict[str, Score] = OrderedDict()

    def add(self, source: str, points: float, now_s: float) -> float:
        """Count `points` against `source`; gives what stands then."""
        before = self._scores.get(source)
        if before is not None:
            points += decayed(before, now_s=now_s, half_life_s=self._half_life_s)
        self._scores[source] = Score(points, now_s)
        self._scores.move_to_end(source)
        if len(self._scores) > self._max_sources:
            self._scores.popitem(last=False)
        return points

    def forget(self, source: str) -> None:
        """Nothing stands against it any more."""
        self._scores.pop(source, None)

    def __len__(self) -> int:
        return len(self._scores)
