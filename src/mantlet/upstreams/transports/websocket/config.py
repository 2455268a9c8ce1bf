"""One WebSocket server of `mcp.servers`, as the operator writes it. Durations are seconds, sizes bytes."""

from collections.abc import Mapping
from typing import Literal

from mantlet.core.secret import Secret
from mantlet.upstreams.client import Endpoint, TlsConfig, parse
from mantlet.upstreams.transports.channel.config import ChannelConfig
from mantlet.upstreams.transports.http.config import check_headers


class WebSocketServerConfig(ChannelConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A server behind `wss://` (`ws://` outside production only).

    `headers` are the node's own credentials for it (FWD-01), never a caller's.
    """

    url: str
    transport: Literal["websocket"] = "websocket"
    headers: Mapping[str, Secret] = {}
    tls: TlsConfig = TlsConfig()
    ping_interval: float = 20.0
    """How often the server is asked whether it is still there."""
    ping_timeout: float = 20.0
    """Silence after that question which ends the connection."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.endpoint()
        check_headers(self.headers)
        if own := [name for name in self.headers if name.lower().startswith("sec-websocket-")]:
            raise ValueError(f"headers: {own[0]!r} cannot be set")
        if self.ping_interval <= 0 or self.ping_timeout <= 0:
            raise ValueError("ping_interval and ping_timeout must be above 0")

    def endpoint(self) -> Endpoint:
        """The URL, taken apart. Raises `ValueError` for what is none."""
        scheme, separator, rest = self.url.partition("://")
        if not separator or scheme not in ("ws", "wss"):
            raise ValueError("url must begin with wss:// (or, outside production, ws://)")
        return parse(f"http{scheme[2:]}://{rest}", is_plain_allowed=True)  # the same rules, and the same default ports
