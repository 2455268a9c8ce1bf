"""What is said of a value that does not fit, and how much work a value may make (VAL-03, VAL-07)."""

from typing import Any

import pytest

from mantlet.policies.schemas.compiled import MAX_POINTER_CHARACTERS, TOO_MUCH, UNEXPLAINED, Compiled, Fault

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 5},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "uniqueItems": True},
        "a/b~c": {"type": "integer"},
        "when": {"type": "string", "format": "date-time"},
    },
    "required": ["name"],
}


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ({"name": "bob"}, None),
        ({}, Fault("", "required")),
        ({"name": "secret!"}, Fault("/name", "maxLength")),
        ({"name": "bob", "tags": ["a", "secret"]}, Fault("/tags/1", "enum")),
        ({"name": "bob", "tags": ["a", "a"]}, Fault("/tags", "uniqueItems")),
        ({"name": "bob", "a/b~c": "x"}, Fault("/a~1b~0c", "type")),
        ({"name": "bob", "secret": 1}, Fault("", "additionalProperties")),
        ({"name": "bob", "when": "no date"}, None),
        ([], Fault("", "type")),
        (None, Fault("", "type")),
    ],
)
def test_a_fault_names_the_place_and_the_rule_and_no_value(value: Any, fault: Fault | None) -> None:
    """VAL-03; a JSON Pointer as RFC 6901 escapes it. `format` asserts nothing (our choice, and the dialect's)."""
    assert Compiled(PERSON, is_closed=True).fault(value, 100) == fault


def test_a_pointer_has_a_bound() -> None:
    schema = {"additionalProperties": {"type": "integer"}}
    fault = Compiled(schema).fault({"k" * 10_000: "x"}, 20_000)
    assert fault is not None
    assert len(fault.pointer) == MAX_POINTER_CHARACTERS


WIDE = {"items": {"anyOf": [{"minimum": number} for number in range(900)]}}


def test_a_value_that_would_take_too_long_is_refused_unseen() -> None:
    """VAL-07: two thousand numbers under nine hundred ways to be right."""
    compiled = Compiled(WIDE)
    assert compiled.fault([1] * 2_000, 10_000) == Fault("", TOO_MUCH)
    assert compiled.fault([1] * 100, 10_000) is None


def test_what_is_wrong_in_a_large_value_is_not_searched_for_at_any_price() -> None:
    """VAL-07: it is refused all the same."""
    ways = {"anyOf": [{"type": "object", "required": [str(number)]} for number in range(600)]}
    assert Compiled(ways).fault({"x": "y" * 1_000_000}, 1_000_010) == Fault("", UNEXPLAINED)
    assert Compiled(ways).fault({"x": "y"}, 10) == Fault("", "anyOf")


def test_only_the_first_of_many_faults_is_looked_for() -> None:
    """VAL-07"""
    each = {"items": {"anyOf": [{"properties": {"p": {"const": number}}, "required": ["p"]} for number in range(50)]}}
    assert Compiled(each).fault([{"p": -1}] * 100, 1_000) == Fault("/0", "anyOf")


def test_one_large_text_is_one_place() -> None:
    text = "x" * 1_000_000
    assert Compiled({"properties": {"file": {"type": "string"}}}).fault({"file": text}, 1_000_020) is None
    patterns = {"allOf": [{"properties": {"file": {"pattern": f"^x{{{number},}}"}}} for number in range(1, 100)]}
    assert Compiled(patterns).fault({"file": text}, 1_000_020) == Fault("", TOO_MUCH)
