"""A schema that also refuses the members which it does not name (VAL-03). Pure.

JSON Schema lets through what nobody thought of. Here an object whose members are named has those members and no others,
unless the schema says something of the others itself. An object of which nothing is named stays free: it is a map.

Only where a value begins is a schema closed. Parts that speak of the same value (`allOf`, `$ref`, …) each name some of
its members, and would refuse those of the others.
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

from mantlet.policies.schemas.graph import at_pointer

_SAID: Final = ("additionalProperties", "unevaluatedProperties")
_NAMING: Final = ("properties", "patternProperties")
_SAME_VALUE: Final = ("allOf", "anyOf", "oneOf")
_SAME_VALUE_ONE: Final = ("then", "else")
_SHARED: Final = ("$ref", *_SAME_VALUE, "if", *_SAME_VALUE_ONE, "dependentSchemas")
_INNER_MAPS: Final = _NAMING
_INNER_LISTS: Final = ("prefixItems", "items")
_INNER: Final = ("items", *_SAID, "unevaluatedItems", "additionalItems")


def closed(root: Mapping[str, Any], *, can_look_inside: bool = True) -> dict[str, Any]:
    """`root` closed. `can_look_inside`: its draft has `unevaluatedProperties`; one that has not stays open where only
    that would do. For a schema that `bounds.check` has accepted."""
    made: dict[str, Any] = _Closing(root, can_look_inside).value(root)
    return made


class _Closing:
    def __init__(self, root: Mapping[str, Any], can_look_inside: bool) -> None:
        self._root = root
        self._can_look_inside = can_look_inside

    def value(self, schema: Any) -> Any:
        """A schema at the beginning of a value."""
        if type(schema) is not dict:
            return schema
        made = self._part(schema)
        if any(word in schema for word in _SAID) or not self._names_members(schema, set()):
            return made
        if not any(word in schema for word in _SHARED):
            made["additionalProperties"] = False
        elif self._can_look_inside:
            made["unevaluatedProperties"] = False
        return made

    def _part(self, schema: Any) -> Any:
        """A schema that speaks of a value together with others: what lies inside is closed, itself it is not."""
        if type(schema) is not dict:
            return schema
        made = dict(schema)
        for word in _INNER_MAPS:
            if type(inner := schema.get(word)) is dict:
                made[word] = {name: self.value(one) for name, one in inner.items()}
        for word in _INNER:
            if word in schema:
                made[word] = self.value(schema[word])
        for word in _INNER_LISTS:
            if type(inner := schema.get(word)) is list:
                made[word] = [self.value(one) for one in inner]
        for word in _SAME_VALUE:
            if type(inner := schema.get(word)) is list:
                made[word] = [self._part(one) for one in inner]
        for word in _SAME_VALUE_ONE:
            if word in schema:
                made[word] = self._part(schema[word])
        for word in ("dependentSchemas", "$defs", "definitions"):
            if type(inner := schema.get(word)) is dict:
                made[word] = {name: self._part(one) for name, one in inner.items()}
        return made

    def _names_members(self, schema: Any, seen: set[int]) -> bool:
        if type(schema) is not dict or id(schema) in seen:
            return False
        seen.add(id(schema))
        if any(type(schema.get(word)) is dict for word in _NAMING):
            return True
        ref = schema.get("$ref")
        if type(ref) is str and self._names_members(self._target(ref), seen):
            return True
        if any(self._names_members(one, seen) for one in _list(schema, "allOf")):
            return True
        return any(self._all_name_members(_list(schema, word), seen) for word in ("anyOf", "oneOf"))

    def _all_name_members(self, choices: list[Any], seen: set[int]) -> bool:
        """Whether each choice names members or is no object: one that is any object lets any member in."""
        objects = [one for one in choices if _may_be_object(one)]
        return bool(objects) and all(self._names_members(one, seen) for one in objects)

    def _target(self, ref: str) -> Any:
        if ref == "#":
            return self._root
        return at_pointer(self._root, unquote(ref[1:])) if ref.startswith("#/") else None


def _list(schema: Mapping[str, Any], word: str) -> list[Any]:
    inner = schema.get(word)
    return inner if type(inner) is list else []


def _may_be_object(schema: Any) -> bool:
    if type(schema) is not dict:
        return schema is not False
    kinds = schema.get("type")
    if type(kinds) is str:
        return kinds == "object"
    if type(kinds) is list:
        return "object" in kinds
    values = schema.get("enum", [schema["const"]] if "const" in schema else None)
    return type(values) is not list or any(type(value) is dict for value in values)
