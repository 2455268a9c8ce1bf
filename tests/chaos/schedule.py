"""What happens when. Pure: one seed, one schedule."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["kill", "pause"]
Target = Literal["upstream-0", "upstream-1", "worker-0", "worker-1", "node-0", "node-1", "store"]

FAULTS: Final[dict[Target, tuple[Kind, ...]]] = {
    "upstream-0": ("kill", "pause"),
    "upstream-1": ("kill", "pause"),
    "worker-0": ("kill", "pause"),
    "worker-1": ("kill", "pause"),
    "node-0": ("kill",),
    "node-1": ("kill",),
    "store": ("kill", "pause"),
}
CALM_S: Final = 4.0
"""Between the end of one fault and the next, at most; sometimes there is none, and faults meet."""


@dataclass(frozen=True)
class Fault:
    """Seconds since the beginning. What is killed is started again after `lasts_s`, what is paused goes on."""

    at_s: float
    kind: Kind
    target: Target
    lasts_s: float


def schedule(seed: int, seconds: float) -> Iterator[Fault]:
    """The faults of one run, in order. Both nodes are never gone at once: somebody must be there to be right."""
    chance = random.Random(seed)
    at_s = 2.0
    node_back_s = 0.0
    while True:
        target = chance.choice(list(FAULTS))
        kind = chance.choice(FAULTS[target])
        lasts_s = round(chance.uniform(0.2, 3.0), 2)
        if target.startswith("node"):
            at_s = max(at_s, node_back_s)
            node_back_s = at_s + lasts_s + 6.0
        if at_s + lasts_s > seconds:
            return
        yield Fault(round(at_s, 2), kind, target, lasts_s)
        at_s += lasts_s * chance.choice((0.3, 1.0)) + chance.uniform(0.0, CALM_S)
