"""What is open shows in the figures."""

from types import SimpleNamespace
from typing import Any

import pytest

from mantlet.events.metrics import Metrics
from mantlet.node.doors.gauges import watch_door
from mantlet.node.steps.gauges import watch_endpoint
from mantlet.node.upstreams.gauges import watch_bridge, watch_servers
from mantlet.upstreams.transports.channel.isolated.server import IsolatedServer
from mantlet.upstreams.transports.channel.server import ChannelServer
from mantlet.upstreams.transports.http import HttpServer


def figures(metrics: Metrics) -> dict[str, float]:
    return {gauge.name: gauge.value for gauge in metrics.snapshot().gauges}


def made(kind: type, **attributes: Any) -> Any:
    """An object of `kind` of which only these are known."""
    return type("Made", (kind,), {"__init__": lambda self: None, **attributes})()


def test_what_the_bridge_keeps_is_summed_over_servers_and_directions() -> None:
    metrics = Metrics()
    places: Any = SimpleNamespace(held=2, streams=3)
    to_legacy: Any = SimpleNamespace(report=lambda: {"sessions": 5, "held": 2})
    to_modern: Any = SimpleNamespace(counts=lambda: {"calls": 7, "held": 11, "streams": 13})
    watch_bridge(metrics, places, [to_legacy] * 2, [to_modern] * 2)
    seen = figures(metrics)
    assert seen["mantlet_bridge_sessions"] == 10
    assert seen["mantlet_bridge_held_calls"] == 24
    assert seen["mantlet_bridge_streams"] == 29
    assert seen["mantlet_bridge_calls"] == 14
    places.held = 0
    assert figures(metrics)["mantlet_bridge_held_calls"] == 22


def test_what_is_open_to_servers_is_summed_by_kind() -> None:
    metrics = Metrics()
    over_http = made(HttpServer, pool=SimpleNamespace(open=3, waiting=1), room=SimpleNamespace(taken=2), name="http")
    shared = made(ChannelServer, channels=2, legacy=SimpleNamespace(sessions=[1, 2, 3]))
    own = made(IsolatedServer, channels=4, sessions=[1, 2])
    watch_servers(metrics, {"a": over_http, "b": over_http, "c": shared, "d": own})
    seen = figures(metrics)
    assert seen["mantlet_upstream_connections"] == 6
    assert seen["mantlet_upstream_connections_waited_for"] == 2
    assert seen["mantlet_upstream_streams"] == 4
    assert seen["mantlet_channels"] == 6
    assert seen["mantlet_channel_sessions"] == 5


def test_who_did_not_get_in_is_told_by_door() -> None:
    """RATE-06"""
    metrics = Metrics()
    for name, refused in (("http", 3), ("tcp", 0)):
        listener: Any = SimpleNamespace(refused_connections=refused, displaced_connections=5)
        watch_door(metrics, name, listener)
    assert figures(metrics)["mantlet_http_connections_refused"] == 3
    assert figures(metrics)["mantlet_tcp_connections_refused"] == 0
    assert figures(metrics)["mantlet_tcp_connections_displaced"] == 5


@pytest.mark.parametrize("taken", [0, 4])
def test_streams_of_all_servers_are_counted(taken: int) -> None:
    metrics = Metrics()
    aggregate: Any = SimpleNamespace(streams=SimpleNamespace(taken=taken))
    watch_endpoint(metrics, aggregate)
    assert figures(metrics)["mantlet_merged_streams"] == taken
