"""What all servers behind a channel have in common, as the operator writes it. Durations are seconds, sizes bytes."""

import re
from typing import Annotated, Final, Literal

import msgspec

from mantlet.upstreams.breaker.config import BreakerConfig
from mantlet.upstreams.fallback.config import FallbackRule
from mantlet.upstreams.health.config import HealthConfig
from mantlet.upstreams.hedge.config import HedgeConfig
from mantlet.upstreams.retry.config import RetryConfig

_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")


class RestartConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long to wait before a channel that ended or could not be opened is opened again, in seconds.

    The wait begins at `backoff`, doubles with each failure up to `max`, and is spread by chance. A channel that served
    for longer than `max` has earned a fresh start.
    """

    backoff: float = 1.0
    max: float = 30.0
    max_hung: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 5
    """How often within an hour a channel is ended because it hangs (`health`); then it is left, and called unhealthy.
    """

    def __post_init__(self) -> None:
        if not 0 < self.backoff <= self.max:
            raise ValueError("restart.backoff must be above 0 and not above restart.max")


class ChannelConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A server that the node talks to message by message."""

    name: str
    transport: str
    isolation: Literal["shared", "session"] = "shared"
    """`session`: each session of a legacy client has a channel (a process, a connection) of its own, on which the
    server may ask the client. `shared`: one for all callers, which can ask nobody. Modern clients always share one."""
    max_children: int = 20
    """Channels to this server at once. A server that keeps each one to one era of MCP needs two."""
    session_idle_timeout: float = 600.0
    """With `isolation: session`: a session is ended after so long without a message or an open stream."""
    restart: RestartConfig = RestartConfig()
    health: HealthConfig | None = None
    """How it is asked whether it lives: `ping`, or `server/discover`. `fall` times without a sign of life, its channel
    is ended and opened anew. Absent: it is not. Only of shared channels."""
    start_timeout: float = 30.0
    """From the opening of a channel to the end of the handshake on it. Python servers take seconds to start."""
    stop_timeout: float = 3.0
    """How long the other end may take to leave, and a child again after SIGTERM."""
    max_line_bytes: int = 8_388_608
    """The longest message of the server."""
    max_pending: int = 1_000
    """Calls in flight on one channel; more are refused as `overloaded`."""
    max_unsent_bytes: int = 8_388_608
    """What waits for a server that does not read; more is refused as `overloaded`."""
    max_sessions: int = 10_000
    """Legacy sessions with state here; the longest unused is forgotten first."""
    breaker: BreakerConfig | None = None
    """When the server is left alone (docs/upstreams.md). Absent: never; while its channel is closed, its calls are
    refused at once anyway."""
    retry: RetryConfig | None = None
    hedge: HedgeConfig | None = None
    fallback: list[FallbackRule] | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"name {self.name!r}: letters, digits, '.', '_' and '-' only, at most 64")
        if self.health is not None and (self.health.path is not None or self.health.probe not in (None, "mcp")):
            raise ValueError("health.probe: a server behind a channel is asked in MCP")
        for bound in ("max_children", "max_line_bytes", "max_pending", "max_unsent_bytes", "max_sessions"):
            if getattr(self, bound) < 1:
                raise ValueError(f"{bound} must be at least 1")
        for duration in ("start_timeout", "stop_timeout", "session_idle_timeout"):
            if getattr(self, duration) <= 0:
                raise ValueError(f"{duration} must be above 0")
