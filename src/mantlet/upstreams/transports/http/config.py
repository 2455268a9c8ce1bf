"""One streamable-HTTP server of `mcp.servers`, as the operator writes it. Durations are seconds, sizes bytes."""

import re
from collections.abc import Iterable, Mapping
from typing import Final, Literal

from mantlet.core.secret import Secret
from mantlet.upstreams.balance.config import BalancedConfig
from mantlet.upstreams.breaker.config import BreakerConfig
from mantlet.upstreams.client import Bounds, TlsConfig
from mantlet.upstreams.fallback.config import FallbackRule
from mantlet.upstreams.hedge.config import HedgeConfig
from mantlet.upstreams.identity import EncryptConfig, ExchangeConfig, Mode, UserConfig, check_identity
from mantlet.upstreams.retry.config import RetryConfig

EraSetting = Literal["auto", "modern", "legacy", "dual"]

_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
_FIELD_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_OWN: Final = frozenset(
    {"host", "content-length", "content-type", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect"}
    | {"accept", "accept-encoding", "user-agent", "last-event-id", "keep-alive", "proxy-connection"}
)


def check_name(name: str) -> None:
    """Raise `ValueError` for a server's name that could not stand in a path or a tool's prefix."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"name {name!r}: letters, digits, '.', '_' and '-' only, at most 64")


def check_headers(headers: Iterable[str]) -> None:
    """Raise `ValueError` for a header that is the node's to set."""
    for name in headers:
        if not _FIELD_NAME.fullmatch(name) or name.lower() in _OWN or name.lower().startswith("mcp-"):
            raise ValueError(f"headers: {name!r} cannot be set")


class HttpServerConfig(BalancedConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A server behind streamable HTTP. `headers` are the node's own credentials for it (FWD-01), never a caller's."""

    name: str
    url: str
    transport: Literal["http"] = "http"
    headers: Mapping[str, Secret] = {}
    tls: TlsConfig = TlsConfig()
    http2: Literal["auto", "off"] = "off"
    """`auto`: HTTP/2 where the server agrees to it (TLS, ALPN). Needs the extra `mantlet[http2]`."""
    era: EraSetting = "auto"
    """`auto` asks the server once; the others say what it serves and ask nothing."""
    max_connections: int = 100
    max_waiters: int = 1_000
    max_streams: int | None = None
    """Streams and calls that wait for their client's input, at once: each keeps a connection, and more are refused as
    `overloaded`. Absent: three quarters of `max_connections`, so that calls always find one."""
    connect_timeout: float = 5.0
    idle_timeout: float = 55.0
    probe_timeout: float = 10.0
    stream_idle_timeout: float = 300.0
    stream_total_timeout: float = 86_400.0
    max_answer_bytes: int = 8_388_608
    max_event_bytes: int = 8_388_608

    forward_identity: Mode | None = None
    """What the server is told of the caller (docs/forwarding.md). Unset: nothing."""
    exchange: ExchangeConfig | None = None
    encrypt: EncryptConfig | None = None
    user: UserConfig | None = None

    breaker: BreakerConfig | None = BreakerConfig()
    """When the server is left alone (docs/upstreams.md). Null: never. With `endpoints` each has one of its own."""
    retry: RetryConfig | None = None
    hedge: HedgeConfig | None = None
    fallback: list[FallbackRule] | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        check_headers(self.headers)
        check_identity(self)
        self.check_balance()
        for bound in ("max_connections", "max_waiters", "max_answer_bytes", "max_event_bytes"):
            if getattr(self, bound) < 1:
                raise ValueError(f"{bound} must be at least 1")
        if self.max_streams is not None and not 1 <= self.max_streams <= self.max_connections:
            raise ValueError("max_streams must be at least 1 and not above max_connections")
        for duration in ("connect_timeout", "idle_timeout", "probe_timeout", "stream_idle_timeout"):
            if getattr(self, duration) <= 0:
                raise ValueError(f"{duration} must be above 0")

    @property
    def endpoint(self) -> str:
        """The URL that calls go to."""
        return self.url

    @property
    def streams(self) -> int:
        """`max_streams`, as it is or as it follows."""
        return max(1, self.max_connections * 3 // 4) if self.max_streams is None else self.max_streams

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
