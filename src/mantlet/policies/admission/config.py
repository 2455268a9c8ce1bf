"""`mcp.limits.adaptive` and `mcp.limits.priorities`."""

from typing import Annotated, Literal

import msgspec

PriorityName = Literal["high", "normal", "low"]


class AdaptiveConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many calls each server has under way, learned from how its calls end."""

    enabled: bool = True
    min: Annotated[int, msgspec.Meta(ge=1)] = 20
    """What a failing server keeps."""
    max: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """What one server has at most, and begins with. Null means `max_concurrent_requests`."""
    slow_ms: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """A call that takes longer until its answer begins, in milliseconds, counts as failed here. Null: however slow an
    answer is, it is one."""

    def __post_init__(self) -> None:
        if self.max is not None and self.max < self.min:
            raise ValueError("max is below min")


class PriorityMatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All that stand must match, each by one of its values. `methods`, `tools` and `servers` know `*`, `?`, `[...]`."""

    roles: list[str] = []
    scopes: list[str] = []
    methods: list[str] = []
    tools: list[str] = []
    servers: list[str] = []

    def __post_init__(self) -> None:
        if not (self.roles or self.scopes or self.methods or self.tools or self.servers):
            raise ValueError("match needs at least one of roles, scopes, methods, tools, servers")


class PriorityRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which calls go first, or last, while calls wait. The first rule that matches decides."""

    match: PriorityMatch
    priority: PriorityName
