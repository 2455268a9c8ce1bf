"""`hedge` of a server."""

from typing import Annotated

import msgspec


class HedgeConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """For calls that `retry` may make twice: those that only read, and the tools named there."""

    after_ms: Annotated[int, msgspec.Meta(ge=1)]
    """So long the first may take until its answer begins, in milliseconds: the 95th percentile is a good value."""
    max: Annotated[int, msgspec.Meta(ge=1, le=3)] = 1
    """How many more are made, each `after_ms` after the one before."""
    budget_percent: Annotated[float, msgspec.Meta(gt=0, le=100)] = 10.0
    """Of all calls, as with `retry`: when everything is slow, more calls make nothing faster."""
