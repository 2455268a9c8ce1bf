"""Which schemas are compiled at all, and what is said of the others (VAL-03, VAL-07)."""

from collections.abc import Callable
from typing import Any

import pytest

from mantlet.policies.schemas.bounds import check
from mantlet.policies.schemas.compiled import Compiled
from mantlet.policies.schemas.unusable import Unusable

Schema = dict[str, Any]


def ref(number: int) -> Schema:
    return {"$ref": f"#/$defs/a{number}"}


def chain(length: int, link: Callable[[int], Schema]) -> Schema:
    links = {f"a{number}": link(number) for number in range(length)}
    return {"$defs": {**links, f"a{length}": {"type": "string"}}, "$ref": "#/$defs/a0"}


def nested(depth: int) -> Schema:
    schema: Schema = {"type": "object"}
    for _ in range(depth):
        schema = {"not": schema}
    return schema


UNUSABLE: dict[str, tuple[Schema, str]] = {
    "doubling in place": (chain(20, lambda n: {"anyOf": [ref(n + 1)] * 2}), "ways through it"),
    "doubling by members": (
        chain(20, lambda n: {"anyOf": [{"properties": {"x": ref(n + 1)}}, {"properties": {"x": ref(n + 1)}}]}),
        "ways through it",
    ),
    "a round by two ways": (
        {"anyOf": [{"properties": {"x": {"$ref": "#"}}}, {"properties": {"x": {"$ref": "#"}}}, {"type": "null"}]},
        "more than one way",
    ),
    "a round by a name and a pattern": (
        {"properties": {"x": {"$ref": "#"}}, "patternProperties": {"x": {"$ref": "#"}}},
        "more than one way",
    ),
    "a round in place": (
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
        "round in place",
    ),
    "itself": ({"$ref": "#"}, "round in place"),
    "a round off the start": (
        {
            "$defs": {"a": {"allOf": [{"$ref": "#/$defs/b"}]}, "b": {"allOf": [{"$ref": "#/$defs/b"}]}},
            "$ref": "#/$defs/a",
        },
        "round in place",
    ),
    "a reference to the network": ({"properties": {"a": {"$ref": "http://127.0.0.1:9/x"}}}, "leads out"),
    "a reference to a file": ({"$ref": "file:///etc/passwd"}, "leads out"),
    "a relative reference": ({"$ref": "other.json#/a"}, "leads out"),
    "a reference to nowhere": ({"$ref": "#/q"}, "leads nowhere"),
    "a base of its own": ({"properties": {"a": {"$id": "http://x/", "$ref": "#/b"}}}, "$id of its own"),
    "a dynamic reference": ({"$dynamicRef": "#x"}, "not followed"),
    "great depth": (nested(60), "deeper than"),
    "many subschemas": ({"anyOf": [{"minimum": n} for n in range(2_001)]}, "more than 2000 subschemas"),
    "many references": ({"$defs": {"a": {}}, "anyOf": [{"$ref": "#/$defs/a"} for _ in range(257)]}, "references"),
    "a long pattern": ({"pattern": "a" * 10_000}, "pattern is longer"),
    "a long pattern of names": ({"patternProperties": {"a" * 10_000: {}}}, "pattern is longer"),
    "a subschema that is none": ({"properties": {"a": 5}}, "neither an object nor a boolean"),
    "a pattern with look-around": ({"pattern": "(?=a)b"}, "not a schema: pattern"),
    "a pattern that grows": ({"pattern": "(a{1000}){1000}"}, "not a schema: pattern"),
    "an unknown type": ({"type": "foo"}, "not a schema: type"),
    "an unknown dialect": ({"$schema": "https://example.com/mine"}, "$schema"),
    "a dialect that is no text": ({"$schema": 7}, "$schema"),
}

JSON_VALUE = {
    "$defs": {
        "J": {
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"$ref": "#/$defs/J"}},
                {"type": "object", "additionalProperties": {"$ref": "#/$defs/J"}},
            ]
        }
    },
    "properties": {"v": {"$ref": "#/$defs/J"}},
}
USABLE: dict[str, tuple[Schema, Any, Any]] = {
    "any JSON": (JSON_VALUE, {"v": {"a": ["b"]}}, {"v": 5}),
    "a tree": (
        {"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}, "additionalProperties": False},
        {"left": {"right": {}}},
        {"left": {"x": 1}},
    ),
    "a list of itself": (
        {
            "$defs": {"n": {"type": "object", "properties": {"c": {"type": "array", "items": {"$ref": "#/$defs/n"}}}}},
            "$ref": "#/$defs/n",
        },
        {"c": [{"c": []}]},
        {"c": [1]},
    ),
    "an anchor": (
        {"$defs": {"a": {"$anchor": "A", "type": "string"}}, "properties": {"x": {"$ref": "#A"}}},
        {"x": "s"},
        {"x": 1},
    ),
    "members named like keywords": (
        {"properties": {"$id": {"type": "string"}, "pattern": {"type": "string"}, "$ref": {"type": "string"}}},
        {"$id": "a", "$ref": "b"},
        {"$ref": 5},
    ),
    "an escaped pointer": (
        {"$defs": {"a/b~c d": {"type": "string"}}, "properties": {"x": {"$ref": "#/$defs/a~1b~0c%20d"}}},
        {"x": "s"},
        {"x": 1},
    ),
    "a list by position in draft 7": (
        {"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "string"}]},
        ["s"],
        [1],
    ),
    "nothing": ({}, 1, None),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_hostile_schema_is_not_used_and_its_reason_holds_nothing_of_it(name: str) -> None:
    """VAL-03, VAL-07"""
    schema, why = UNUSABLE[name]
    with pytest.raises(Unusable, match=why.replace("$", r"\$")) as caught:
        Compiled(schema)
    assert "127.0.0.1" not in str(caught.value)
    assert "passwd" not in str(caught.value)


@pytest.mark.parametrize("name", USABLE)
def test_an_ordinary_schema_is_used(name: str) -> None:
    schema, right, wrong = USABLE[name]
    compiled = Compiled(schema)
    assert compiled.fault(right, 100) is None
    if wrong is not None:
        assert compiled.fault(wrong, 100) is not None


def test_a_tangle_is_given_up_after_a_bounded_number_of_steps() -> None:
    """VAL-07: the time of the bounds has a bound."""
    names = [f"n{number}" for number in range(60)]
    tangle = {name: {"allOf": [{"$ref": f"#/$defs/{other}"} for other in names[:4]]} for name in names}
    with pytest.raises(Unusable):
        check({"$defs": tangle, "$ref": "#/$defs/n59"})


def test_paths_and_patterns_are_counted() -> None:
    shape = check({"properties": {"a": {"pattern": "x"}, "b": {"items": {"pattern": "y"}}}})
    assert (shape.paths, shape.patterns) == (4, 2)
