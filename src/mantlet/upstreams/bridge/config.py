"""`mcp.bridge`: how the eras of MCP are joined. Durations are seconds."""

from typing import Annotated

import msgspec

Seconds = Annotated[float, msgspec.Meta(gt=0, le=86400)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class BridgeConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Bounds on what the node remembers while it translates."""

    enabled: bool = True
    """Off: a client whose era a server does not speak is told so."""
    input_timeout: Seconds = 300
    """How long a call waits for what its server asked of the client (elicitation, sampling, roots)."""
    session_idle: Seconds = 600
    """How long a session that the node keeps with a legacy server may rest before it is ended."""
    max_sessions: Count = 10_000
    """Sessions kept with one legacy server by one process; the longest unused is ended first."""
    max_held: Count = 1_000
    """Calls of one process that wait for input; more are refused as `overloaded`."""
    max_held_per_caller: Count = 20
    """The same for one caller."""
    max_streams: Count = 10_000
    """Open streams of one process that carry what nobody asked for (subscriptions, legacy GET)."""
    replay_events: Count = 256
    """Events of a legacy client's stream that are kept for it to resume."""
