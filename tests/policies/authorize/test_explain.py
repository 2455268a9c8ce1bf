from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mantlet.core.caller import Caller
from mantlet.policies.authorize.compiling import compile_rules
from mantlet.policies.authorize.conditions import Facts
from mantlet.policies.authorize.config import AuthorizationConfig
from mantlet.policies.authorize.explain import Explanation, explain
from mantlet.policies.authorize.policy import Authorize

ANN = Caller("ann", "iss", "jwt", roles=frozenset({"user"}), scopes=frozenset({"read"}))


def configured(*rules: dict[str, Any]) -> AuthorizationConfig:
    named = [{"name": f"r{n}", **rule} for n, rule in enumerate(rules)]
    return msgspec.convert({"rules": named}, AuthorizationConfig)


def explained(*rules: dict[str, Any], method: str = "tools/call", name: str = "echo", caller: Caller = ANN,
              arguments: dict[str, Any] | None = None) -> Explanation:  # fmt: skip
    facts = Facts(caller, "one", method, name, 0.0, "192.0.2.1", arguments, is_outline=arguments is None)
    return explain(compile_rules(configured(*rules)), facts, default_allows=False)


@pytest.mark.parametrize(
    ("selector", "why"),
    [
        ({"roles": ["admin", "ops"]}, "the caller has none of the roles admin, ops"),
        ({"scopes": ["read", "write"]}, "the caller lacks the scopes write"),
        ({"tenants": ["t"]}, "is for the tenants t"),
        ({"subjects": []}, "is for the subjects (none)"),
        ({"kinds": ["agent"]}, "is for callers of the kinds agent"),
        ({"min_depth": 1}, "is for other chains of actors"),
        ({"servers": ["two"]}, "is not for the server one"),
        ({"tools": ["other"]}, "is for other tools"),
        ({"prompts": ["*"]}, "names prompts, not tools"),
        ({"methods": ["x/y"]}, "is for other methods"),
        ({"tools": ["other"], "methods": ["x/y"]}, "is for other tools or methods"),
        ({"when": "args.size > 5"}, "its condition does not hold"),
    ],
)
def test_why_a_rule_does_not_match(selector: dict[str, Any], why: str) -> None:
    found = explained({"allow": selector}, {"allow": {}}, arguments={"size": 1})
    assert (found.steps[0].outcome, found.steps[0].why) == ("does not match", why)
    assert (found.allowed, found.rule) == (True, "r1")


def test_what_decides_and_what_only_watches() -> None:
    found = explained({"deny": {"tools": ["echo"]}, "shadow": True}, {"allow": {"roles": ["user"]}}, {"deny": {}})
    assert [(step.outcome, step.why) for step in found.steps] == [
        ("shadow", "would deny; a shadow rule is recorded and not enforced"),
        ("decides", "matches"),
    ]
    assert explained().rule == "default"


def test_a_condition_that_fails_decides_and_one_on_unknown_arguments_is_told() -> None:
    """AUTHZ-01"""
    rules: tuple[dict[str, Any], ...] = ({"deny": {"when": "args.size > 5"}}, {"allow": {}})
    failed = explained(*rules, arguments={})
    assert (failed.allowed, failed.rule, failed.steps[-1].outcome) == (False, "r0", "condition fails")
    unknown = explained(*rules)
    assert (unknown.allowed, unknown.steps[0].outcome) == (True, "condition unknown")
    assert "may be allowed" in explained({"allow": {"when": "args.size > 5"}}).steps[0].why


_NAMES = st.lists(
    st.sampled_from(["*", "echo", "e*", "one__echo", "other", "/x", "GET", "tools/call", "x/y"]), max_size=2
)
_SELECTOR = st.fixed_dictionaries(
    {},
    optional={
        "roles": st.lists(st.sampled_from(["user", "admin"]), max_size=2),
        "scopes": st.lists(st.sampled_from(["read", "write"]), max_size=2),
        "servers": st.lists(st.sampled_from(["one", "two", "*"]), max_size=2),
        "tools": _NAMES,
        "resources": _NAMES,
        "paths": _NAMES,
        "agents": _NAMES,
        "methods": _NAMES,
        "max_depth": st.sampled_from([0, 1]),
        "when": st.sampled_from(
            ["args.size > 5", "has(args.size)", "caller.tenant == 'default'", "false && args.x", "server == 'two'"]
        ),
    },
)
_RULE = st.tuples(st.sampled_from(["allow", "deny"]), _SELECTOR, st.booleans()).map(
    lambda rule: {rule[0]: rule[1], "shadow": rule[2]}
)


@given(
    rules=st.lists(_RULE, max_size=6),
    method=st.sampled_from(
        ["tools/call", "resources/read", "initialize", "tools/list", "x/y", "tasks/list", "GET", ""]
    ),
    name=st.sampled_from(["echo", "/x", "", "other"]),
    opens=st.booleans(),
)
@settings(max_examples=400, deadline=None)
def test_what_is_explained_is_what_is_decided(rules: list[dict[str, Any]], method: str, name: str, opens: bool) -> None:
    """AUTHZ-01"""
    config = configured(*rules)
    config = msgspec.structs.replace(config, default="allow" if opens else "deny")
    decided = Authorize(config, may_default_allow=True).explain(ANN, "one", method, name)
    facts = Facts(ANN, "one", method, name, 0.0, is_outline=True)
    found = explain(compile_rules(config), facts, default_allows=opens)
    assert (found.allowed, found.rule) == (decided.allowed, decided.rule)
