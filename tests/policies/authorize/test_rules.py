from typing import Any

import msgspec
import pytest

from mantlet.core.caller import Caller
from mantlet.policies.authorize.compiling import compile_rules
from mantlet.policies.authorize.config import AuthorizationConfig
from mantlet.policies.authorize.policy import Authorize

READER = Caller("r", "iss", "m", tenant="t1", roles=frozenset({"reader"}), scopes=frozenset({"mcp:read"}))
ADMIN = Caller("a", "iss", "m", roles=frozenset({"admin"}), kind="agent")
NOBODY = Caller("n", "iss", "m")


def authorize(*rules: dict[str, Any], default: str = "deny", may_default_allow: bool = False) -> Authorize:
    named = [{"name": f"rule-{n}", **rule} for n, rule in enumerate(rules)]
    config = msgspec.convert({"default": default, "rules": named}, AuthorizationConfig)
    return Authorize(config, may_default_allow=may_default_allow)


def decided(policy: Authorize, method: str, name: str = "", *, caller: Caller = READER, server: str = "one") -> str:
    decision = policy.explain(caller, server, method, name)
    return f"{'yes' if decision.allowed else 'no'} {decision.rule}"


EVERYTHING = ["tools/call", "prompts/get", "resources/read", "resources/subscribe", "initialize", "ping", "tools/list",
              "server/discover", "subscriptions/listen", "logging/setLevel", "notifications/cancelled", "tasks/get",
              "x/unknown", ""]  # fmt: skip


@pytest.mark.parametrize("method", EVERYTHING)
def test_without_a_rule_the_answer_is_no(method: str) -> None:
    """AUTHZ-01"""
    assert decided(authorize(), method, "x") == "no default"
    assert decided(authorize({"allow": {"roles": ["other"]}}), method, "x") == "no default"
    assert decided(authorize(default="allow"), method, "x") == "no default"


@pytest.mark.parametrize("method", ["tasks/list", "x/unknown", "notifications/unknown"])
def test_what_nobody_specified_or_can_attribute_needs_a_rule_that_names_it(method: str) -> None:
    """AUTHZ-04, MCP-03"""
    assert decided(authorize({"allow": {"roles": ["reader"]}}), method, "id") == "no default"
    assert decided(authorize(default="allow", may_default_allow=True), method, "id") == "no default"
    assert decided(authorize({"allow": {"methods": [method]}}), method, "id") == "yes rule-0"
    assert decided(authorize({"deny": {}}, {"allow": {"methods": [method]}}), method, "id") == "no rule-0"


def test_the_first_rule_that_matches_decides() -> None:
    policy = authorize(
        {"deny": {"tools": ["*__exec", "exec"]}},
        {"allow": {"roles": ["reader"], "tools": ["get_*", "exec"]}},
        {"deny": {"tools": ["get_secret"]}},
    )
    assert decided(policy, "tools/call", "get_time") == "yes rule-1"
    assert decided(policy, "tools/call", "get_secret") == "yes rule-1"
    assert decided(policy, "tools/call", "exec") == "no rule-0"
    assert decided(policy, "tools/call", "GET_time") == "no default"
    assert decided(policy, "tools/call", "other") == "no default"
    assert decided(policy, "prompts/get", "get_time") == "no default"


@pytest.mark.parametrize(
    ("selector", "caller", "matches"),
    [
        ({"roles": ["admin", "reader"]}, READER, True),
        ({"roles": ["admin"]}, READER, False),
        ({"roles": []}, READER, False),
        ({"roles": ["Reader"]}, READER, False),
        ({"scopes": ["mcp:read"]}, READER, True),
        ({"scopes": ["mcp:read", "mcp:write"]}, READER, False),
        ({"scopes": []}, READER, True),  # all of none
        ({"tenants": ["t1"]}, READER, True),
        ({"tenants": ["t2"]}, READER, False),
        ({"subjects": ["r"]}, READER, True),
        ({"subjects": ["*"]}, READER, False),
        ({"kinds": ["agent"]}, ADMIN, True),
        ({"kinds": ["agent"]}, READER, False),
        ({"servers": ["o*"]}, READER, True),
        ({"servers": ["two"]}, READER, False),
        ({"servers": []}, READER, False),
        ({"tools": []}, READER, False),
        ({"tools": ["*"]}, READER, True),
        ({"tools": ["one__echo"]}, READER, True),
        ({"tools": ["two__echo"]}, READER, False),
        ({"tools": ["ech[no]"]}, READER, True),
        ({"tools": ["ech"]}, READER, False),
        ({"tools": ["echo\n"]}, READER, False),
        ({"prompts": ["*"]}, READER, False),
        ({"methods": ["tools/*"]}, READER, True),
        ({"methods": ["tools/list"]}, READER, False),
        ({"methods": []}, READER, False),
        ({"agents": ["*"]}, READER, False),
        ({}, NOBODY, True),
    ],
)
def test_what_a_selector_matches(selector: dict[str, Any], caller: Caller, matches: bool) -> None:
    policy = authorize({"allow": selector})
    assert policy.explain(caller, "one", "tools/call", "echo").allowed is matches


