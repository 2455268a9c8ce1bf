"""What differs between two configurations, and what of it a reload can exchange."""

import msgspec
import pytest

from mantlet.node.config.changes import (
    FIXED,
    LIVE,
    OPENED,
    OPENED_OVER_HTTP,
    changed,
    is_moved_under_answers,
    needs_restart,
    needs_workers,
)
from mantlet.node.config.model import Config
from mantlet.node.config.reference import entries
from mantlet.policies.authorize.config import AuthorizationConfig, RuleConfig, Selector
from mantlet.policies.limits.config import Limit
from mantlet.upstreams.transports.http.config import HttpServerConfig
from mantlet.upstreams.transports.stdio.config import StdioServerConfig

RULED = AuthorizationConfig(rules=[RuleConfig(name="a", allow=Selector())])


def but(config: Config, path: str, value: object) -> Config:
    name, _, rest = path.partition(".")
    inner = value if not rest else but(getattr(config, name), rest, value)  # type: ignore[arg-type]
    return msgspec.structs.replace(config, **{name: inner})


def test_equal_configurations_differ_in_nothing() -> None:
    assert changed(Config(), Config()) == []


@pytest.mark.parametrize(
    ("path", "value", "key", "is_live"),
    [
        ("debug", True, "debug", True),
        ("limits.client", Limit(requests=7, window=60), "limits.client.requests", True),
        ("limits.all", Limit(requests=7, window=60), "limits.global.requests", True),
        ("limits.on_store_failure", "closed", "limits.on_store_failure", False),
        ("authorization", RULED, "authorization.rules", True),
        ("validation.max_depth", 7, "validation.max_depth", True),
        ("http.port", 9000, "http.port", False),
        ("mcp.limits.page_size", 7, "mcp.limits.page_size", False),
        ("mcp.unknown_methods", "allow", "mcp.unknown_methods", True),
        ("environment", "staging", "environment", False),
    ],
)  # fmt: skip
def test_a_change_is_named_by_its_key(path: str, value: object, key: str, is_live: bool) -> None:
    keys = changed(Config(), but(Config(), path, value))
    assert key in keys
    assert (key not in needs_restart(keys, Config())) is is_live


def served(**of: object) -> Config:
    server = {"name": "docs", "transport": "http", "url": "http://docs.internal/mcp", **of}
    both = [msgspec.convert(server, HttpServerConfig), StdioServerConfig(name="two", command=["x"])]
    return but(Config(), "mcp.servers", both)


ONE, TWO = ({"url": f"http://127.0.0.1:{port}/mcp"} for port in (1, 2))


@pytest.mark.parametrize(
    ("before", "after", "keys", "is_for_workers"),
    [
        ({"endpoints": [ONE]}, {"endpoints": [ONE, TWO]}, ["mcp.servers[docs].endpoints"], True),
        ({}, {"endpoints": [ONE]}, ["mcp.servers[docs].endpoints"], True),
        ({}, {"breaker": {"open": 9}}, ["mcp.servers[docs].breaker.open"], True),
        ({}, {"retry": {}}, ["mcp.servers[docs].retry"], True),
        ({}, {"url": "http://other.internal/mcp"}, ["mcp.servers[docs].url"], True),
        ({}, {"health": {"interval": 9}}, ["mcp.servers[docs].health"], True),
        ({}, {"max_connections": 9}, ["mcp.servers[docs].max_connections"], True),
        ({}, {"forward_identity": "none"}, ["mcp.servers[docs].forward_identity"], False),
        ({}, {"name": "other"}, ["mcp.servers"], False),
        ({}, {"endpoints": [ONE], "era": "legacy"}, ["mcp.servers[docs].era", "mcp.servers[docs].endpoints"], False),
    ],
)
def test_what_workers_open_is_taken_up_by_new_ones(
    before: dict[str, object], after: dict[str, object], keys: list[str], is_for_workers: bool
) -> None:
    new = served(**after)
    found = changed(served(**before), new)
    assert sorted(found) == sorted(keys)
    assert needs_restart(found, new) == found
    assert (not needs_restart(found, new, has_workers=True)) is is_for_workers
    assert needs_workers(found, new) is (is_for_workers or len(keys) == 2)


def test_what_is_not_opened_by_workers_takes_a_restart() -> None:
    """A program is run by their supervisor; and a server that moves may have answers in a cache that outlives them."""
    new = served()
    assert needs_restart(["mcp.servers[two].max_connections"], new, has_workers=True)
    cached = but(new, "cache.enabled", True)
    assert needs_restart(["mcp.servers[docs].url"], cached, has_workers=True)
    assert not needs_restart(["mcp.servers[docs].health"], cached, has_workers=True)
    keys = ("mcp.servers[docs].url", "mcp.servers[docs].health", "http.port")
    assert [is_moved_under_answers(key, cached) for key in keys] == [True, False, False]
    assert not is_moved_under_answers(keys[0], new)


def test_every_field_that_workers_open_is_one_of_a_servers() -> None:
    known = {entry.key for entry in entries()}
    for name in OPENED | OPENED_OVER_HTTP:
        assert any(key.startswith(f"mcp.servers[].{name}") for key in known), name


def test_every_key_that_is_named_is_one_of_the_configuration() -> None:
    known = {entry.key for entry in entries()}
    for key in (*LIVE, *FIXED):
        assert any(one == key or one.startswith((f"{key}.", f"{key}[")) for one in known), key
