"""Members that a schema does not name are refused, and nothing else changes (VAL-03)."""

from typing import Any

import pytest

from mantlet.policies.schemas.compiled import Compiled

A = {"properties": {"a": {"type": "integer"}}}
B = {"properties": {"b": {"type": "integer"}}}
FREE = {"type": "object"}

CASES: list[tuple[str, dict[str, Any], Any, Any]] = [
    ("named members", A, {"a": 1}, {"a": 1, "x": 2}),
    ("no member at all", {"properties": {}}, {}, {"x": 1}),
    ("in a member", {"properties": {"in": A}}, {"in": {"a": 1}}, {"in": {"x": 1}}),
    ("in a list", {"properties": {"in": {"items": A}}}, {"in": [{"a": 1}]}, {"in": [{"x": 1}]}),
    ("parts together", {"allOf": [A, B]}, {"a": 1, "b": 2}, {"a": 1, "x": 2}),
    ("a choice", {"anyOf": [A, B]}, {"b": 2}, {"x": 2}),
    ("own members and a choice of what is required", {**A, "anyOf": [{"required": ["a"]}]}, {"a": 1}, {"a": 1, "x": 2}),
    ("by reference", {"$ref": "#/$defs/A", "$defs": {"A": A}}, {"a": 1}, {"x": 1}),
    (
        "a base and more",
        {"$defs": {"A": A}, "properties": {"in": {"allOf": [{"$ref": "#/$defs/A"}], **B}}},
        {"in": {"a": 1, "b": 2}},
        {"in": {"a": 1, "x": 2}},
    ),
    ("by itself", {"properties": {"next": {"$ref": "#"}}}, {"next": {"next": {}}}, {"next": {"next": {"x": 1}}}),
    ("a condition", {**A, "if": {"required": ["a"]}, "then": B}, {"a": 1, "b": 2}, {"a": 1, "x": 2}),
    ("a pattern of names", {"patternProperties": {"^x-": {}}}, {"x-1": 1}, {"y": 1}),
    ("draft 7", {"$schema": "http://json-schema.org/draft-07/schema#", **A}, {"a": 1}, {"x": 1}),
    ("a map is free", FREE, {"x": 1}, None),
    ("a map in a member is free", {"properties": {"m": FREE}}, {"m": {"x": 1}}, None),
    ("a choice with a map is free", {"anyOf": [A, FREE]}, {"x": 1}, None),
    ("or null", {"properties": {"m": {"anyOf": [A, {"type": "null"}]}}}, {"m": None}, {"m": {"x": 1}}),
    ("what is allowed stays so", {**A, "additionalProperties": True}, {"x": 1}, None),
    ("what is typed stays so", {**A, "additionalProperties": {"type": "string"}}, {"x": "s"}, {"x": 1}),
    ("what is allowed by a part stays so", {"allOf": [A, {"additionalProperties": True}]}, {"x": 1}, None),
    ("what is denied by `not` stays so", {"properties": {"m": {"not": A}}}, {"m": {"a": "s"}}, {"m": {"x": 1}}),
    ("parts in draft 7", {"$schema": "http://json-schema.org/draft-07/schema#", "allOf": [A]}, {"x": 1}, None),
]  # fmt: skip


@pytest.mark.parametrize(("name", "schema", "right", "wrong"), CASES, ids=[case[0] for case in CASES])
def test_closed(name: str, schema: dict[str, Any], right: Any, wrong: Any) -> None:
    """VAL-03"""
    closed = Compiled(schema, is_closed=True)
    assert closed.fault(right, 100) is None
    if wrong is not None:
        assert closed.fault(wrong, 100) is not None
    assert Compiled(schema).fault(right, 100) is None


def test_closing_changes_nothing_that_was_given() -> None:
    schema = {"properties": {"in": {"properties": {"a": {}}}}}
    Compiled(schema, is_closed=True)
    assert schema == {"properties": {"in": {"properties": {"a": {}}}}}
