"""Rules with conditions, as the policy decides on them."""

import json
from typing import Any

import msgspec
import pytest
from tests.policies.support import ALICE, BOB, Onward, call, reply

from mantlet.core.caller import Caller
from mantlet.core.refusal import Denied, InsufficientScope, Refusal
from mantlet.policies.authorize.config import AuthorizationConfig
from mantlet.policies.authorize.policy import Authorize

NOON_S = 12 * 3600.0


def authorize(*rules: dict[str, Any], at_s: float = NOON_S) -> Authorize:
    named = [{"name": f"rule-{n}", **rule} for n, rule in enumerate(rules)]
    return Authorize(msgspec.convert({"rules": named}, AuthorizationConfig), wall=lambda: at_s)


SMALL = {"allow": {"tools": ["echo"], "when": "args.size < 100"}}
ANY: dict[str, Any] = {"allow": {}}


async def verdict(policy: Authorize, item: Any) -> str:
    onward = Onward()
    try:
        await policy(item, onward)
    except Refusal as refusal:
        assert onward.reached == []
        return f"{refusal.reason} {item.trail.rule}"
    return f"passed {item.trail.rule}"


def echo(**arguments: Any) -> Any:
    return call("tools/call", {"name": "echo", "arguments": arguments})


@pytest.mark.parametrize(
    ("rules", "item", "answer"),
    [
        ([SMALL], echo(size=5), "passed rule-0"),
        ([SMALL], echo(size=500), "denied default"),
        ([SMALL], echo(), "denied rule-0"),
        ([SMALL, ANY], echo(size=500), "passed rule-1"),
        # It errs: no later rule makes good what this one could not decide.
        ([SMALL, ANY], echo(), "denied rule-0"),
        ([SMALL, ANY], echo(size="5"), "denied rule-0"),
        ([SMALL], call("tools/call", {"name": "echo"}), "denied rule-0"),
        ([SMALL], call("tools/call", {"name": "echo", "arguments": [5]}), "denied rule-0"),
        ([{"deny": {"tools": ["echo"], "when": "args.size > 9"}}, ANY], echo(size=10), "denied rule-0"),
        ([{"deny": {"tools": ["echo"], "when": "args.size > 9"}}, ANY], echo(size=9), "passed rule-1"),
        ([{"deny": {"tools": ["echo"], "when": "args.size > 9"}}, ANY], echo(), "denied rule-0"),
        ([{**SMALL, "shadow": True}, ANY], echo(), "passed rule-1"),
        ([{"allow": {"when": "time.hour < 9"}}], echo(), "denied default"),
        ([{"allow": {"when": "time.hour >= 9"}}], echo(), "passed rule-0"),
        ([{"deny": {"when": "time.hour == 12"}}, ANY], call("initialize", era="legacy"), "denied rule-0"),
        ([{"deny": {"when": "time.hour == 13"}}, ANY], call("initialize", era="legacy"), "passed rule-1"),
        ([{"allow": {"when": "inNetwork(address, '192.0.2.0/24')"}}], echo(), "passed rule-0"),
        ([{"allow": {"when": "inNetwork(address, '10.0.0.0/8')"}}], echo(), "denied default"),
        # Whoever may call something may shake hands; what hangs on arguments may be allowed.
        ([SMALL], call("initialize", era="legacy"), "passed rule-0"),
        ([SMALL], call("tools/list"), "passed rule-0"),
        ([SMALL], call("tools/call", {"name": "other"}), "denied default"),
        # A resource has no arguments.
        ([{"allow": {"resources": ["*"], "when": "!has(args.x)"}}], call("resources/read", {"uri": "a://b"}),
         "denied rule-0"),
        ([{"allow": {"when": "target.startsWith('a://')"}}], call("resources/read", {"uri": "a://b"}), "passed rule-0"),
        ([{"allow": {"prompts": ["p"], "when": "args.x == 'y'"}}],
         call("prompts/get", {"name": "p", "arguments": {"x": "y"}}), "passed rule-0"),
        ([{"allow": {"methods": ["x/y"], "when": "caller.subject == 'alice'"}}], call("x/y"), "passed rule-0"),
        ([{"allow": {"methods": ["x/y"], "when": "caller.subject == 'bob'"}}], call("x/y"), "denied default"),
        ([SMALL], call("completion/complete", {"ref": {"type": "ref/prompt", "name": "p"}}), "denied default"),
    ],
)  # fmt: skip
async def test_a_condition_decides_last_and_its_error_denies(
    rules: list[dict[str, Any]], item: Any, answer: str
) -> None:
    """AUTHZ-01, AUTHZ-02"""
    assert await verdict(authorize(*rules), item) == answer


@pytest.mark.parametrize(
    ("body", "params", "answer"),
    [
        (b"", {}, "passed rule-0"),
        (b'{"a": 1}', {"arguments": {"a": 1}}, "passed rule-0"),
        (b'{"x": 1}', {"arguments": {"x": 1}}, "denied default"),
        (b"x=1", {}, "denied rule-0"),
        (b"null", {}, "denied rule-0"),
        (b"[1]", {"arguments": [1]}, "denied rule-0"),
    ],
)
async def test_of_a_body_that_is_not_read_nothing_is_said(body: bytes, params: dict[str, Any], answer: str) -> None:
    """AUTHZ-02"""
    item = call("POST", params)
    item.body, item.target, item.params = body, "/jobs", params
    assert await verdict(authorize({"allow": {"paths": ["/jobs"], "when": "!has(args.x)"}}), item) == answer


