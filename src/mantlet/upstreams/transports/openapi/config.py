"""One OpenAPI service of `mcp.servers`, as the operator writes it. Durations are seconds, sizes bytes."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from mantlet.core.secret import Secret
from mantlet.upstreams.breaker.config import BreakerConfig
from mantlet.upstreams.client import Bounds, TlsConfig
from mantlet.upstreams.fallback.config import FallbackRule
from mantlet.upstreams.hedge.config import HedgeConfig
from mantlet.upstreams.identity import EncryptConfig, ExchangeConfig, Mode, UserConfig, check_identity
from mantlet.upstreams.retry.config import RetryConfig
from mantlet.upstreams.transports.http.config import check_headers, check_name


class OpenApiServerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A service whose operations become tools. `headers` are the node's own credentials for it, never a caller's."""

    name: str
    url: str
    """Where the service is: requests go below this URL and nowhere else, whatever `servers` the document names."""
    document: str
    """The OpenAPI document: a file, JSON or YAML."""
    transport: Literal["openapi"] = "openapi"
    operations: tuple[str, ...] = ("*",)
    """Which operations become tools, by name; `*` stands for any text."""
    headers: Mapping[str, Secret] = {}
    tls: TlsConfig = TlsConfig()
    forward_identity: Mode | None = None
    """What the service is told of the caller (docs/forwarding.md). Unset: nothing."""
    exchange: ExchangeConfig | None = None
    encrypt: EncryptConfig | None = None
    user: UserConfig | None = None
    max_connections: int = 100
    max_waiters: int = 1_000
    connect_timeout: float = 5.0
    idle_timeout: float = 55.0
    max_answer_bytes: int = 1_048_576
    """A larger answer of the service is refused; it would become part of a model's context."""
    breaker: BreakerConfig | None = BreakerConfig()
    """When the service is left alone (docs/upstreams.md). Null: never."""
    retry: RetryConfig | None = None
    hedge: HedgeConfig | None = None
    fallback: list[FallbackRule] | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        check_headers(self.headers)
        check_identity(self)
        if not self.document or "://" in self.document:
            raise ValueError("document must be a file: fetch it once and look at it before you trust it")
        for bound in ("max_connections", "max_waiters", "max_answer_bytes"):
            if getattr(self, bound) < 1:
                raise ValueError(f"{bound} must be at least 1")
        for duration in ("connect_timeout", "idle_timeout"):
            if getattr(self, duration) <= 0:
                raise ValueError(f"{duration} must be above 0")

    def bounds(self) -> Bounds:
        """As the client takes them."""
        return Bounds(
            max_connections=self.max_connections,
            max_waiters=self.max_waiters,
            connect_timeout_s=self.connect_timeout,
            idle_timeout_s=self.idle_timeout,
            max_answer_bytes=self.max_answer_bytes,
        )
