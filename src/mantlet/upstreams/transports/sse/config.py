"""One HTTP+SSE server of `mcp.servers`, as the operator writes it. Durations are seconds, sizes bytes."""

from collections.abc import Mapping
from typing import Literal

from mantlet.core.secret import Secret
from mantlet.upstreams.client import Bounds, TlsConfig, parse
from mantlet.upstreams.transports.channel.config import ChannelConfig
from mantlet.upstreams.transports.http.config import check_headers


class SseServerConfig(ChannelConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A server of the 2024-11-05 revision; `url` is that of its event stream.

    `headers` are the node's own credentials for it (FWD-01), never a caller's.
    """

    url: str
    transport: Literal["sse"] = "sse"
    isolation: Literal["shared", "session"] = "session"
    """See the other transports. Here the default is `session`, because such a server knows sessions only."""
    max_children: int = 100
    """Streams to this server at once."""
    headers: Mapping[str, Secret] = {}
    tls: TlsConfig = TlsConfig()
    max_connections: int = 200
    """Each stream holds one; the others are for messages."""
    connect_timeout: float = 5.0
    idle_timeout: float = 55.0
    post_timeout: float = 30.0
    """How long the server may take to accept a message; its answer comes on the stream."""
    stream_idle_timeout: float = 3_600.0
    """Silence on the stream after which it is opened anew. Not all of these servers send comments to keep it alive."""

    def __post_init__(self) -> None:
        super().__post_init__()
        parse(self.url, is_plain_allowed=True)
        check_headers(self.headers)
        if self.max_connections < self.max_children + 1:
            raise ValueError(
                "max_connections must be above max_children: each stream holds one, and messages need some"
            )
        for duration in ("connect_timeout", "idle_timeout", "post_timeout", "stream_idle_timeout"):
            if getattr(self, duration) <= 0:
                raise ValueError(f"{duration} must be above 0")

    def bounds(self) -> Bounds:
        """As the client takes them."""
        return Bounds(
            max_connections=self.max_connections,
            connect_timeout_s=self.connect_timeout,
            idle_timeout_s=self.idle_timeout,
            stream_idle_timeout_s=self.stream_idle_timeout,
        )