async def test_what_failed_is_noted_without_what_was_sent() -> None:
    """AUD-06"""
    item = echo(size="hunter2")
    with pytest.raises(Denied) as refused:
        await authorize(SMALL)(item, Onward())
    assert item.trail.notes == {"condition": "TypeError"}
    assert "hunter2" not in refused.value.why


async def test_a_shadow_rule_whose_condition_errs_is_noted() -> None:
    item = echo()
    await authorize({**SMALL, "shadow": True}, ANY)(item, Onward())
    assert item.trail.notes == {"shadow": "rule-0:error"}


async def test_no_decision_is_remembered_that_hangs_on_a_condition() -> None:
    policy = authorize(SMALL)
    for size, answer in [(5, "passed rule-0"), (500, "denied default"), (5, "passed rule-0")]:
        assert await verdict(policy, echo(size=size)) == answer


TWO = {"tools": [{"name": "echo"}, {"name": "other"}]}


@pytest.mark.parametrize(
    ("rules", "shown"),
    [
        ([SMALL], ["echo"]),
        ([{"allow": {"tools": ["echo"], "when": "caller.subject == 'alice'"}}], ["echo"]),
        ([{"allow": {"tools": ["echo"], "when": "caller.subject == 'bob'"}}, {"allow": {"tools": ["other"]}}],
         ["other"]),
        ([{"allow": {"tools": ["echo"], "when": "time.hour < 9 && args.size < 1"}}, {"allow": {"tools": ["other"]}}],
         ["other"]),
        ([{"deny": {"tools": ["echo"], "when": "args.size > 9"}}, ANY], ["echo", "other"]),
        ([{"deny": {"tools": ["echo"], "when": "time.hour == 12"}}, ANY], ["other"]),
        ([{"deny": {"tools": ["echo"], "when": "caller.subject < 5"}}, ANY], ["other"]),
        ([{"allow": {"when": "tool == 'other'"}}], ["other"]),
        ([{"allow": {"when": "method == 'tools/call'"}}], ["echo", "other"]),
    ],
)  # fmt: skip
async def test_a_list_shows_what_may_be_callable(rules: list[dict[str, Any]], shown: list[str]) -> None:
    """AUTHZ-03"""
    # Without a name it would be refused before there is a list.
    rules = [*rules, {"allow": {"methods": ["tools/list"]}}]
    answer = await authorize(*rules)(call("tools/list"), Onward(reply(TWO)))
    assert [tool["name"] for tool in json.loads(answer.body)["result"]["tools"]] == shown  # type: ignore[arg-type]


async def test_one_callers_list_is_not_anothers() -> None:
    """AUTHZ-03, AUTHZ-08"""
    policy = authorize(
        {"allow": {"tools": ["echo"], "when": "caller.subject == 'alice'"}}, {"allow": {"tools": ["other"]}}
    )
    for caller, shown in [(ALICE, 2), (BOB, 1), (ALICE, 2)]:
        answer = await policy(call("tools/list", caller=caller), Onward(reply(TWO)))
        assert len(json.loads(answer.body)["result"]["tools"]) == shown  # type: ignore[arg-type]


WRITERS = {"allow": {"roles": ["user"], "scopes": ["mcp:read", "mcp:write"], "tools": ["echo"]}}
READING = Caller("r", "iss", "jwt", roles=frozenset({"user"}), scopes=frozenset({"mcp:read"}))


def as_reader(item: Any) -> Any:
    item.caller = READING
    return item


async def test_a_call_that_lacks_only_scopes_says_which() -> None:
    """AUTHN-04"""
    with pytest.raises(InsufficientScope) as refused:
        await authorize(WRITERS)(as_reader(echo(size=5)), Onward())
    assert refused.value.scopes == ("mcp:read", "mcp:write")


@pytest.mark.parametrize(
    "rules",
    [
        [{"allow": {**WRITERS["allow"], "roles": ["admin"]}}],
        [{"allow": {**WRITERS["allow"], "tools": ["other"]}}],
        [{"allow": {**WRITERS["allow"], "when": "args.size > 9"}}],
        [{"deny": {"tools": ["echo"]}}, WRITERS],
        [{"deny": {"scopes": ["mcp:write"]}}, WRITERS],
        [{**WRITERS, "shadow": True}],
        [{"deny": {"scopes": ["mcp:write"]}}],
    ],
)
async def test_a_call_that_lacks_more_is_denied(rules: list[dict[str, Any]]) -> None:
    """AUTHZ-07"""
    with pytest.raises(Denied) as refused:
        await authorize(*rules)(as_reader(echo(size=5)), Onward())
    assert type(refused.value) is Denied


@pytest.mark.parametrize("scope", ["mcp:*", "*", "mcp:", "mcp:readwrite", "MCP:READ", "mcp"])
async def test_no_scope_stands_for_another(scope: str) -> None:
    """AUTHZ-06"""
    item = echo()
    item.caller = Caller("s", "iss", "jwt", scopes=frozenset({scope}))
    with pytest.raises(Denied):
        await authorize({"allow": {"scopes": ["mcp:read"]}})(item, Onward())
