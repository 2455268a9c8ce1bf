"""The filters as a step: what they are to refuse, in whatever spelling, and that nothing passes when they fail."""

import json
from typing import Any

import pytest
from tests.policies.support import call

from mantlet.core.call import Call, Reply
from mantlet.core.refusal import Filtered
from mantlet.policies.filters.config import Budget, Modes
from mantlet.policies.filters.policy import Filters

NOTHING = Reply(200, [], b"{}")


async def sent(filters: Filters, arguments: Any) -> list[Call]:
    """What comes out behind the step."""
    behind: list[Call] = []

    async def onward(call: Call) -> Reply:
        behind.append(call)
        return NOTHING

    await filters(call(params={"name": "t", "arguments": arguments}), onward)
    return behind


@pytest.mark.parametrize("name", ["__proto__", "prototype", "constructor"])
@pytest.mark.parametrize("depth", [0, 1, 20])
async def test_a_name_that_reaches_the_prototype_is_refused_without_any_configuration(name: str, depth: int) -> None:
    """VAL-04"""
    arguments: Any = {name: {"admin": True}}
    for _ in range(depth):
        arguments = {"a": [arguments]}
    with pytest.raises(Filtered) as refused:
        await sent(Filters(Modes()), arguments)
    assert "admin" not in str(refused.value)


@pytest.mark.parametrize(
    "path",
    [
        "../../etc/passwd",
        "..\\..\\windows",
        "%2e%2e%2f%2e%2e%2fetc",
        "%252e%252e%252fetc",
        "a/../../b",
        "file:///etc/passwd",
        "\\\\host\\share",
    ],
)
async def test_a_path_that_leads_out_is_refused_in_any_encoding(path: str) -> None:
    """VAL-05"""
    with pytest.raises(Filtered) as refused:
        await sent(Filters(Modes(traversal="block")), {"path": path})
    assert path not in str(refused.value)


async def test_ordinary_paths_and_texts_pass_as_they_came() -> None:
    """VAL-05, VAL-06"""
    filters = Filters(Modes(traversal="block", script="block", sql="block"))
    arguments = {"path": "reports/2026/a..b.txt", "text": "if a < b, select the first; O'Brien agreed"}
    [passed] = await sent(filters, arguments)
    assert json.loads(passed.body)["params"]["arguments"] == arguments


@pytest.mark.parametrize(
    ("modes", "text"),
    [
        (Modes(script="block"), "<script>alert(1)</script>"),
        (Modes(script="block"), "%3Cscript%3Ealert(1)%3C/script%3E"),
        (Modes(script="block"), "&lt;script&gt;alert(1)&lt;/script&gt;"),
        (Modes(sql="block"), "' OR '1'='1' --"),
        (Modes(sql="block"), "%27%20UNION%20SELECT%20password%20FROM%20users--"),
    ],
)
async def test_script_and_sql_are_seen_through_their_encodings_and_not_repeated(modes: Modes, text: str) -> None:
    """VAL-06"""
    with pytest.raises(Filtered) as refused:
        await sent(Filters(modes), {"q": text})
    assert text not in str(refused.value)


async def test_what_was_changed_is_held_to_the_schema_again() -> None:
    """VAL-06, VAL-08"""

    def recheck(call: Call) -> None:
        raise RuntimeError("no longer what it should be")

    filters = Filters(Modes(script="sanitize"), recheck=recheck)
    with pytest.raises(RuntimeError):
        await sent(filters, {"q": "<script>alert(1)</script>"})


async def test_more_than_can_be_looked_at_is_refused() -> None:
    """VAL-07"""
    with pytest.raises(Filtered):
        await sent(Filters(Modes(script="block"), budget=Budget(max_characters=1_024)), {"q": "a" * 2_000})
