"""`retry` of a server."""

from typing import Annotated

import msgspec


class RetryConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is made again: any call of which nothing was sent, and calls that change nothing, after a failure.

    Such are the MCP methods that only read, GET and HEAD, and the tools that are named here.
    """

    max: Annotated[int, msgspec.Meta(ge=0, le=5)] = 1
    """How often one call is made again, at most; 0 is never."""
    budget_percent: Annotated[float, msgspec.Meta(gt=0, le=100)] = 10.0
    """How many of all calls may be made again: a server that fails gets so much more load, and no more."""
    backoff_ms: Annotated[int, msgspec.Meta(ge=0)] = 100
    """The wait before the first time, in milliseconds; doubled each time and spread by chance over its upper half."""
    max_backoff_ms: Annotated[int, msgspec.Meta(ge=0)] = 2_000
    """The longest wait. A server that asks for a longer one (`Retry-After`) is not asked again."""
    tools: tuple[str, ...] = ()
    """Tools of this server, by its own names, that may be called twice; `*` stands for any text."""
    trust_annotations: bool = False
    """Also the tools whose pinned definition says `readOnlyHint` or `idempotentHint`. Needs `mcp.pins`: what a server
    says of itself counts for nothing before somebody has approved it."""

    def __post_init__(self) -> None:
        if self.max_backoff_ms < self.backoff_ms:
            raise ValueError("retry.max_backoff_ms is below backoff_ms")