@pytest.mark.parametrize(
    ("selector", "verb", "path", "matches"),
    [
        ({}, "GET", "/status", True),
        ({"servers": ["one"]}, "POST", "/jobs", True),
        ({"servers": ["two"]}, "POST", "/jobs", False),
        ({"paths": ["/status"]}, "GET", "/status", True),
        ({"paths": ["/status"]}, "DELETE", "/status", True),
        ({"paths": ["/status"]}, "GET", "/status/", False),
        ({"paths": ["/Status"]}, "GET", "/status", False),
        ({"paths": ["/jobs/*"]}, "GET", "/jobs/7/log", True),
        ({"paths": ["/jobs/*"]}, "GET", "/jobs", False),
        ({"paths": []}, "GET", "/jobs", False),
        ({"paths": ["/jobs"], "methods": ["GET"]}, "GET", "/jobs", True),
        ({"paths": ["/jobs"], "methods": ["GET"]}, "POST", "/jobs", False),
        ({"paths": ["/jobs"], "methods": ["GET"]}, "GET", "/admin", False),
        ({"paths": ["/jobs"], "methods": []}, "GET", "/jobs", False),
        ({"methods": ["GET", "HEAD"]}, "GET", "/any", True),
        ({"methods": ["GET", "HEAD"]}, "POST", "/any", False),
        ({"tools": ["*"]}, "GET", "/any", False),
        ({"resources": ["*"], "agents": ["*"]}, "GET", "/any", False),
        ({"paths": ["*"]}, "GET", "", False),  # a message that calls itself GET has no path
        ({"paths": ["*"]}, "BREW", "/any", False),
        ({"paths": ["*"]}, "tools/call", "/any", False),
        ({"paths": ["*"]}, "initialize", "", False),
        ({"paths": ["*"], "methods": ["GET"]}, "initialize", "", False),
        ({"paths": ["*"], "tools": ["echo"]}, "initialize", "", True),
    ],
)
def test_what_a_rule_says_of_paths_and_verbs(selector: dict[str, Any], verb: str, path: str, matches: bool) -> None:
    """AUTHZ-01"""
    assert authorize({"allow": selector}).explain(READER, "one", verb, path).allowed is matches


def test_a_denied_path_is_denied_whatever_comes_later() -> None:
    policy = authorize({"deny": {"paths": ["/admin", "/admin/*"]}}, {"allow": {"paths": ["*"]}})
    assert decided(policy, "GET", "/admin/users") == "no rule-0"
    assert decided(policy, "GET", "/status") == "yes rule-1"
    assert decided(policy, "tools/call", "/admin/users") == "no default"


def test_a_name_with_a_line_end_matches_no_pattern_by_accident() -> None:
    policy = authorize({"allow": {"tools": ["echo", "get_?"]}})
    assert decided(policy, "tools/call", "echo\n") == "no default"
    assert decided(policy, "tools/call", "get_a\n") == "no default"


def test_a_shadow_rule_is_noted_and_not_enforced() -> None:
    policy = authorize({"deny": {"tools": ["echo"]}, "shadow": True}, {"allow": {"roles": ["reader"]}})
    decision = policy.explain(READER, "one", "tools/call", "echo")
    assert (decision.allowed, decision.rule, decision.shadow) == (True, "rule-1", "rule-0:deny")
    opened = authorize({"allow": {"roles": ["reader"]}, "shadow": True})
    assert decided(opened, "tools/call", "echo") == "no default"
    assert decided(opened, "initialize") == "no default"


