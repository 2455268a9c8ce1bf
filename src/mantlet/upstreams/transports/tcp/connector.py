"""How a socket to one server is opened."""

from collections.abc import Callable

from mantlet.core.refusal import UpstreamUnavailable
from mantlet.upstreams.client import Resolve
from mantlet.upstreams.transports.channel.channel import LineReader
from mantlet.upstreams.transports.dialer import Dialer
from mantlet.upstreams.transports.tcp.channel import TcpChannel
from mantlet.upstreams.transports.tcp.config import TcpServerConfig


class TcpConnector:
    """A `Connect`. `is_plain_allowed` is for development: without it a server needs `tls` (TLS-04).

    Raises `ValueError` or `OSError` for a config that cannot be used.
    """

    def __init__(
        self, config: TcpServerConfig, *, is_plain_allowed: bool = False, resolve: Resolve | None = None
    ) -> None:
        if config.tls is None and not is_plain_allowed:
            raise ValueError("tls must be set (plain TCP is for development only)")
        self._config = config
        self._dialer = Dialer(config.host, config.port, tls=config.tls, resolve=resolve)

    async def __call__(self, reader: LineReader, _on_stderr: Callable[[str], None]) -> TcpChannel:
        """Open one; raises `UpstreamUnavailable` or `BadUpstream`. A cancelled opening leaves nothing."""
        channel = TcpChannel(self._config, reader)
        await self._dialer.dial(channel)
        try:
            if self._config.token is not None:
                await channel.authenticate(self._config.token)
        except BaseException:
            channel.abort()
            raise
        if channel.why:
            raise UpstreamUnavailable(why=channel.why)
        return channel
