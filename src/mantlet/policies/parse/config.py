"""`validation:` and the message limits of `mcp:`."""

from typing import Annotated, Literal

import msgspec

from mantlet.policies.admission.config import AdaptiveConfig, PriorityRule
from mantlet.policies.filters.config import Budget, FilterRule, Modes


class ValidationConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much structure a message may have."""

    max_depth: int = 64
    """Levels of nesting (VAL-01)."""
    max_keys: int = 10_000
    """Members in all objects of a message together."""
    schemas: Literal["enforce", "warn", "off"] | None = None
    """Arguments held to their tool's schema, results too: refused, noted in the record, or not looked at.
    Null means `enforce` where definitions are pinned (`mcp.pins`), else `off`."""
    unknown_properties: Literal["refuse", "allow"] = "refuse"
    """Members of arguments that a schema neither names nor speaks of."""
    filters: Modes = Modes()
    """What each content filter does with what it finds."""
    filters_for: list[FilterRule] = []
    """Where it does something else."""
    filter_budget: Budget = Budget()


class McpLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Bounds on MCP calls."""

    max_concurrent_requests: int = 200
    """Calls under way at once in one process; more wait."""
    max_queued_requests: int = 1_000
    """Calls that wait for a place in one process, each until its deadline; more are refused with 503."""
    adaptive: AdaptiveConfig = AdaptiveConfig()
    """How many of these places one server has."""
    priorities: list[PriorityRule] = []
    """Which calls go first while calls wait, and which are refused first; what matches none is `normal`."""
    request_timeout_ms: int = 60_000
    """How long a call may take from its arrival, in milliseconds. Streams are not cut by it."""
    list_timeout_ms: int = 3_000
    """How long `/mcp` waits for one server's list, in milliseconds."""
    page_size: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1_000
    """Items in one page of a list at `/mcp` and at virtual servers; the rest follows by cursor."""
    max_streams: Annotated[int, msgspec.Meta(ge=1)] = 10_000
    """Open subscriptions and GET streams at `/mcp` in one process; more are refused with 503."""
    max_streams_per_caller: Annotated[int, msgspec.Meta(ge=1)] = 100
    """The same for one caller."""
    session_idle_ms: Annotated[int, msgspec.Meta(ge=10_000, le=86_400_000)] = 3_600_000
    """How long the session of a legacy client may rest, in milliseconds: at `/mcp`, and where the node keeps sessions
    before a server that knows none. One with a call under way or an open stream does not rest."""
