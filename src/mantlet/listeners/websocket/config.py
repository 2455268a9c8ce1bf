"""The `websocket:` section. Durations are seconds, sizes bytes."""

from typing import Annotated, Literal

import msgspec

from mantlet.core.secret import Secret
from mantlet.listeners.http.config import Count, HttpConfig, Seconds
from mantlet.listeners.tls.config import TlsConfig

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Path = Annotated[str, msgspec.Meta(pattern=r"^/[A-Za-z0-9._~/-]*[A-Za-z0-9._~-]$")]


class WebSocketConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The WebSocket listener."""

    enabled: bool = False
    host: str = "127.0.0.1"
    port: Port = 8090
    path: Path = "/ws/workflow"
    """For events of tasks; answers 501 in this version."""
    mcp_path: Path = "/ws"
    """For MCP: all servers as one; `<mcp_path>/SERVER` is one server. A POST to `<mcp_path>/ticket` gives a ticket."""
    max_connections: Count = 500
    """Of each process. When all are taken, those on which nobody is known leave for newcomers, oldest first."""
    per_address_connections: Count = 500
    """At most so many of one peer address; `node` takes it from `limits.connections.per_address`."""
    per_caller_connections: Count = 100
    """At most so many of one principal in one process."""
    idle_timeout: Seconds = 300
    """How long a connection may stay without a message in either direction and without a request under way."""
    header_timeout: Seconds = 10
    """From accept until the opening handshake is whole."""
    message_timeout: Seconds = 60
    """From the first byte of a message until it is whole, however it trickles; also the time a request may take."""
    write_timeout: Seconds = 30
    """How long a client may leave a full send buffer unread."""
    ping_interval: Seconds = 30
    ping_timeout: Seconds = 20
    """How long the answer to a ping may take; any byte counts."""
    max_message_bytes: Count = 1048576
    max_in_flight: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 64
    """Requests of one connection under way at once; as many more wait, then the socket is left unread."""
    max_refused: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 20
    """Refused messages in a row (limits, malformed) after which a connection is closed with 1013."""
    ticket_lifetime: Annotated[float, msgspec.Meta(gt=0, le=30)] = 30
    allowed_hosts: tuple[str, ...] = ()
    """As `http.allowed_hosts`."""
    allowed_origins: tuple[str, ...] = ()
    """Exact origins (`https://app.example`) whose pages may connect and fetch tickets."""
    trusted_proxies: tuple[str, ...] = ()
    """As `http.trusted_proxies`."""
    forwarded: Literal["x-forwarded-for", "forwarded"] = "x-forwarded-for"
    """As `http.forwarded`."""
    proxy_protocol: Literal["off", "required"] = "off"
    """As `http.proxy_protocol`."""
    tls: TlsConfig = TlsConfig()
    auth_token: Secret | None = None
    """A key that is taken at this door alone, of the caller `websocket`; the same as an entry of `auth.api_keys` with
    `doors: [websocket]` and no roles."""

    def __post_init__(self) -> None:
        if "*" in self.allowed_origins:
            # A page of anybody would then speak with what its reader's browser or network lets it reach (HTTP-03).
            raise ValueError("websocket.allowed_origins: list the origins; * is not accepted")
        if self.path == self.mcp_path:
            raise ValueError("websocket.path and websocket.mcp_path must differ")
        _ = self.http  # what is wrong with a host or network shows here

    @property
    def http(self) -> HttpConfig:
        """What the opening handshake is held to."""
        return HttpConfig(
            host=self.host,
            port=self.port,
            cors_origins=self.allowed_origins,
            max_connections=self.max_connections,
            per_address_connections=self.per_address_connections,
            header_timeout=self.header_timeout,
            write_timeout=self.write_timeout,
            max_body_bytes=_TICKET_BODY_BYTES,
            allowed_hosts=self.allowed_hosts,
            trusted_proxies=self.trusted_proxies,
            forwarded=self.forwarded,
            proxy_protocol=self.proxy_protocol,
            tls=self.tls,
        )


_TICKET_BODY_BYTES = 1024
