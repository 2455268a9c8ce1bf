"""`authorization.delegation`."""

from typing import Annotated

import msgspec

DEFAULT_NAME = "mantlet"
"""Of a node that was given none: it tells nobody apart, so no loop can be seen by it."""


class ActorConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One who may act for others, and with which of their rights at most. Null does not narrow."""

    name: str
    roles: list[str] | None = None
    scopes: list[str] | None = None


class BudgetConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many calls others may make for one subject: so many in any window of so many seconds."""

    calls: Annotated[int, msgspec.Meta(gt=0)]
    window: Annotated[float, msgspec.Meta(gt=0)] = 60


class DelegationConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What holds for every delegated call, before any rule is looked at."""

    max_depth: Annotated[int, msgspec.Meta(ge=0, le=16)] = 4
    """How many may act for one another; 0 refuses all delegated calls."""
    loops: bool = False
    """Let a call pass that this node, or another twice, has already been part of."""
    actors: list[ActorConfig] | None = None
    """Given, these alone may act for others, and a call has the rights that all of its actors have."""
    budget: BudgetConfig | None = None
