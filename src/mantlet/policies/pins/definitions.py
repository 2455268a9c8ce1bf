"""Definitions out of what servers answer. Pure.

All that a server says of an item is pinned, `_meta` too: clients draw and act on it. Left out is `execution` where it
says no more than how the older revision starts tasks; a server of both eras says it to one and not to the other.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from mantlet.core.definition import Definition, DefinitionKey, DefinitionKind
from mantlet.wire.canonical import canonical, digest

NAMED_BY: Final[Mapping[DefinitionKind, str]] = {
    "tools": "name",
    "prompts": "name",
    "resourceTemplates": "uriTemplate",
}
LISTED: Final[Mapping[str, DefinitionKind]] = {
    "tools/list": "tools",
    "prompts/list": "prompts",
    "resources/templates/list": "resourceTemplates",
}
INSTRUCTIONS: Final = "instructions"
INTRODUCTIONS: Final = frozenset({"initialize", "server/discover"})
"""Methods whose result holds the server's instructions."""

_EXECUTION: Final = "execution"
_TASK_SUPPORT: Final = ({}, *({"taskSupport": word} for word in ("forbidden", "optional", "required")))
"""All that `execution` may say without being pinned: three words carry no orders."""
_NEWER: Final = frozenset({"title", "icons", "outputSchema", "annotations", "_meta"})
"""Members that older revisions do not know, so that a client of one gets an item without them."""


def definition_of(server: str, kind: DefinitionKind, item: Mapping[str, Any]) -> Definition | None:
    """The definition that `item` is; None for one without a name. Raises `ValueError` for what is not JSON."""
    name = item.get(NAMED_BY[kind])
    if type(name) is not str:
        return None
    return _made(
        DefinitionKey(server, kind, name),
        {key: item[key] for key in item if not (key == _EXECUTION and item[key] in _TASK_SUPPORT)},
    )


def instructions_of(server: str, text: str) -> Definition:
    """A server's instructions as a definition."""
    return _made(DefinitionKey(server, INSTRUCTIONS, INSTRUCTIONS), {INSTRUCTIONS: text})


def is_older_form(seen: Definition, pinned: Definition) -> bool:
    """Whether `seen` is `pinned` without members that an older revision of MCP does not know, and the same else."""
    said, known = json.loads(seen.text), json.loads(pinned.text)
    return all(name in known and known[name] == value for name, value in said.items()) and (
        known.keys() - said.keys() <= _NEWER
    )


def texts_of(definition: Definition) -> Iterable[tuple[str, str]]:
    """Every text in it that a model may read, member names too, each with where it stands."""
    todo: list[tuple[str, Any]] = [("", json.loads(definition.text))]
    while todo:
        place, value = todo.pop()
        if type(value) is str:
            yield place, value
        elif type(value) is dict:
            for name, inner in value.items():
                yield place, name
                todo.append((f"{place}/{name}", inner))
        elif type(value) is list:
            todo += [(f"{place}/{number}", inner) for number, inner in enumerate(value)]


def _made(key: DefinitionKey, item: Mapping[str, Any]) -> Definition:
    text = canonical(item)
    return Definition(key, text, digest(text))
