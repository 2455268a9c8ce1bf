"""What is open towards servers, and what they keep: read when it is asked for. Each process tells its own, and
`/metrics` their sum."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeVar

from mantlet.core.ports import Upstream
from mantlet.events.metrics import Metrics
from mantlet.upstreams.bridge.to_legacy import Places, ToLegacy
from mantlet.upstreams.bridge.to_modern import ToModern
from mantlet.upstreams.endpoints import Endpoints
from mantlet.upstreams.health.state import STATES, State
from mantlet.upstreams.transports.channel.isolated.server import IsolatedServer
from mantlet.upstreams.transports.channel.server import ChannelServer
from mantlet.upstreams.transports.http import HttpServer

T = TypeVar("T")
_GRAVITY: Final[tuple[State, ...]] = ("healthy", "starting", "degraded", "draining", "unhealthy", "stopped")


def watch_bridge(
    metrics: Metrics, places: Places, to_legacy: Sequence[ToLegacy], to_modern: Sequence[ToModern]
) -> None:
    """What the bridge keeps."""

    def waiting() -> int:
        return places.held + sum(each.counts()["held"] for each in to_modern)

    def streams() -> int:
        return places.streams + sum(each.counts()["streams"] for each in to_modern)

    metrics.gauge(
        "mantlet_bridge_sessions",
        "Sessions kept with legacy servers for modern clients",
        _sum(lambda each: each.report()["sessions"], to_legacy),
    )
    metrics.gauge("mantlet_bridge_held_calls", "Calls that wait for input of their client", waiting)
    metrics.gauge("mantlet_bridge_streams", "Subscriptions and GET streams that the bridge serves", streams)
    metrics.gauge(
        "mantlet_bridge_calls",
        "Calls of legacy clients under way at modern servers",
        _sum(lambda each: each.counts()["calls"], to_modern),
    )


def watch_servers(metrics: Metrics, servers: Mapping[str, Upstream]) -> None:
    """What is open to the servers themselves."""
    shared = [server for server in servers.values() if isinstance(server, ChannelServer)]
    isolated = [server for server in servers.values() if isinstance(server, IsolatedServer)]
    over_http = [each for server in servers.values() for each in _over_http(server)]

    def sessions() -> int:
        return sum(len(each.legacy.sessions) for each in shared) + sum(len(each.sessions) for each in isolated)

    metrics.gauge("mantlet_channel_sessions", "Sessions of legacy clients at servers behind channels", sessions)
    metrics.gauge(
        "mantlet_channels",
        "Channels to servers: children, and connections by WebSocket, TCP or SSE",
        lambda: sum(each.channels for each in shared) + sum(each.channels for each in isolated),
    )
    metrics.gauge(
        "mantlet_upstream_connections",
        "Connections to servers over HTTP/1.1",
        _sum(lambda each: each.pool.open, over_http),
    )
    metrics.gauge(
        "mantlet_upstream_connections_waited_for",
        "Calls that wait for a connection",
        _sum(lambda each: each.pool.waiting, over_http),
    )
    metrics.gauge(
        "mantlet_upstream_streams",
        "Streams from servers over HTTP, and calls that keep a connection while they wait for input",
        _sum(lambda each: each.room.taken, over_http),
    )


def watch_endpoints(metrics: Metrics, servers: Iterable[Upstream]) -> None:
    """The endpoints of servers that have several. Their names come from the configuration."""
    for server in servers:
        if not isinstance(server, Endpoints):
            continue
        for state in STATES:
            metrics.gauge(
                "mantlet_endpoint_changes",
                "Endpoints that came to be in a state, since the start",
                lambda server=server, state=state: server.changes[state],  # type: ignore[misc]
                labels={"server": server.name, "state": state},
            )
        for one in server.endpoints:
            labels = {"server": server.name, "endpoint": one.name}
            metrics.gauge(
                "mantlet_endpoint_state",
                "0 healthy, 1 starting, 2 degraded, 3 draining, 4 unhealthy, 5 stopped; the worst of all workers",
                lambda one=one: _GRAVITY.index(one.health.state),  # type: ignore[misc]
                "max",
                labels=labels,
            )
            metrics.gauge(
                "mantlet_endpoint_in_flight",
                "Calls and streams under way at an endpoint",
                lambda one=one: one.in_flight,  # type: ignore[misc]
                labels=labels,
            )


def _over_http(server: Upstream) -> list[HttpServer]:
    several = [one.transport for one in server.endpoints] if isinstance(server, Endpoints) else [server]
    return [each for each in several if isinstance(each, HttpServer)]


def _sum(of: Callable[[T], int], all_of_them: Iterable[T]) -> Callable[[], int]:
    return lambda: sum(map(of, all_of_them))
