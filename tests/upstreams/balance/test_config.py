from typing import Any

import msgspec
import pytest

from mantlet.upstreams.balance.config import MAX_ENDPOINTS, EndpointConfig, endpoint_names
from mantlet.upstreams.transports.http import HttpServerConfig
from mantlet.upstreams.transports.peer.config import PeerServerConfig
from mantlet.upstreams.transports.service import ServiceConfig

A, B = {"url": "https://a.internal/mcp"}, {"url": "https://b.internal/mcp"}


def server(**given: Any) -> HttpServerConfig:
    return msgspec.convert({"name": "docs", "url": "https://docs.internal/mcp", **given}, HttpServerConfig)


def test_the_shape_that_is_promised() -> None:
    made = server(
        endpoints=[{**A, "weight": 2}, B],
        balance="least_connections",
        health={"interval": 30, "timeout": 5},
    )
    assert [(one.url, one.weight) for one in made.endpoints] == [(A["url"], 2), (B["url"], 1)]
    assert made.health is not None
    assert made.health.interval == 30


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"endpoints": [A, A]}, "two have the url https://a.internal/mcp"),
        ({"endpoints": [{**A, "name": "x"}, {**B, "name": "x"}]}, "two are called x"),
        ({"endpoints": [{**A, "name": "b.internal"}, B]}, "two are called b.internal"),
        ({"endpoints": [{**A, "weight": 0}]}, "> 0"),
        ({"endpoints": [{**A, "weight": 1001}]}, "<= 1000"),
        ({"endpoints": [{**A, "name": "a b"}]}, "name of an endpoint"),
        ({"endpoints": [{"url": f"https://h{n}"} for n in range(MAX_ENDPOINTS + 1)]}, "at most 256"),
        ({"endpoints": [{**A, "wieght": 1}]}, "unknown field"),
        ({"balance": "fastest"}, "Invalid enum value"),
        ({"affinity_header": "x-user"}, "is for balance: session_affinity"),
        ({"affinity_header": "x user", "balance": "session_affinity"}, "is no header's name"),
        ({"endpoints": [A], "prefer_zone": "eu"}, "no endpoint is in 'eu'"),
        ({"health": {"interval": 1, "timeout": 2}}, "timeout must not be above"),
        ({"health": {"probe": "http"}}, "health.path: is needed"),
        ({"health": {"path": "healthz"}}, "begins with a slash"),
        ({"health": {"path": "/a b"}}, "begins with a slash"),
        ({"health": {"path": "/h\r\nx: y"}}, "begins with a slash"),
        ({"health": {"path": "/h", "probe": "tcp"}}, "is for probe: http"),
        ({"health": {"interval": 0}}, "> 0"),
        ({"outlier": {"ejection": 10, "max_ejection": 5}}, "must not be above"),
        ({"outlier": {"max_ejected_percent": 101}}, "<= 100"),
    ],
)
def test_what_does_not_fit_together_is_refused_in_words(given: dict[str, Any], said: str) -> None:
    with pytest.raises(msgspec.ValidationError) as refused:
        server(**given)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("urls", "names"),
    [
        (["https://a/mcp", "https://b:8/mcp"], ["a", "b:8"]),
        (["https://a/1/", "https://a/2"], ["a/1", "a/2"]),
        (["http://[::1]:80/x"], ["[::1]:80"]),
    ],
)
def test_an_endpoint_is_called_as_its_place_is(urls: list[str], names: list[str]) -> None:
    assert endpoint_names([EndpointConfig(url=url) for url in urls]) == names


def test_a_peers_endpoints_are_nodes_without_a_path() -> None:
    given = {"name": "p", "url": "https://p", "transport": "peer", "endpoints": [{"url": "https://p1/mcp"}]}
    with pytest.raises(msgspec.ValidationError, match="without a path"):
        msgspec.convert(given, PeerServerConfig)


def test_a_service_is_not_asked_in_mcp() -> None:
    with pytest.raises(msgspec.ValidationError, match="for MCP servers"):
        msgspec.convert({"name": "s", "url": "https://s", "health": {"probe": "mcp"}}, ServiceConfig)
