"""The schemas of tools as their pinned definitions have them, compiled once and kept by the definition's hash."""

import json
from collections import OrderedDict
from typing import Any, Final, NamedTuple

from mantlet.core.definition import Definition
from mantlet.policies.schemas.compiled import Compiled
from mantlet.policies.schemas.unusable import Unusable

MAX_TOOLS: Final = 2_000
"""Compiled definitions kept; a compiled schema takes some 10 to 100 KB."""
MAX_SCHEMA_CHARACTERS: Final = 131_072
"""Of a definition whose schemas are compiled at all."""


class ToolSchemas(NamedTuple):
    """What a call's arguments and its result must be; None where the definition says nothing."""

    arguments: Compiled | None
    result: Compiled | None


class SchemaBook:
    """Compiling takes milliseconds, and a list is read more often than it changes."""

    def __init__(self, *, refuses_unknown: bool = True, max_tools: int = MAX_TOOLS) -> None:
        self._refuses_unknown = refuses_unknown
        self._max_tools = max_tools
        self._kept: OrderedDict[str, ToolSchemas | Unusable] = OrderedDict()

    def of(self, definition: Definition) -> ToolSchemas:
        """The schemas of a tool. Raises `Unusable`."""
        kept = self._kept.get(definition.hash)
        if kept is None:
            kept = self._compile(definition)
            self._kept[definition.hash] = kept
            if len(self._kept) > self._max_tools:
                self._kept.popitem(last=False)
        if isinstance(kept, Unusable):
            raise Unusable(str(kept))
        return kept

    def why_unusable(self, definition: Definition) -> str:
        """Why a tool must be withheld because of its schemas; empty when they are fine."""
        try:
            self.of(definition)
        except Unusable as error:
            return str(error)
        return ""

    def _compile(self, definition: Definition) -> ToolSchemas | Unusable:
        try:
            if len(definition.text) > MAX_SCHEMA_CHARACTERS:
                raise Unusable(f"its definition is longer than {MAX_SCHEMA_CHARACTERS} characters")
            tool = json.loads(definition.text)
            return ToolSchemas(
                _compiled(tool, "inputSchema", is_closed=self._refuses_unknown),
                # A result may have more members than were promised: clients are asked to ignore what they do not know.
                _compiled(tool, "outputSchema", is_closed=False),
            )
        except Unusable as error:
            return error


def _compiled(tool: dict[str, Any], member: str, *, is_closed: bool) -> Compiled | None:
    schema = tool.get(member)
    if schema is None and (member == "outputSchema" or member not in tool):
        return None
    try:
        if type(schema) is not dict:
            raise Unusable("it is not an object")
        return Compiled(schema, is_closed=is_closed)
    except Unusable as error:
        raise Unusable(f"its {member} cannot be used: {error}") from error
