"""Pins and quarantine in the database (`policies.pins.store.PinStore`): one truth for all who share it.

The table is in memory whole, because lists are judged while they flow and cannot wait. What a process finds out it
believes at once and writes a moment later, in the order found; what others wrote it takes up with the next look at the
counts. Of two that saw a tool first at the same moment the one that was written first counts, and the other judges
again a second later. While writing fails nothing new is believed.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from mantlet.core.definition import Definition, DefinitionKey, Held, Pin
from mantlet.core.refusal import StoreUnavailable
from mantlet.stores.sql.changes import Changes, counted
from mantlet.stores.sql.database import Database
from mantlet.stores.sql.findings import Finding, HeldOnes, Pinned, Pins, Quarantined, Released, refuse_odd

MAX_UNWRITTEN: Final = 10_000
"""Findings that wait for the database. With more, nothing new is believed."""


class PinRows:
    """Everything runs on one loop, but for what is awaited."""

    def __init__(self, database: Database, changes: Changes) -> None:
        self._database = database
        self._pins: Pins = {}
        self._held: HeldOnes = {}
        self._unwritten: list[Finding] = []
        self._turn = asyncio.Lock()
        self._is_failing = False
        self._version, self._seen = 0, -1
        self.wanted: Callable[[], object] = lambda: None
        """Called when there is something to write: `settle` is then due."""
        changes.follow("pins", self._catch_up)

    def is_changed(self) -> bool:
        """Whether somebody else wrote since the last `load`."""
        return self._version != self._seen

    def load(self) -> tuple[Pins, HeldOnes]:
        """Everything."""
        self._seen = self._version
        return dict(self._pins), dict(self._held)

    def pin(self, pins: Iterable[Pin], *, is_decided: bool) -> None:
        """Keep pins. Raises `StoreUnavailable`, and then none is kept."""
        if pins := list(pins):
            for pin in pins:
                refuse_odd(pin.definition)
            self._refuse_failing()
            self._take(Pinned(pins, is_decided))

    def hold(self, held: Held) -> None:
        """Put one into quarantine. Raises `StoreUnavailable`; here it is in quarantine all the same."""
        finding = Quarantined(held)
        finding.apply(self._pins, self._held)
        refuse_odd(held.definition)
        self._refuse_failing()
        self._take(finding)

    def release(self, key: DefinitionKey) -> None:
        """Take one out of quarantine. Raises `StoreUnavailable`."""
        self._refuse_failing()
        self._take(Released(key))

    async def settle(self) -> None:
        """Write what is not written. Raises `StoreUnavailable`; the next tries again."""
        async with self._turn:
            findings = list(self._unwritten)
            if not findings:
                return
            try:
                async with self._database.transaction() as transaction:
                    await counted(transaction, "pins")
                    for finding in findings:
                        await finding.write(transaction)
            except StoreUnavailable:
                self._is_failing = True
                raise
            self._is_failing = False
            del self._unwritten[: len(findings)]

    async def _catch_up(self, number: int) -> None:
        async with self._turn:  # what is just being written is read once it is
            pins = await self._database.rows("SELECT server, kind, name, hash, definition, at_s, by FROM pins")
            held = await self._database.rows(
                "SELECT server, kind, name, hash, definition, why, at_s, is_rejected FROM quarantine"
            )
        self._pins = {
            (key := DefinitionKey(server, kind, name)): Pin(Definition(key, text, digest), at_s, by)
            for server, kind, name, digest, text, at_s, by in pins
        }
        self._held = {
            (key := DefinitionKey(server, kind, name)): Held(Definition(key, text, digest), why, at_s, bool(no))
            for server, kind, name, digest, text, why, at_s, no in held
        }
        for finding in self._unwritten:
            finding.apply(self._pins, self._held)
        self._version += 1

    def _take(self, finding: Finding) -> None:
        finding.apply(self._pins, self._held)
        self._unwritten.append(finding)
        self.wanted()

    def _refuse_failing(self) -> None:
        if self._is_failing or len(self._unwritten) >= MAX_UNWRITTEN:
            raise StoreUnavailable(why="pins: the database does not take them")
