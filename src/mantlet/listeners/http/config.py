"""The `http:` section."""

import ipaddress
from typing import Annotated, Literal

import msgspec

from mantlet.listeners.tls.config import TlsConfig
from mantlet.wire.http1 import is_host

Seconds = Annotated[float, msgspec.Meta(gt=0, le=86400)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class HttpConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The HTTP listener. Durations are seconds, sizes bytes."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8000
    cors_origins: tuple[str, ...] = ()
    """Exact origins (`https://app.example`) that browsers may call from; `*` alone means any, without credentials."""
    cors_credentials: bool = False
    """Whether listed origins may send cookies and client certificates."""
    max_connections: Count = 1000
    """Of each process. When all are taken, those on which nobody is known leave for newcomers, oldest first."""
    per_address_connections: Count = 1000
    """At most so many of one peer address; `node` takes it from `limits.connections.per_address`."""
    request_timeout: Seconds = 60
    """From the head until the answer should have begun; also the body's bound unless `body_timeout` is set."""
    header_timeout: Seconds = 10
    """From accept, or from the first byte of a later request, until the head is whole, however it trickles."""
    body_timeout: Seconds | None = None
    """From the head until the body is whole. Unset: `request_timeout`."""
    idle_timeout: Seconds = 75
    """How long a kept-alive connection may wait for its next request."""
    write_timeout: Seconds = 30
    """How long a client may leave a full send buffer unread."""
    max_body_bytes: Count = 1048576
    max_header_bytes: Annotated[int, msgspec.Meta(ge=1024, le=1048576)] = 32768
    """Request line and header fields together."""
    max_headers: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    max_target_bytes: Annotated[int, msgspec.Meta(ge=64, le=65536)] = 8192
    allowed_hosts: tuple[str, ...] = ()
    """Names, with a port or without, that `Host` may say besides loopback, the bound address and the public name."""
    trusted_proxies: tuple[str, ...] = ()
    """Networks (CIDR) of proxies that are believed about whom they forward."""
    forwarded: Literal["x-forwarded-for", "forwarded"] = "x-forwarded-for"
    """The one header in which they say it (`forwarded`: RFC 7239); the other is never read."""
    proxy_protocol: Literal["off", "required"] = "off"
    """`required`: every connection begins with a PROXY protocol v2 header, and only `trusted_proxies` may connect."""
    workers: Annotated[int, msgspec.Meta(ge=1, le=256)] = 1
    tls: TlsConfig = TlsConfig()
    http2: bool = False
    """Offer HTTP/2 to clients of TLS (ALPN `h2`). Needs the extra `mantlet[http2]`."""
    max_streams: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    """Requests of one HTTP/2 connection under way at once."""

    def __post_init__(self) -> None:
        if self.http2 and not self.tls.is_on:
            raise ValueError("http.http2: is for TLS; set tls.cert_file and tls.key_file")
        for host in self.allowed_hosts:
            if not is_host(host.encode()):
                raise ValueError(f"http.allowed_hosts: {host!r} is not a host or host:port; there are no patterns")
        for network in self.trusted_proxies:
            if ipaddress.ip_network(network).prefixlen == 0:
                raise ValueError("http.trusted_proxies: a network of everybody trusts everybody")
        if self.proxy_protocol == "required" and not self.trusted_proxies:
            raise ValueError("http.proxy_protocol: name the proxies in trusted_proxies; nobody else may connect then")
        if "*" in self.cors_origins and (self.cors_credentials or len(self.cors_origins) > 1):
            raise ValueError("http.cors_origins: * stands alone, and never with cors_credentials")

    @property
    def body_timeout_s(self) -> float:
        """The body's absolute bound."""
        return self.request_timeout if self.body_timeout is None else self.body_timeout
