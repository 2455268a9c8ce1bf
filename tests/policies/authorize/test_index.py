from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.policies.support import ALICE

from mantlet.policies.authorize.compiling import compile_rules
from mantlet.policies.authorize.config import AuthorizationConfig
from mantlet.policies.authorize.index import WORTH_IT, Index
from mantlet.policies.authorize.policy import Authorize
from mantlet.policies.authorize.rules import Object, aspect_of

NAMES = ["a", "ab", "abc", "a*", "ab*", "*", "*c", "?b", "[ab]", "[", "one__a", "one__*", "o*", "two__a", "/a", "/a/*"]
_PATTERNS = st.lists(st.sampled_from(NAMES), max_size=3)
_SELECTOR = st.fixed_dictionaries(
    {},
    optional={
        "servers": st.lists(st.sampled_from(["one", "two", "*"]), max_size=2),
        "tools": _PATTERNS,
        "resources": _PATTERNS,
        "paths": _PATTERNS,
        "methods": st.lists(st.sampled_from(["tools/call", "tools/*", "GET", "x/y"]), max_size=2),
        "when": st.sampled_from(["true", "false"]),
    },
)
_RULE = st.tuples(st.sampled_from(["allow", "deny"]), _SELECTOR, st.booleans()).map(
    lambda rule: {rule[0]: rule[1], "shadow": rule[2]}
)


def configured(rules: list[dict[str, Any]]) -> AuthorizationConfig:
    return msgspec.convert({"rules": [{"name": f"r{n}", **rule} for n, rule in enumerate(rules)]}, AuthorizationConfig)


@given(
    rules=st.lists(_RULE, max_size=8),
    method=st.sampled_from(["tools/call", "resources/read", "GET"]),
    name=st.sampled_from(["a", "ab", "abc", "b", "[", "/a", "/a/b", "one__a", "zzz"]),
)
@settings(max_examples=200, deadline=None)
def test_the_first_rule_found_is_the_first_that_covers(rules: list[dict[str, Any]], method: str, name: str) -> None:
    """AUTHZ-01"""
    aspect = aspect_of(method, name)
    if aspect is None:
        return
    compiled = compile_rules(configured(rules))
    what = Object("one", method, aspect, name)
    expected = next((position for position, rule in enumerate(compiled) if rule.covers(what)), -1)
    assert Index(compiled, "one", method, aspect).first(name) == expected


def test_many_rules_decide_as_few_do() -> None:
    few = [{"deny": {"tools": ["ab*"]}, "shadow": True}, {"allow": {"tools": ["a*"]}}, {"deny": {}}]
    filling = [{"deny": {"tools": [f"other_{n}_*"]}} for n in range(WORTH_IT)]
    one, other = Authorize(configured(few)), Authorize(configured([*filling, *few]))
    for name in ("a", "abc", "b"):
        found, wanted = other.explain(ALICE, "one", "tools/call", name), one.explain(ALICE, "one", "tools/call", name)
        assert found.allowed == wanted.allowed
        assert bool(found.shadow) == bool(wanted.shadow)
