"""How connections to one upstream are made and bounded. Durations are seconds, sizes bytes."""

from dataclasses import dataclass
from typing import Literal

import msgspec


class TlsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Outbound TLS. Chain and host name are verified (TLS-04)."""

    ca_file: str | None = None
    """PEM of the only CAs to trust; absent means the system's."""
    crl_file: str | None = None
    """Revocation lists of `ca_file` and what is below it, PEM, read again when they change. When set, a server is
    spoken to only while there is a list that has not ended."""
    crl_check: Literal["chain", "leaf"] = "chain"
    """`chain`: a list is needed of every authority between the certificate and the root, the root's own included.
    `leaf`: of the certificate's issuer alone."""
    pins: list[str] = []
    """`sha256/BASE64` of the server key's SPKI, at least two (one is the backup); checked besides chain and name."""
    client_cert_file: str | None = None
    client_key_file: str | None = None
    verify: bool = True
    """False: whoever answers is believed. For development; refused elsewhere."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one client may use and what one answer may be. Each default is generous for MCP and small for a node."""

    max_connections: int = 100
    max_waiters: int = 1_000
    """Calls that wait for a connection; more are refused as `overloaded`."""
    connect_timeout_s: float = 5.0
    idle_timeout_s: float = 55.0
    """Below the 60 s and more after which common servers and balancers close: who closes first wins no race."""
    max_answer_bytes: int = 8_388_608
    max_headers: int = 100
    max_head_bytes: int = 65_536
    stream_idle_timeout_s: float = 300.0
    """Silence on an event stream after which it is given up; servers send comments to keep it alive."""
    stream_total_timeout_s: float = 86_400.0
