"""Several endpoints of one server, as the operator writes them. Durations are seconds."""

import re
from collections.abc import Sequence
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import msgspec

from mantlet.upstreams.health.config import HealthConfig, OutlierConfig

Balance = Literal["round_robin", "weighted", "least_connections", "session_affinity", "least_load"]

MAX_ENDPOINTS: Final = 256
"""Of one server: each has a pool of its own, and a probe in each worker."""
_NAME: Final = re.compile(r"[A-Za-z0-9\[](?:[A-Za-z0-9._:/\[\]-]{0,126}[A-Za-z0-9\]])?")
_FIELD_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


class EndpointConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One of several places where a server is served."""

    url: str
    weight: Annotated[float, msgspec.Meta(gt=0, le=1000)] = 1
    """Its share beside the others; `round_robin` takes no notice of it."""
    name: str | None = None
    """For people, metrics and `mantlet drain`; absent: host and port of the URL."""
    zone: str = ""
    """Where it is; see `prefer_zone`."""

    def __post_init__(self) -> None:
        if self.name is not None and not _NAME.fullmatch(self.name):
            raise ValueError("name of an endpoint: letters, digits, and . _ : / - inside, at most 128")


class BalancedConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a server with endpoints says of them; those with one URL alone use `health` only."""

    endpoints: list[EndpointConfig] = []
    """Where calls go, instead of `url`, which then only says what the server is called (audiences of tokens)."""
    balance: Balance = "round_robin"
    affinity_header: str | None = None
    """With `session_affinity`: the request header whose value keeps calls together. Absent: the session, else the
    caller."""
    slow_start: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 0
    """So long an endpoint that came back gets fewer calls than its share, from a tenth to all of it."""
    prefer_zone: str | None = None
    """Only endpoints of this zone are used while any of them is able to."""
    health: HealthConfig | None = None
    """Active probes. Absent: with `endpoints` as by default, with one URL none."""
    outlier: OutlierConfig = OutlierConfig()
    """When an endpoint whose calls fail is left alone for a while."""

    def check_balance(self) -> None:
        """Raise `ValueError` for what does not fit together; called by each section that has these keys."""
        if len(self.endpoints) > MAX_ENDPOINTS:
            raise ValueError(f"endpoints: at most {MAX_ENDPOINTS}")
        urls = [one.url for one in self.endpoints]
        if twice := sorted({url for url in urls if urls.count(url) > 1}):
            raise ValueError(f"endpoints: two have the url {twice[0]}; use weight to give one more")
        names = endpoint_names(self.endpoints)
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"endpoints: two are called {twice[0]}")
        if self.affinity_header is not None:
            if self.balance != "session_affinity":
                raise ValueError("affinity_header: is for balance: session_affinity")
            if not _FIELD_NAME.fullmatch(self.affinity_header):
                raise ValueError(f"affinity_header: {self.affinity_header!r} is no header's name")
        if self.prefer_zone is not None and self.prefer_zone not in {one.zone for one in self.endpoints}:
            raise ValueError(f"prefer_zone: no endpoint is in {self.prefer_zone!r}")


def endpoint_names(endpoints: Sequence[EndpointConfig]) -> list[str]:
    """What each is called: its name, or host and port, or those and the path where they alone do not tell."""
    places = [urlsplit(one.url).netloc.rpartition("@")[2] for one in endpoints]
    return [
        one.name or (place if places.count(place) == 1 else f"{place}{urlsplit(one.url).path.rstrip('/')}")
        for one, place in zip(endpoints, places, strict=True)
    ]
