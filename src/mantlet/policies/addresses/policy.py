"""The step behind `record`, before anything costly: is this address let in?"""

from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache, partial
from typing import Final

from mantlet.core.call import Arrival, Reply
from mantlet.core.clock import Clock
from mantlet.core.policy import ArrivalHandler
from mantlet.core.ports import State
from mantlet.core.record import Trail
from mantlet.core.refusal import Blocked, Refusal
from mantlet.policies.addresses.blocks import Blocks
from mantlet.policies.addresses.config import AddressesConfig
from mantlet.policies.addresses.evidence import Scores, weight
from mantlet.policies.addresses.rules import Rules, networks, standing
from mantlet.policies.addresses.table import Block

MAX_PEERS: Final = 8192
"""Addresses whose standing is remembered; parsing one takes 10 us."""

Tell = Callable[[str, Block], None]


class Addresses:
    """`watch` sees every refusal, also those of listeners; `tell` hears of each block that this process decides."""

    def __init__(
        self, config: AddressesConfig, state: State, clock: Clock, *, proxies: Sequence[str], tell: Tell
    ) -> None:
        auto = config.auto_block
        allow = networks(config.allow)
        # A proxy that names no client stands for all of them (RATE-07).
        rules = Rules(allow, networks(config.deny), allow + networks([*auto.never, *proxies]))
        self.standing = lru_cache(maxsize=MAX_PEERS)(partial(standing, rules))
        self._scores = Scores(auto.half_life)
        self.blocks = Blocks(state, clock, block_s=auto.block, max_s=auto.max_block, forgotten=self._scores.forget)
        self._auto = auto
        self._has_lists = bool(config.allow or config.deny)
        self._monotonic = clock.monotonic
        self._tell = tell

    def __call__(self, arrival: Arrival, onward: ArrivalHandler, /) -> Awaitable[Reply]:
        """Refuse with `Blocked`, or pass on. No coroutine: there is nothing to do on the way back."""
        known = self.standing(arrival.peer)
        if known.is_denied:
            arrival.trail.rule = "addresses"
            raise Blocked(why="by the lists of addresses")
        if not known.is_exempt and (block := self.blocks.of(known.source)) is not None:
            arrival.trail.rule = "addresses"
            raise Blocked(why=f"blocked: {block.reason}")
        return onward(arrival)

    def refused(self, arrival: Arrival) -> str:
        """The source of a request that `__call__` would refuse; empty for all others."""
        if not self._has_lists and not self.blocks.has_any:
            return ""
        known = self.standing(arrival.peer)
        if known.is_denied or (not known.is_exempt and self.blocks.of(known.source) is not None):
            return known.source
        return ""

    def watch(self, trail: Trail, refusal: Refusal) -> None:
        """Count a refusal against the address it was sent from."""
        points = weight(refusal, trail)
        if not points or not self._auto.enabled:
            return
        known = self.standing(trail.peer)
        if known.is_exempt or known.is_denied or self.blocks.of(known.source) is not None:
            return
        if self._scores.add(known.source, points, self._monotonic()) >= self._auto.score:
            self._scores.forget(known.source)
            self._tell(known.source, self.blocks.add(known.source, refusal.reason))
