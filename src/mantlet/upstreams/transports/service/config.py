"""One of `http_upstreams`, as the operator writes it. Durations are seconds, sizes bytes."""

import re
from collections.abc import Mapping
from typing import Annotated, Final, Literal

import msgspec

from mantlet.core.refusal import Malformed
from mantlet.core.secret import Secret
from mantlet.upstreams.balance.config import BalancedConfig
from mantlet.upstreams.breaker.config import BreakerConfig
from mantlet.upstreams.client import Bounds, TlsConfig
from mantlet.upstreams.hedge.config import HedgeConfig
from mantlet.upstreams.identity import EncryptConfig, ExchangeConfig, Mode, UserConfig, check_identity
from mantlet.upstreams.retry.config import RetryConfig
from mantlet.upstreams.transports.http.config import check_headers, check_name
from mantlet.upstreams.transports.service.fields import check_passed
from mantlet.wire.http1 import decode_path

ROOT: Final = "/api/"
"""Where services live: what stands beside it (`/mcp`, `/.well-known`) is not theirs."""

Verb = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
Count = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=604_800)]

_MEDIA: Final = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/(?:\*|[a-z0-9][a-z0-9!#$&^_.+-]{0,126})")


class ServiceConfig(BalancedConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A plain HTTP service. `headers` are the node's own credentials for it (FWD-01), never a caller's."""

    name: str
    url: str
    """Where it is: requests go below this URL and nowhere else."""
    prefix: str | None = None
    """Where the node serves it; `/api/{name}` unless said otherwise."""
    strip_prefix: bool = True
    """`false`: the service sees the prefix, too, below the path of its URL."""
    methods: tuple[Verb, ...] = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
    """What it may be asked; rules say whom by. Rules and limits for GET hold for HEAD as well."""
    content_types: tuple[str, ...] = ("application/json",)
    """Media types that a request's body may have (`text/csv`, `image/*`). JSON is read whole and checked."""
    request_headers: tuple[str, ...] = ()
    """Header fields of the caller's that the service sees, besides the usual ones; never credentials or cookies."""
    response_headers: tuple[str, ...] = ()
    """Header fields of the service's that the caller sees, besides the usual ones."""
    redirects: Literal["refuse", "rewrite"] = "refuse"
    """`rewrite`: one that stays below the URL becomes one below the prefix. Any other is a 502 (FWD-05)."""
    headers: Mapping[str, Secret] = {}
    timeout: Seconds | None = None
    """From a request's arrival until the head of its answer; stands for `http.request_timeout` here."""
    max_body_bytes: Count = 1_048_576
    """Of a request, also above `http.max_body_bytes`: what is not JSON is passed on as it comes."""
    max_json_bytes: Count = 1_048_576
    """Of a request whose body is JSON, which is held in memory."""
    max_answer_bytes: Count = 1_073_741_824
    """A larger answer is cut off; event streams are bounded by time alone."""
    stream_idle_timeout: Seconds = 300.0
    """Silence in an answer that has begun, after which it is given up."""
    stream_total_timeout: Seconds = 86_400.0
    max_connections: Count = 100
    """Requests under way at once; more wait."""
    max_waiters: Count = 1_000
    connect_timeout: Seconds = 5.0
    idle_timeout: Seconds = 55.0
    tls: TlsConfig = TlsConfig()
    breaker: BreakerConfig | None = BreakerConfig()
    """When the service is left alone (docs/upstreams.md). Null: never. With `endpoints` each has one of its own."""
    retry: RetryConfig | None = None
    """Of GET and HEAD, and of whatever could not be sent."""
    hedge: HedgeConfig | None = None
    forward_identity: Mode | None = None
    """What the service is told of the caller (docs/forwarding.md). Unset: nothing."""
    exchange: ExchangeConfig | None = None
    encrypt: EncryptConfig | None = None
    """Only for requests whose body is JSON, or that have none: what is passed on as it comes is refused."""
    user: UserConfig | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        check_headers(self.headers)
        check_identity(self)
        self.check_balance()
        if self.health is not None and self.health.probe == "mcp":
            raise ValueError("health.probe: mcp is for MCP servers; use http with a path, or tcp")
        check_passed(self.request_headers, self.response_headers)
        if not self.methods:
            raise ValueError("methods: name at least one")
        for media in self.content_types:
            if not _MEDIA.fullmatch(media):
                raise ValueError(
                    f"content_types: {media!r} is not a media type in lower case, like text/csv or image/*"
                )
        if not _is_root(self.root):
            raise ValueError(f"prefix: must begin with {ROOT}, have a name behind it, and not end with a slash")

    @property
    def root(self) -> str:
        """The path under which the node serves it."""
        return f"{ROOT}{self.name}" if self.prefix is None else self.prefix

    def bounds(self) -> Bounds:
        """As the client takes them."""
        return Bounds(
            max_connections=self.max_connections,
            max_waiters=self.max_waiters,
            connect_timeout_s=self.connect_timeout,
            idle_timeout_s=self.idle_timeout,
            max_answer_bytes=self.max_answer_bytes,
            stream_idle_timeout_s=self.stream_idle_timeout,
            stream_total_timeout_s=self.stream_total_timeout,
        )


def _is_root(path: str) -> bool:
    try:
        return path.startswith(ROOT) and not path.endswith("/") and decode_path(path.encode()) == path
    except Malformed:
        return False
