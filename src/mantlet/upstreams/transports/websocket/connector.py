"""How a WebSocket to one server is opened."""

from collections.abc import Callable

from mantlet.core.refusal import UpstreamUnavailable
from mantlet.upstreams.client import Resolve, prefix
from mantlet.upstreams.client.own import USER_AGENT, configured
from mantlet.upstreams.transports.channel.channel import LineReader
from mantlet.upstreams.transports.dialer import Dialer
from mantlet.upstreams.transports.websocket.channel import WebSocketChannel
from mantlet.upstreams.transports.websocket.config import WebSocketServerConfig


class WebSocketConnector:
    """A `Connect`. `is_plain_allowed` is for development: without it a `ws://` URL is refused (TLS-04).

    Raises `ValueError` or `OSError` for a config that cannot be used.
    """

    def __init__(
        self, config: WebSocketServerConfig, *, is_plain_allowed: bool = False, resolve: Resolve | None = None
    ) -> None:
        endpoint = config.endpoint()
        if not (endpoint.is_tls or is_plain_allowed):
            raise ValueError("url must begin with wss:// (ws:// is for development only)")
        self._config = config
        self._dialer = Dialer(
            endpoint.host,
            endpoint.port,
            tls=config.tls if endpoint.is_tls else None,
            resolve=resolve,
            alpn=["http/1.1"],
        )
        fields = [
            (b"upgrade", b"websocket"),
            (b"connection", b"Upgrade"),
            (b"sec-websocket-version", b"13"),
            (b"sec-websocket-protocol", b"mcp"),
            USER_AGENT,
            *configured(config.headers),
        ]
        self._head = prefix(b"GET", endpoint.target, endpoint.authority, fields)

    async def __call__(self, reader: LineReader, _on_stderr: Callable[[str], None]) -> WebSocketChannel:
        """Open one; raises `UpstreamUnavailable` or `BadUpstream`. A cancelled opening leaves nothing."""
        channel = WebSocketChannel(self._config, reader)
        await self._dialer.dial(channel)
        try:
            await channel.open(self._head)
        except BaseException:
            channel.abort()
            raise
        if channel.why:
            raise UpstreamUnavailable(why=channel.why)
        return channel
