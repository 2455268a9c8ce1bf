"""How a server's health is looked after, as the operator writes it. Durations are seconds."""

from typing import Annotated, Literal

import msgspec

Count = Annotated[int, msgspec.Meta(ge=1, le=1000)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
Status = Annotated[int, msgspec.Meta(ge=100, le=599)]


class HealthConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Active probes: the node asks on its own, off the way of calls."""

    enabled: bool = True
    """`false`: nobody asks, also where there are endpoints; what is known then comes from calls alone (`outlier`)."""
    interval: Seconds = 30
    timeout: Seconds = 5
    recheck: Seconds = 5
    """Between probes of what is in doubt or down, where that is shorter than `interval`."""
    fall: Count = 3
    """Probes in a row that must fail until an endpoint is unhealthy; after the first it is degraded, and still used."""
    rise: Count = 2
    """Probes in a row that must succeed until an unhealthy one is used again."""
    probe: Literal["mcp", "http", "tcp"] | None = None
    """`mcp`: `server/discover`, or `ping` at a legacy server. `http`: GET `path`. `tcp`: a connection, and nothing
    more; a process that hangs passes it. Absent: `http` where there is a `path`, else `mcp`, for services `tcp`."""
    path: str | None = None
    """For `http`: path and query at the endpoint's own host."""
    status: tuple[Status, ...] = (200, 204)
    """For `http`: what counts as alive."""

    def __post_init__(self) -> None:
        if self.timeout > self.interval:
            raise ValueError("health.timeout must not be above health.interval")
        if self.probe == "http" and self.path is None:
            raise ValueError("health.path: is needed for probe: http")
        if self.path is not None and (self.probe not in (None, "http") or not _is_path(self.path)):
            raise ValueError("health.path: begins with a slash, has no spaces, and is for probe: http")


class OutlierConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Passive health: what calls themselves show."""

    failures: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 5
    """Calls in a row that fail by the endpoint's own fault (no connection, no answer in time, a 5xx, nonsense) until it
    is left alone; 0 switches this off."""
    ejection: Seconds = 30
    """For how long, the first time; each further time as much longer."""
    max_ejection: Seconds = 300
    max_ejected_percent: Annotated[int, msgspec.Meta(ge=0, le=100)] = 50
    """Of all endpoints at most so many are left alone at once, and never the only one: calls that fail everywhere are
    rarely the endpoints' fault."""

    def __post_init__(self) -> None:
        if self.ejection > self.max_ejection:
            raise ValueError("outlier.ejection must not be above outlier.max_ejection")


def _is_path(path: str) -> bool:
    return path.startswith("/") and path.isascii() and path.isprintable() and " " not in path and "#" not in path
