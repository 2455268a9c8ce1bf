"""The `mcp.sse` section."""

from typing import Annotated

import msgspec


class SseConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Clients that speak the HTTP+SSE transport of 2024-11-05, at `/sse` and `/sse/SERVER` of the HTTP listener."""

    enabled: bool | None = None
    """Unset: in development only. The transport is deprecated, and every client holds a connection."""
    max_streams: Annotated[int, msgspec.Meta(ge=1)] = 500
    """Open streams in one process; more are refused with 503."""
    per_caller_streams: Annotated[int, msgspec.Meta(ge=1)] = 100
    """Open streams of one principal in one process."""
    max_in_flight: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 64
    """Requests of one client under way at once; more are refused with 503."""
    max_refused: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 20
    """Refused messages in a row (limits, malformed) after which the stream is ended."""

    def is_on(self, environment: str) -> bool:
        """Whether it is offered there."""
        return environment == "development" if self.enabled is None else self.enabled
