"""The `limits:` section."""

from typing import Annotated, Literal

import msgspec

Requests = Annotated[int, msgspec.Meta(ge=1, le=4_000_000_000)]
Seconds = Annotated[float, msgspec.Meta(ge=0.2, le=31_622_400)]
"""Below 0.2 s a sub-bucket would be so narrow that rounding costs more than the promised 2 %."""
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.:/*?\[\] -]*$")]
"""Stands as a structured field string in `RateLimit`, so: printable, no quotes, no backslash."""


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """At most `requests` in any `window` seconds."""

    requests: Requests
    window: Seconds = 60.0


class Match(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All that stand must match. Patterns know `*`, `?` and `[...]`.

    `method` in capitals (`POST`) is the HTTP method, anything else (`tools/call`) the JSON-RPC method. GET
    counts HEAD, too.
    """

    path: str | None = None
    method: str | None = None
    tool: str | None = None
    server: str | None = None

    def __post_init__(self) -> None:
        if not (self.path or self.method or self.tool or self.server):
            raise ValueError("match needs at least one of path, method, tool, server")


class Route(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A named profile: further limits for what matches, each client's own and for all clients together."""

    match: Match
    client: Limit | None = None
    all: Limit | None = msgspec.field(default=None, name="global")
    name: Name | None = None
    cost: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1
    """What one call takes of the windows that all calls share: the client's, its tenant's and the global one. Where
    several profiles match, the dearest counts."""

    def __post_init__(self) -> None:
        if self.client is None and self.all is None and self.cost == 1:
            raise ValueError("a route needs client, global or cost")


class Connections(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Caps on what stays open (RATE-06): connections at accept, streams when they would begin."""

    per_address: Annotated[int, msgspec.Meta(ge=1)] = 50
    streams_per_caller: Annotated[int, msgspec.Meta(ge=1)] = 1000
    """Streamed answers of one caller under way at once in one process."""


class LimitsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Every limit of a call is taken together. `nodes` shares the limits when the store is gone (`local_share`)."""

    enabled: bool = True
    client: Limit = Limit(requests=100, window=60)
    all: Limit = msgspec.field(default=Limit(requests=1000, window=60), name="global")
    burst: Limit | None = Limit(requests=20, window=1)
    tenant: Limit | None = None
    routes: tuple[Route, ...] = ()
    concurrent: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Calls of one client under way at once, in one process, each until its answer begins. Absent: no such limit."""
    connections: Connections = Connections()
    on_store_failure: Literal["local_share", "closed", "open"] = "local_share"
    nodes: Annotated[int, msgspec.Meta(ge=1)] = 1
    leases: bool = True
    """Take for many calls in one round trip to a shared store, where all limits of a call are large enough."""

    def __post_init__(self) -> None:
        widest = min(limit.requests for limit in (self.client, self.all, self.tenant) if limit is not None)
        for route in self.routes:
            if route.cost > widest:
                raise ValueError(f"routes: a cost of {route.cost} fits no window of {widest}")
