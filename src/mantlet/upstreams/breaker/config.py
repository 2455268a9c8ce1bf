"""`breaker` of a server: when it is left alone, for how long, and how it is asked again. Durations are seconds."""

from typing import Annotated

import msgspec

Positive = Annotated[float, msgspec.Meta(gt=0)]
Percent = Annotated[float, msgspec.Meta(gt=0, le=100)]


class BreakerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """It opens when of the last `window` seconds' calls at least `failures` failed AND these are `failure_percent` of
    all: a busy server that fails now and then is not cut off, nor is one that failed once at night."""

    failures: Annotated[int, msgspec.Meta(ge=1)] = 5
    failure_percent: Percent = 50.0
    window: Positive = 30.0
    min_calls: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Of fewer calls in the window nothing is concluded. Absent: as many as `failures`."""
    slow_ms: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """A call whose answer takes longer to begin is slow, in milliseconds. Absent: none is, however long it takes."""
    slow_percent: Percent = 80.0
    """It opens too when so many of the window's calls were slow."""
    patience: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    """A deadline that passed is the server's failure only if it had so long, or ten times that where its caller set
    it."""
    open: Positive = 5.0
    """For how long nothing is sent, at least."""
    jitter_percent: Annotated[float, msgspec.Meta(ge=0, le=100)] = 20.0
    """Up to so much longer, by chance: nodes that saw the same failure do not come back at the same moment."""
    half_open_probes: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 1
    """Then so many calls are let through, no more. All must succeed for it to close; one that fails opens it again."""
    probe_timeout: Positive = 120.0
    """A probe that has had no result for so long counts as failed."""

    @property
    def volume(self) -> int:
        """`min_calls`, as it is or as it follows."""
        return self.failures if self.min_calls is None else self.min_calls
