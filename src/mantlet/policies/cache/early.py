"""When an answer is fetched anew before its time is over: XFetch. Pure.

After Vattani, Chierichetti and Lowenstein, "Optimal Probabilistic Cache Stampede Prevention" (2015): the closer the end
and the longer fetching takes, the likelier; so about one of many who ask fetches, and nobody waits.
"""

from math import log
from typing import Final

FARTHEST: Final = 32.0
"""Times the cost: farther from the end than this, the chance is below 1e-13, and no random number is drawn."""


def is_due(left_s: float, cost_s: float, beta: float, chance: float) -> bool:
    """Whether to fetch now what has `left_s` to go and took `cost_s` to fetch. `chance` is uniform in [0, 1)."""
    return left_s <= -log(1.0 - chance) * cost_s * beta
