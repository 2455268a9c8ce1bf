"""Probes that know nothing of MCP: a path over HTTP, and a mere connection."""

from collections.abc import Collection
from typing import Final

from mantlet.core.clock import Clock
from mantlet.core.refusal import BadUpstream, UpstreamUnavailable
from mantlet.upstreams.client import BodyStream, HttpClient, Resolve, prefix
from mantlet.upstreams.client.endpoint import Endpoint
from mantlet.upstreams.client.own import USER_AGENT
from mantlet.upstreams.client.reach import reach
from mantlet.upstreams.client.request import Field, head

MAX_ANSWER_BYTES: Final = 65_536


class HttpProbe:
    """GET `target` over a connection of its own: calls that wait for one say nothing about the server's health."""

    def __init__(
        self, client: HttpClient, target: bytes, fields: list[Field], statuses: Collection[int], clock: Clock
    ) -> None:
        own = [USER_AGENT, (b"accept", b"*/*"), *fields]
        self._message = head(prefix(b"GET", target, client.endpoint.authority, own), [], None)
        self._client = client
        self._statuses = frozenset(statuses)
        self._clock = clock

    async def __call__(self, timeout_s: float) -> None:
        """See `prober.Probe`."""
        deadline_s = self._clock.monotonic() + timeout_s
        response = await self._client.send(self._message, deadline_s=deadline_s, is_repeatable=True)
        if isinstance(response.body, BodyStream):
            await response.body.aclose()
        if response.status not in self._statuses:
            raise BadUpstream(why=f"it answered {response.status}")

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()


class TcpProbe:
    """A connection, closed as soon as it stands. `resolve` is the egress guard's."""

    def __init__(self, endpoint: Endpoint, resolve: Resolve | None) -> None:
        self._endpoint = endpoint
        self._resolve = resolve

    async def __call__(self, _timeout_s: float) -> None:
        """See `prober.Probe`; whoever calls bounds the time."""
        try:
            reached = await reach(self._endpoint.host, self._endpoint.port, self._resolve)
        except OSError as error:
            raise UpstreamUnavailable(why=f"no connection: {error}") from error
        reached.close()

    async def close(self) -> None:
        """Nothing is kept."""