@pytest.mark.parametrize(
    ("rules", "method", "answer"),
    [
        ([{"allow": {"tools": ["x"]}}], "initialize", "yes rule-0"),
        ([{"allow": {"tools": ["x"]}}], "tools/list", "yes rule-0"),
        ([{"allow": {"tools": ["x"], "servers": ["two"]}}], "initialize", "no default"),
        ([{"allow": {"agents": ["*"]}}], "initialize", "no default"),
        ([{"deny": {}}, {"allow": {}}], "initialize", "no rule-0"),
        ([{"deny": {"servers": ["one"]}}, {"allow": {}}], "ping", "no rule-0"),
        ([{"deny": {"servers": ["two"]}}, {"allow": {}}], "ping", "yes rule-1"),
        ([{"deny": {"tools": ["*"]}}, {"allow": {}}], "ping", "yes rule-1"),
        ([{"deny": {"methods": ["logging/*"]}}, {"allow": {}}], "logging/setLevel", "no rule-0"),
        ([{"deny": {"methods": ["logging/*"]}}, {"allow": {}}], "ping", "yes rule-1"),
        ([{"deny": {"methods": ["tools/list"]}}, {"allow": {}}], "tools/list", "no rule-0"),
        ([{"deny": {}, "shadow": True}, {"allow": {}}], "ping", "yes rule-1"),
    ],
)
def test_who_may_talk_to_a_server_at_all(rules: list[dict[str, Any]], method: str, answer: str) -> None:
    """AUTHZ-01: methods without an object slip past no rule that names them."""
    assert decided(authorize(*rules), method) == answer


def test_allowing_by_default_needs_both_words() -> None:
    assert decided(authorize(default="allow", may_default_allow=True), "tools/call", "x") == "yes default"
    assert decided(authorize(default="allow", may_default_allow=False), "tools/call", "x") == "no default"


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"allow": {}, "deny": {}},
        {"allow": {"when": "args.size <"}},
        {"deny": {"when": "caler.tenant == 'x'"}},
        {"allow": {"scopes": ["mcp:*"]}},
        {"allow": {"min_depth": 2, "max_depth": 1}},
    ],
    ids=lambda rule: str(rule or "neither"),
)
def test_a_rule_that_cannot_be_kept_is_refused_at_start(rule: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="rule 'r'"):
        compile_rules(msgspec.convert({"rules": [{"name": "r", **rule}]}, AuthorizationConfig))


BOT = Caller("ann", "iss", "forwarded", act=("bot",))
CHAIN = Caller("ann", "iss", "forwarded", act=("node-b", "bot"))
ITSELF = Caller("ann", "iss", "jwt")


@pytest.mark.parametrize(
    ("selector", "matching"),
    [
        ({}, [ITSELF, BOT, CHAIN]),
        ({"max_depth": 0}, [ITSELF]),
        ({"max_depth": 1}, [ITSELF, BOT]),
        ({"min_depth": 1}, [BOT, CHAIN]),
        ({"min_depth": 2}, [CHAIN]),
        ({"min_depth": 1, "max_depth": 1}, [BOT]),
        ({"actors": ["bot"]}, [BOT]),
        ({"actors": ["bot", "node-*"]}, [BOT, CHAIN]),
        ({"actors": ["*"]}, [BOT, CHAIN]),
        ({"actors": []}, []),
        ({"on_behalf_of": ["ann"]}, [BOT, CHAIN]),
        ({"on_behalf_of": ["a*"], "actors": ["bot"]}, [BOT]),
        ({"on_behalf_of": ["bob"]}, []),
        ({"on_behalf_of": []}, []),
    ],
)
def test_of_which_chains_a_permission_speaks(selector: dict[str, Any], matching: list[Caller]) -> None:
    """AUTHZ-10: of none that holds an actor it does not name."""
    policy = authorize({"allow": selector})
    found = [caller for caller in (ITSELF, BOT, CHAIN) if policy.explain(caller, "one", "tools/call", "x").allowed]
    assert found == matching


@pytest.mark.parametrize(
    ("selector", "denied"),
    [
        ({"actors": ["bot"]}, [BOT, CHAIN]),
        ({"actors": ["node-b"]}, [CHAIN]),
        ({"min_depth": 1, "tools": ["x"]}, [BOT, CHAIN]),
        ({"min_depth": 1, "tools": ["y"]}, []),
    ],
)
def test_of_which_chains_a_prohibition_speaks(selector: dict[str, Any], denied: list[Caller]) -> None:
    """AUTHZ-10: of any that holds an actor it names."""
    policy = authorize({"deny": selector}, {"allow": {}})
    found = [c for c in (ITSELF, BOT, CHAIN) if not policy.explain(c, "one", "tools/call", "x").allowed]
    assert found == denied
