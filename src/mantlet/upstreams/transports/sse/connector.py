"""How the event stream of one server is opened."""

from collections.abc import Callable

from mantlet.core.clock import SYSTEM, Clock
from mantlet.core.refusal import UpstreamUnavailable
from mantlet.upstreams.client import BodyStream, HttpClient, Resolve, head, parse, prefix
from mantlet.upstreams.client.own import OWN, configured
from mantlet.upstreams.transports.channel.channel import LineReader
from mantlet.upstreams.transports.sse.channel import SseChannel
from mantlet.upstreams.transports.sse.config import SseServerConfig
from mantlet.upstreams.transports.sse.postbox import Postbox


class SseConnector:
    """A `Connect` whose channels share one client; whoever made it calls `close` after the last channel.

    `is_plain_allowed` is for development: without it an `http://` URL is refused (TLS-04). Raises `ValueError` or
    `OSError` for a config that cannot be used.
    """

    def __init__(
        self,
        config: SseServerConfig,
        *,
        is_plain_allowed: bool = False,
        resolve: Resolve | None = None,
        clock: Clock = SYSTEM,
    ) -> None:
        endpoint = parse(config.url, is_plain_allowed=is_plain_allowed)
        self._config = config
        self._clock = clock
        self._client = HttpClient(endpoint, clock, bounds=config.bounds(), tls=config.tls, resolve=resolve)
        own = [*OWN, *configured(config.headers)]
        self._own = own
        get = prefix(b"GET", endpoint.target, endpoint.authority, own)
        self._get = head(get, [(b"accept", b"text/event-stream"), (b"cache-control", b"no-store")], None)

    async def __call__(self, reader: LineReader, _on_stderr: Callable[[str], None]) -> SseChannel:
        """Open one; raises `UpstreamUnavailable` or what the client raises. A cancelled opening leaves nothing."""
        config, client = self._config, self._client
        deadline_s = self._clock.monotonic() + config.start_timeout
        response = await client.send(self._get, deadline_s=deadline_s, is_repeatable=True)
        body = response.body
        if not isinstance(body, BodyStream) or response.status != 200:
            if isinstance(body, BodyStream):
                await body.aclose()
            what = "answered without an event stream" if response.status == 200 else f"answered {response.status}"
            raise UpstreamUnavailable(why=f"the server {what} (does it speak HTTP+SSE? Newer servers: transport: http)")
        channel = SseChannel(config, reader, body, Postbox(config, client, self._own, self._clock))
        try:
            await channel.open()
        except BaseException:
            await channel.stop(config.stop_timeout)
            raise
        return channel

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()
