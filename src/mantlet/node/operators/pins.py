"""Definitions of tools as an operator sees them, and decides on what is in quarantine."""

from collections.abc import Mapping
from typing import Any, get_args

from mantlet.core.clock import SYSTEM
from mantlet.core.definition import Definition, DefinitionKey, DefinitionKind
from mantlet.core.ports import Journal
from mantlet.core.refusal import InvalidParams, NotFound
from mantlet.events.audit.administrative import note
from mantlet.node.upstreams.definitions import Settle
from mantlet.policies.pins.book import Book, Change
from mantlet.policies.pins.diff import difference
from mantlet.policies.pins.policy import Pins


class PinsAdmin:
    """What the admin API does. Without the record nothing is done (AUD-02)."""

    def __init__(self, pins: Pins | None, journal: Journal, settle: Settle) -> None:
        """`settle` returns once what was decided is written, for all who share the database."""
        self._pins, self._journal, self._settle = pins, journal, settle

    async def all(self) -> list[Mapping[str, Any]]:
        """What is in quarantine first, then what is pinned."""
        table = self._book().table
        held = [_told_held(one.definition, one.why, one.at_s, one.is_rejected) for one in table.held.values()]
        pinned = [
            {**_told(pin.definition), "state": "pinned", "at_s": pin.at_s, "by": pin.by}
            for key, pin in table.pins.items()
            if key not in table.held
        ]
        return [*sorted(held, key=_place), *sorted(pinned, key=_place)]

    async def difference(self, server: str, kind: str, name: str) -> Mapping[str, Any]:
        """What is in quarantine against what is pinned, in lines."""
        table, key = self._book().table, _key(server, kind, name)
        held, pin = table.held.get(key), table.pins.get(key)
        if held is None:
            raise NotFound("Nothing of this name is in quarantine.")
        lines = difference(None if pin is None else pin.definition, held.definition)
        return {**_told_held(held.definition, held.why, held.at_s, held.is_rejected), "difference": lines}

    async def approve(self, server: str, kind: str, name: str, digest: str, by: str) -> Mapping[str, Any]:
        """Pin what is in quarantine under this hash."""
        book, key = self._book(), _key(server, kind, name)
        book.find(key, digest)
        await self._note("pin.approved", key, book, digest, by)
        change = book.approve(key, digest, by)
        await self._settle()
        return _changed(change)

    async def reject(self, server: str, kind: str, name: str, digest: str, by: str) -> Mapping[str, Any]:
        """Say no to what is in quarantine under this hash."""
        book, key = self._book(), _key(server, kind, name)
        book.find(key, digest)
        await self._note("pin.rejected", key, book, digest, by)
        change = book.reject(key, digest)
        await self._settle()
        return _changed(change)

    async def _note(self, event: str, key: DefinitionKey, book: Book, digest: str, by: str) -> None:
        pin = book.table.pins.get(key)
        notes = {"kind": key.kind, "before": "" if pin is None else pin.definition.hash, "after": digest}
        about = f"{key.server}/{key.name[:128]}"
        await note(self._journal, SYSTEM, event, object=about, principal=by, notes=notes)

    def _book(self) -> Book:
        if self._pins is None or self._pins.shown.book.mode == "off":
            raise NotFound("Definitions are not pinned here: set mcp.pins in the configuration.")
        self._pins.sync()
        return self._pins.shown.book


def _key(server: str, kind: str, name: str) -> DefinitionKey:
    if kind not in get_args(DefinitionKind):
        raise InvalidParams(f"kind is one of {', '.join(get_args(DefinitionKind))}.")
    return DefinitionKey(server, kind, name)  # type: ignore[arg-type]


def _told(definition: Definition) -> dict[str, Any]:
    key = definition.key
    return {"server": key.server, "kind": key.kind, "name": key.name, "hash": definition.hash}


def _told_held(definition: Definition, why: str, at_s: float, is_rejected: bool) -> dict[str, Any]:
    state = "rejected" if is_rejected else "quarantined"
    return {**_told(definition), "state": state, "at_s": round(at_s, 3), "why": why}


def _changed(change: Change) -> dict[str, Any]:
    key = change.key
    return {"server": key.server, "kind": key.kind, "name": key.name, "before": change.before, "after": change.after}


def _place(row: Mapping[str, Any]) -> tuple[str, str, str]:
    return row["server"], row["kind"], row["name"]
