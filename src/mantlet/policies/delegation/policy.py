"""The step for delegated calls; all others pass it at the price of one look."""

from collections.abc import Awaitable
from functools import lru_cache
from typing import Final

from mantlet.core.call import Arrival, Reply
from mantlet.core.caller import Caller
from mantlet.core.policy import ArrivalHandler
from mantlet.core.ports import Charge, LimitStore
from mantlet.core.refusal import DelegationRefused
from mantlet.policies.delegation.chain import Actor, Terms, admitted
from mantlet.policies.delegation.config import DEFAULT_NAME, DelegationConfig

CALLERS_KEPT: Final = 4_096
MAX_NOTE_CHARACTERS: Final = 512


class Delegation:
    """Refuses with `DelegationRefused`, or passes on with the rights of the whole chain. Writes the chain down."""

    def __init__(self, config: DelegationConfig, own_name: str, limits: LimitStore) -> None:
        self._terms = terms_of(config, own_name)
        self._budget = config.budget
        self._limits = limits
        self.admitted = lru_cache(CALLERS_KEPT)(self._admit)
        """The caller with the rights of its whole chain; raises `DelegationRefused`."""

    def __call__(self, arrival: Arrival, onward: ArrivalHandler, /) -> Awaitable[Reply]:
        """Pass on who calls for themselves."""
        caller = arrival.caller
        if caller is None or not caller.act:
            return onward(arrival)
        return self._delegated(arrival, caller, onward)

    async def _delegated(self, arrival: Arrival, caller: Caller, onward: ArrivalHandler) -> Reply:
        trail = arrival.trail
        trail.notes["act"] = " < ".join(caller.act)[:MAX_NOTE_CHARACTERS]
        trail.rule = "delegation"
        arrival.caller = self.admitted(caller)
        if self._budget is not None:
            # By the subject for whom it is all done: an agent that spins does so in somebody's name.
            key = ("delegation", *caller.key)
            charge = Charge(key, self._budget.calls, self._budget.window, "delegation")
            if not (await self._limits.take([charge])).allowed:
                raise DelegationRefused("Too many calls are made for one subject.", why="delegation: budget")
        trail.rule = ""
        return await onward(arrival)

    def _admit(self, caller: Caller) -> Caller:
        return admitted(caller, self._terms)


def terms_of(config: DelegationConfig, own_name: str) -> Terms:
    """What `config` says, for a node of that name."""
    actors = config.actors
    return Terms(
        config.max_depth,
        "" if own_name == DEFAULT_NAME else own_name,
        config.loops,
        None if actors is None else {actor.name: _actor(actor.roles, actor.scopes) for actor in actors},
    )


def _actor(roles: list[str] | None, scopes: list[str] | None) -> Actor:
    return Actor(None if roles is None else frozenset(roles), None if scopes is None else frozenset(scopes))
