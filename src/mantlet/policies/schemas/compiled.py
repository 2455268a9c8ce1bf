"""One schema, ready to check values: bounded before it is compiled, and in the work that a value may make of it.

Patterns run in linear time (Rust's `regex`, no look-around), formats assert nothing, nothing is ever fetched.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import jsonschema_rs

from mantlet.policies.schemas.bounds import check
from mantlet.policies.schemas.closing import closed
from mantlet.policies.schemas.unusable import Unusable

MAX_STEPS: Final = 1_500_000
"""Looks of a subschema at a place of a value: 50 to 80 ns each, so no check takes longer than some 100 ms (VAL-07).

A text of a megabyte counts as one place, and as a look for every `PATTERN_BYTES` of it and every pattern.
"""
PATTERN_BYTES: Final = 16
MAX_POINTER_CHARACTERS: Final = 256
TOO_MUCH: Final = "size"
"""Stands for a keyword where a value is too large for its schema to be checked in time."""
UNEXPLAINED: Final = "schema"
"""Stands for a keyword where finding the place would cost too much."""
MAX_EXPLAINED: Final = 4_000_000
"""Bytes of a value times the ways through its schema. To say what is wrong the validator keeps a copy of the value for
each way: a megabyte under six hundred took 1.2 GB and 1.6 s to explain, where finding it wrong had taken 0.1 ms."""

_REGEX: Final = jsonschema_rs.RegexOptions(size_limit=1 << 20, dfa_size_limit=1 << 20)
_DRAFTS: Final[Mapping[str, tuple[Any, bool]]] = {
    "": (jsonschema_rs.Draft202012Validator, True),  # the default of MCP (basic, "JSON Schema Usage")
    "json-schema.org/draft/2020-12/schema": (jsonschema_rs.Draft202012Validator, True),
    "json-schema.org/draft/2019-09/schema": (jsonschema_rs.Draft201909Validator, True),
    "json-schema.org/draft-07/schema": (jsonschema_rs.Draft7Validator, False),
    "json-schema.org/draft-06/schema": (jsonschema_rs.Draft6Validator, False),
    "json-schema.org/draft-04/schema": (jsonschema_rs.Draft4Validator, False),
}
"""By `$schema`: the validator, and whether it knows `unevaluatedProperties`."""


class Fault(NamedTuple):
    """Where a value is not what its schema wants, and which rule says so. Never what stands there."""

    pointer: str
    keyword: str


class Compiled:
    """Raises `Unusable` for a schema that is not used."""

    __slots__ = ("_is_valid", "_paths", "_patterns", "_validator")

    def __init__(self, schema: Mapping[str, Any], *, is_closed: bool = False) -> None:
        shape = check(schema)
        self._paths, self._patterns = shape.paths, shape.patterns
        make, can_look_inside = _draft(schema)
        if is_closed:
            schema = closed(schema, can_look_inside=can_look_inside)
            self._paths += self._paths // 2  # `unevaluatedProperties` looks at what the parts have looked at
        try:
            self._validator = make(schema, pattern_options=_REGEX, validate_formats=False, offline=True)
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError, TypeError) as error:
            raise Unusable(f"it is not a schema: {_keyword_at(error)}") from error
        self._is_valid = self._validator.is_valid

    def fault(self, value: Any, size_bytes: int) -> Fault | None:
        """The first thing wrong with `value`, which was read out of `size_bytes` of JSON; None when all is well."""
        # A place takes at least two bytes of JSON, so nearly every value is known to be small enough at once.
        if size_bytes * (self._paths / 2 + self._patterns / PATTERN_BYTES) > MAX_STEPS and self._is_too_much(value):
            return Fault("", TOO_MUCH)
        if self._is_valid(value):
            return None
        if size_bytes * self._paths > MAX_EXPLAINED:
            return Fault("", UNEXPLAINED)
        try:
            # Stops at the first fault. `iter_errors` finds all of them before it gives one: 9 s for 600 items with 600
            # ways to be right.
            self._validator.validate(value)
        except jsonschema_rs.ValidationError as error:
            return _fault_of(error)
        return Fault("", UNEXPLAINED)  # the validator contradicts itself: that is not a yes

    def _is_too_much(self, value: Any) -> bool:
        places, size = 0, 0
        todo = [value]
        while todo:
            item = todo.pop()
            places += 1
            if type(item) is dict:
                todo += item.values()
                size += sum(map(len, item))
            elif type(item) is list:
                todo += item
            elif type(item) is str:
                size += len(item)
            if (places + len(todo)) * self._paths + size * self._patterns // PATTERN_BYTES > MAX_STEPS:
                return True
        return False


def _draft(schema: Mapping[str, Any]) -> tuple[Any, bool]:
    named = schema.get("$schema", "")
    draft = _DRAFTS.get(named.split("://", 1)[-1].rstrip("#")) if type(named) is str else None
    if draft is None:
        raise Unusable("its $schema is none that is known here")
    return draft


def _fault_of(error: Any) -> Fault:
    pointer = "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in error.instance_path)
    words = [step for step in error.schema_path if type(step) is str]
    return Fault(pointer[:MAX_POINTER_CHARACTERS], words[-1][:64] if words else "false")


def _keyword_at(error: Exception) -> str:
    path = getattr(error, "instance_path", None)
    words = [step for step in path if type(step) is str] if path else []
    return words[-1][:64] if words else "its references or patterns"
