import json
from typing import Any

import msgspec
import pytest
from tests.policies.support import ALICE, Onward, call, reply

from mantlet.core.refusal import Denied, InvalidParams
from mantlet.policies.authorize.config import AuthorizationConfig
from mantlet.policies.authorize.policy import Authorize


def authorize(*rules: dict[str, Any]) -> Authorize:
    named = [{"name": f"rule-{n}", **rule} for n, rule in enumerate(rules)]
    return Authorize(msgspec.convert({"rules": named}, AuthorizationConfig))


ECHO = {"allow": {"roles": ["user"], "tools": ["echo"], "resources": ["open://*"], "prompts": ["greet"]}}


async def test_a_denied_call_goes_nowhere_and_says_which_rule() -> None:
    """AUTHZ-07"""
    onward, item = Onward(), call("tools/call", {"name": "exec"})
    with pytest.raises(Denied):
        await authorize(ECHO)(item, onward)
    assert onward.reached == []
    assert item.trail.rule == "default"


@pytest.mark.parametrize(
    "item",
    [
        call("tools/call", {"name": "exec"}),
        call("resources/read", {"uri": "secret://x"}),
        call("resources/subscribe", {"uri": "secret://x"}, era="legacy"),
        call("prompts/get", {"name": "other"}),
        call("completion/complete", {"ref": {"type": "ref/prompt", "name": "other"}}),
        call("completion/complete", {"ref": {"type": "ref/resource", "uri": "secret://x", "name": "greet"}}),
        call("completion/complete", {"ref": {"type": "ref/prompt", "name": "other", "uri": "open://x"}}),
        call("subscriptions/listen", {"notifications": {"resourceSubscriptions": ["open://a", "secret://x"]}}),
        call("tasks/get", {"taskId": "t"}),
        call("x/unknown"),
        call("", kind="stream", server="two", era="legacy"),
    ],
    ids=lambda item: f"{item.method or item.kind} {item.target}",
)
async def test_nothing_slips_by(item: Any) -> None:
    """AUTHZ-01"""
    onward = Onward()
    rules = {"allow": {**ECHO["allow"], "servers": ["one"]}}
    with pytest.raises(Denied):
        await authorize(rules)(item, onward)
    assert onward.reached == []


@pytest.mark.parametrize(
    "item",
    [
        call("completion/complete", {"ref": {"name": "greet"}}),
        call("completion/complete", {"ref": {"type": "ref/tool", "name": "greet"}}),
        call("subscriptions/listen", {"notifications": {"resourceSubscriptions": "secret://x"}}),
        call("subscriptions/listen", {"notifications": {"resourceSubscriptions": {"secret://x": 1}}}),
        call("subscriptions/listen", {"notifications": {"resourceSubscriptions": [["secret://x"]]}}),
        call("subscriptions/listen", {"notifications": "all"}),
    ],
)
async def test_what_cannot_be_decided_on_is_refused(item: Any) -> None:
    onward = Onward()
    with pytest.raises(InvalidParams):
        await authorize(ECHO)(item, onward)
    assert onward.reached == []


@pytest.mark.parametrize(
    "item",
    [
        call("tools/call", {"name": "echo"}),
        call("resources/read", {"uri": "open://x"}),
        call("completion/complete", {"ref": {"type": "ref/resource", "uri": "open://x"}}),
        call("subscriptions/listen", {"notifications": {"toolsListChanged": True}}),
        call("subscriptions/listen", {"notifications": {"resourceSubscriptions": ["open://a"]}}),
        call("initialize", era="legacy"),
        call("notifications/cancelled", era="legacy", kind="notification", raw_id=None),
        call("", era="legacy", kind="response"),
        call("", era="legacy", kind="end"),
    ],
    ids=lambda item: f"{item.method or item.kind}",
)
async def test_what_a_rule_allows_passes_unchanged(item: Any) -> None:
    onward = Onward()
    await authorize(ECHO)(item, onward)
    assert onward.reached == [item]


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_a_list_shows_what_may_be_called(era: Any) -> None:
    """AUTHZ-03"""
    onward = Onward(reply({"tools": [{"name": "echo"}, {"name": "exec"}]}))
    answer = await authorize(ECHO)(call("tools/list", era=era), onward)
    assert json.loads(answer.body)["result"]["tools"] == [{"name": "echo"}]  # type: ignore[arg-type]


async def test_a_shadow_verdict_is_noted() -> None:
    item = call("tools/call", {"name": "echo"})
    await authorize({"deny": {"tools": ["echo"]}, "shadow": True}, ECHO)(item, Onward())
    assert item.trail.notes == {"shadow": "rule-0:deny"}


def test_who_may_reach_which_server() -> None:
    policy = authorize({"allow": {"roles": ["user"], "servers": ["one"]}})
    assert policy.may_reach(ALICE, "one")
    assert not policy.may_reach(ALICE, "two")


async def test_names_that_callers_make_up_are_not_kept() -> None:
    """A path or a tool's name can be as long as a request: sixteen thousand of them would be gigabytes."""
    policy = authorize({"allow": {"roles": ["user"]}})
    for length in (256, 257, 1_000_000):
        assert policy.explain(ALICE, "one", "tools/call", "x" * length).allowed
    assert policy._remembered.cache_info().currsize == 1  # type: ignore[attr-defined]
