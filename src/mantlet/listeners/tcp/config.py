"""The `tcp:` section. Durations are seconds, sizes bytes."""

import ipaddress
from typing import Annotated, Literal

import msgspec

from mantlet.core.secret import Secret
from mantlet.listeners.http.config import Count, Seconds
from mantlet.listeners.tls.config import TlsConfig

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]


class TcpConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The newline-delimited JSON-RPC listener."""

    enabled: bool = False
    host: str = "127.0.0.1"
    port: Port = 9500
    max_connections: Count = 50
    """Of each process. When all are taken, those on which nobody is known leave for newcomers, oldest first."""
    per_address_connections: Count = 50
    """At most so many of one peer address; `node` takes it from `limits.connections.per_address`."""
    per_caller_connections: Count = 50
    """At most so many of one principal in one process."""
    idle_timeout: Seconds = 300
    """How long a connection may stay without a message in either direction and without a request under way."""
    auth_timeout: Annotated[float, msgspec.Meta(gt=0, le=10)] = 10
    """From accept until the `auth` message is whole; again, once a session has expired, until the next one."""
    session_lifetime: Seconds = 3600
    """How long an `auth` is good for, if the credential does not end before."""
    message_timeout: Seconds = 60
    """From the first byte of a line until it is whole, however it trickles; also the time a request may take."""
    write_timeout: Seconds = 30
    """How long a client may leave a full send buffer unread."""
    max_line_bytes: Annotated[int, msgspec.Meta(ge=1024)] = 1048576
    max_in_flight: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 64
    """Requests of one connection under way at once; as many more wait, then the socket is left unread."""
    max_refused: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 20
    """Refused messages in a row (limits, malformed) after which a connection is closed."""
    proxy_protocol: Literal["off", "required"] = "off"
    """`required`: every connection begins with a PROXY protocol v2 header, and only `trusted_proxies` may connect."""
    trusted_proxies: tuple[str, ...] = ()
    tls: TlsConfig = TlsConfig()
    auth_token: Secret | None = None
    """A key that is taken at this door alone, of the caller `tcp`; the same as an entry of `auth.api_keys` with
    `doors: [tcp]` and no roles."""

    def __post_init__(self) -> None:
        for network in self.trusted_proxies:
            if ipaddress.ip_network(network).prefixlen == 0:
                raise ValueError("tcp.trusted_proxies: a network of everybody trusts everybody")
        if self.proxy_protocol == "required" and not self.trusted_proxies:
            raise ValueError("tcp.proxy_protocol: name the proxies in trusted_proxies; nobody else may connect then")
