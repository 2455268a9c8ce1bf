"""Leases of quota, in plain functions: how much to take in one go, and until when it may be spent.

A lease is a charge larger than the call that asks for it. It is counted in the sub-bucket of the store's window that it
is taken in, and spent within that sub-bucket only, before its end by the store's clock: so each window holds at every
moment at least what was admitted, and exactness survives (RATE-03). What is left at the end is given back.

What it costs: while a lease is held elsewhere, a caller may be refused up to one sub-bucket (1 % of the window) before
its quota is really spent. To keep that small a lease is at most a sub-bucket's fair share (1 % of the limit, divided by
those who share it), no larger than what was used lately, and none is taken when less than a tenth of the limit is left.
"""

from typing import Final

from mantlet.stores.window import SUB_BUCKETS

LEAST: Final = 4
"""Units that must be a sub-bucket's fair share: below, a lease saves too few round trips to be worth its while."""
SPARE: Final = 10
"""One part in so many of a limit that is never leased."""
DRIFT: Final = 0.001
"""Of the rest of a sub-bucket, for clocks that do not run alike."""


def most(limit: int, sharers: int) -> int:
    """The largest lease of a limit that so many processes share; 0 where it is too small for any."""
    share = limit // (SUB_BUCKETS * sharers)
    return share if share >= LEAST else 0


def size(*, limit: int, sharers: int, remaining: int, before: int, now: int) -> int:
    """How many units to take beside the one that is needed.

    `remaining` of the window as last heard; `before` and `now` are what was used in the last sub-bucket and in this.
    The first call of a sub-bucket takes what the last one used; whoever runs out doubles what it had.
    """
    wanted = min(max(before - now, now), most(limit, sharers))
    return wanted if remaining - wanted >= limit // SPARE else 0


def lasts_s(now_us: int, width: int) -> float:
    """For how long after asking a lease may be spent, when the store took it at `now_us` of its own clock."""
    return (width - now_us % width) / 1e6 * (1 - DRIFT)
