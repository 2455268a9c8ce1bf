"""What is pinned, found by what another definition may be mistaken for."""

import json
from collections.abc import Collection, Iterable
from typing import Final

from mantlet.core.definition import Definition, DefinitionKey
from mantlet.policies.aggregate.names import SEPARATOR, skeleton
from mantlet.policies.pins.definitions import NAMED_BY
from mantlet.wire.canonical import digest

_NAMES: Final = frozenset(NAMED_BY.values())


class Known:
    """Indexes over definitions, so that a list of a thousand is judged in time that grows with it and no faster."""

    def __init__(self, servers: Collection[str], definitions: Iterable[Definition] = ()) -> None:
        self.prefixes = {server: server + SEPARATOR for server in servers}
        self._by_skeleton: dict[tuple[str, str], DefinitionKey] = {}
        self._by_body: dict[tuple[str, str, str], str] = {}
        self._tools: dict[str, set[str]] = {}
        for definition in definitions:
            self.add(definition)

    def add(self, definition: Definition) -> None:
        """One more is pinned."""
        key = definition.key
        self._by_skeleton.setdefault((key.kind, skeleton(key.name)), key)
        if body := _body_of(definition):
            self._by_body.setdefault((key.server, key.kind, body), key.name)
        if key.kind == "tools":
            self._tools.setdefault(key.name, set()).add(key.server)

    def look_alike(self, key: DefinitionKey) -> DefinitionKey | None:
        """A pinned name that looks like this one and is another (TOOL-02)."""
        other = self._by_skeleton.get((key.kind, skeleton(key.name)))
        return other if other is not None and other.name != key.name else None

    def former_name(self, definition: Definition, listed: Collection[str]) -> str:
        """The name that an item had which is no longer `listed` and else the same; empty when it had none."""
        key = definition.key
        former = self._by_body.get((key.server, key.kind, _body_of(definition)), "")
        return former if former and former != key.name and former not in listed else ""

    def others_with(self, tool: str, server: str) -> str:
        """Another server that has this tool, where `server` itself has none of that name; else empty."""
        servers = self._tools.get(tool)
        return "" if not servers or server in servers else min(servers)


def _body_of(definition: Definition) -> str:
    """All but its name. Empty for what says nothing of itself: it is like many others."""
    said = json.loads(definition.text)
    if not said.get("description"):
        return ""
    # In the order of the canonical text that it was read from: that is order enough, and ten times as fast.
    return digest(json.dumps({name: value for name, value in said.items() if name not in _NAMES}))
