"""One TCP server of `mcp.servers`, as the operator writes it. Durations are seconds, sizes bytes."""

from typing import Annotated, Literal

import msgspec

from mantlet.core.secret import Secret
from mantlet.upstreams.client import TlsConfig
from mantlet.upstreams.transports.channel.config import ChannelConfig


class TcpServerConfig(ChannelConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A server that speaks newline-delimited JSON-RPC on a socket, such as another node's TCP door.

    With `token` the first message is `auth`; it is the node's own credential (FWD-01), never a caller's.
    """

    host: str
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)]
    transport: Literal["tcp"] = "tcp"
    tls: TlsConfig | None = None
    """`{}` for TLS with the system's CAs; absent, nothing is encrypted, which production refuses."""
    token: Secret | None = None
    server: str = ""
    """Of another node: which of its servers `auth` asks for. Empty for all of them as one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.host or not self.host.isascii() or any(mark in self.host for mark in " /@[]\r\n\t"):
            raise ValueError("host must be a name or an IP address without brackets")
        if self.server and self.token is None:
            raise ValueError("server is said in auth, so it needs token")
