import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mantlet.core.caller import Caller
from mantlet.policies.authorize.conditions import Condition, ConditionError, Facts, compile_condition
from mantlet.policies.authorize.conditions.facts import MAX_CHARACTERS, MAX_ITEMS

ANN = Caller("ann", "https://idp", "jwt", "acme", "agent", frozenset({"a", "b"}), frozenset({"mcp:read"}), act=("bot",))
AT_S = 1_795_255_260.0  # Saturday 2026-11-21 10:01 UTC


def facts(arguments: dict[str, Any] | None = None, *, size_bytes: int = 0, is_outline: bool = False) -> Facts:
    arguments = {"size": 5, "tags": ["x", "y"], "deep": {"n": None}} if arguments is None else arguments
    size_bytes = size_bytes or len(json.dumps(arguments))
    return Facts(
        ANN, "one", "tools/call", "echo", AT_S, "10.1.2.3", None if is_outline else arguments, size_bytes, is_outline
    )


def holds(expression: str, given: Facts | None = None) -> bool | None:
    return compile_condition(expression).holds(facts() if given is None else given)


@pytest.mark.parametrize(
    ("expression", "answer"),
    [
        ("args.size < 100", True),
        ("args.size > 100", False),
        ("args.size < 5.5", True),
        ("has(args.size) && !has(args.other)", True),
        ("'x' in args.tags && args.tags.all(tag, tag.size() == 1)", True),
        ("args.deep.n == null", True),
        ("caller.subject == 'ann' && caller.issuer == 'https://idp' && caller.tenant == 'acme'", True),
        ("caller.kind == 'agent' && caller.method == 'jwt' && 'bot' in caller.act", True),
        ("caller.roles == ['a', 'b'] && caller.scopes == ['mcp:read']", True),
        ("server == 'one' && tool == 'echo' && target == 'echo' && method == 'tools/call'", True),
        ("time.hour == 10 && time.minute == 1 && time.weekday == 6", True),
        ("time.timestamp > timestamp('2026-11-21T10:00:59Z') && time.timestamp.getFullYear() == 2026", True),
        ("inNetwork(address, '10.0.0.0/8') && !inNetwork(address, '192.168.0.0/16')", True),
        ("inNetwork(address, 'fd00::/8')", False),
        ("true || args.other == 1", True),
        ("args.other == 1 || true", True),
        ("args.other == 1 && false", False),
    ],
)
def test_what_a_condition_sees(expression: str, answer: bool) -> None:
    assert holds(expression) is answer


@pytest.mark.parametrize(
    "expression",
    [
        "args.other == 1",
        "args.size == 5 && args.other == 1",
        "args.size < 'x'",
        "args.size",
        "'true'",
        "null == null ? null : true",
        "1 / (args.size - 5) == 1",
        "args.size + 9223372036854775807 > 0",
        "args.tags[7] == 'x'",
        "args.tags.all(tag, tag.x == 1)",
        "args.tags.all(tag, tag)",
        "inNetwork(tool, '10.0.0.0/8')",
        "int(tool) == 1",
        "args.tags.exists(tag, tag == 'x') && tag == 'x'",
    ],
)
def test_what_cannot_be_evaluated_is_an_error_and_names_nothing_that_was_sent(expression: str) -> None:
    """AUTHZ-01, AUD-06"""
    with pytest.raises(ConditionError) as error:
        holds(expression)
    assert str(error.value).replace(" ", "").isalpha()


@pytest.mark.parametrize(
    ("expression", "answer"),
    [
        ("args.size < 100", None),
        ("has(args.size)", None),
        ("!has(args.size)", None),
        ("args == null", None),
        ("[args].size() == 1", None),
        ("args.tags.exists(tag, tag == 'x')", None),
        ("caller.tenant == 'acme' && args.size < 100", None),
        ("caller.tenant == 'other' && args.size < 100", False),
        ("args.size < 100 && caller.tenant == 'other'", False),
        ("caller.tenant == 'acme' || args.size < 100", True),
        ("time.hour < 9", False),
    ],
)
def test_before_there_are_arguments_it_says_what_hangs_on_them(expression: str, answer: bool | None) -> None:
    """AUTHZ-03"""
    assert holds(expression, facts(is_outline=True)) is answer


def test_an_error_that_is_not_for_want_of_arguments_is_one_before_there_are_any() -> None:
    with pytest.raises(ConditionError):
        holds("caller.subject < 5", facts(is_outline=True))


@pytest.mark.parametrize(
    "much",
    [
        {"a": list(range(MAX_ITEMS))},
        {"a": {str(n): n for n in range(MAX_ITEMS)}},
        {"a": [[[0] * 100] * 10]},
        {"a": "x" * (MAX_CHARACTERS + 1)},
        {"a": {"x" * (MAX_CHARACTERS + 1): 1}},
    ],
    ids=["list", "object", "nested", "text", "name"],
)
def test_arguments_beyond_the_bounds_are_an_error_only_where_they_are_looked_at(much: dict[str, Any]) -> None:
    given = {**much, "b": 1}
    with pytest.raises(ConditionError, match="more arguments"):
        holds("args.a == null || true", facts(given))
    assert holds("args.b == 1", facts(given)) is True


def test_as_many_arguments_as_allowed_are_looked_at() -> None:
    assert holds("args.a.all(x, x >= 0)", facts({"a": list(range(MAX_ITEMS - 3))})) is True


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
_ALL: Condition = compile_condition(
    "args.size < 100 && args.path.matches('^/[a-z]+$') && args.tags.all(tag, tag in caller.roles) && args.size() > 2"
)


@given(arguments=st.dictionaries(st.sampled_from(["size", "path", "tags", "x"]), _JSON))
@settings(max_examples=300, deadline=None)
def test_any_json_gives_an_answer_or_a_condition_error(arguments: dict[str, Any]) -> None:
    """AUTHZ-01, ERR-02"""
    with contextlib.suppress(ConditionError):
        assert _ALL.holds(facts(arguments)) in (True, False)
