"""The `http:` section."""

import ipaddress
from typing import Annotated, Literal

import msgspec

from mantlet.wire.http1 import is_host

Seconds = Annotated[float, msgspec.Meta(gt=0, le=86400)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class TlsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """TLS of a listener: on when both files are named."""

    cert_file: str | None = None
    key_file: str | None = None
    client_ca_file: str | None = None
    """When set, every client must show a certificate of this CA."""
    min_version: Literal["1.2", "1.3"] = "1.3"
    ciphers: str | None = None
    """For TLS 1.2, in OpenSSL's words; unset: ECDHE with AEAD only."""

    def __post_init__(self) -> None:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("tls: cert_file and key_file go together")
        if self.client_ca_file is not None and self.cert_file is None:
            raise ValueError("tls: client_ca_file needs cert_file and key_file")

    @property
    def is_on(self) -> bool:
        """Whether the listener speaks TLS."""
        return self.cert_file is not None


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
    """Networks (CIDR) whose `X-Forwarded-For` is believed."""
    workers: Annotated[int, msgspec.Meta(ge=1, le=256)] = 1
    tls: TlsConfig = TlsConfig()

    def __post_init__(self) -> None:
        for host in self.allowed_hosts:
            if not is_host(host.encode()):
                raise ValueError(f"http.allowed_hosts: {host!r} is not a host or host:port; there are no patterns")
        for network in self.trusted_proxies:
            if ipaddress.ip_network(network).prefixlen == 0:
                raise ValueError("http.trusted_proxies: a network of everybody trusts everybody")
        if "*" in self.cors_origins and (self.cors_credentials or len(self.cors_origins) > 1):
            raise ValueError("http.cors_origins: * stands alone, and never with cors_credentials")

    @property
    def body_timeout_s(self) -> float:
        """The body's absolute bound."""
        return self.request_timeout if self.body_timeout is None else self.body_timeout
