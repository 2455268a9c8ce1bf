"""RES-04: what a call's priority is."""

from typing import Any

import msgspec
import pytest
from tests.policies.support import call

from mantlet.core.caller import Caller
from mantlet.policies.admission.config import AdaptiveConfig, PriorityRule
from mantlet.policies.admission.priority import HIGH, LOW, NORMAL, priority_of

OPS = Caller("ops", "iss", "bearer", roles=frozenset({"oncall"}), scopes=frozenset({"mcp:read"}))


def rule(priority: str, **match: list[str]) -> PriorityRule:
    return msgspec.convert({"priority": priority, "match": match}, PriorityRule)


@pytest.mark.parametrize(
    ("match", "matches"),
    [
        ({"roles": ["oncall", "x"]}, True),
        ({"roles": ["user"]}, False),
        ({"scopes": ["mcp:read"]}, True),
        ({"scopes": ["mcp"]}, False),
        ({"methods": ["tools/*"]}, True),
        ({"methods": ["ping"]}, False),
        ({"tools": ["rep*"]}, True),
        ({"tools": ["REP*"]}, False),
        ({"servers": ["one"]}, True),
        ({"servers": ["two"]}, False),
        ({"roles": ["oncall"], "tools": ["other"]}, False),
        ({"roles": ["oncall"], "tools": ["report"]}, True),
    ],
)
def test_all_that_stands_must_match(match: dict[str, list[str]], matches: bool) -> None:
    item = call(params={"name": "report", "arguments": {}}, caller=OPS)
    assert priority_of([rule("low", **match)], item) == (LOW if matches else NORMAL)


def test_a_tools_rule_speaks_of_no_prompt_of_that_name() -> None:
    assert priority_of([rule("high", tools=["*"])], call("prompts/get", {"name": "report"})) == NORMAL


def test_the_first_rule_that_matches_decides() -> None:
    rules = [rule("high", roles=["oncall"]), rule("low", methods=["*"])]
    assert [priority_of(rules, call(caller=OPS)), priority_of(rules, call())] == [HIGH, LOW]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (PriorityRule, {"priority": "low", "match": {}}),
        (PriorityRule, {"priority": "urgent", "match": {"roles": ["a"]}}),
        (AdaptiveConfig, {"min": 10, "max": 5}),
        (AdaptiveConfig, {"min": 0}),
    ],
)
def test_what_means_nothing_is_an_error(kind: Any, value: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(value, kind)
