"""What differs between two configurations, and what of it a reload can exchange."""

import msgspec
import pytest

from mantlet.node.config.changes import FIXED, LIVE, changed, needs_restart
from mantlet.node.config.model import Config
from mantlet.node.config.reference import entries
from mantlet.policies.authorize.config import AuthorizationConfig, RuleConfig, Selector
from mantlet.policies.limits.config import Limit

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
    assert (key not in needs_restart(keys)) is is_live


def test_every_key_that_is_named_is_one_of_the_configuration() -> None:
    known = {entry.key for entry in entries()}
    for key in (*LIVE, *FIXED):
        assert any(one == key or one.startswith((f"{key}.", f"{key}[")) for one in known), key
