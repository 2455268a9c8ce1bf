"""Kill switches in the database: of one node a copy, of nodes that share the database the switches themselves."""

from collections.abc import Mapping
from typing import Final

from mantlet.stores.sql.changes import counted
from mantlet.stores.sql.database import Database, Transaction

Key = tuple[str, str]
"""Kind and name."""
Row = tuple[str, str, float]
"""Reason, by whom, since when."""
_ALL: Final = "SELECT kind, name, reason, by, at FROM kills ORDER BY at, kind, name"
_INSERT: Final = "INSERT INTO kills (kind, name, reason, by, at) VALUES (?1, ?2, ?3, ?4, ?5)"


class KillRows:
    """Every method raises `StoreUnavailable`, and then all is as it was."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def rows(self) -> dict[Key, Row]:
        """All of them."""
        return _table(await self._database.rows(_ALL))

    async def number(self) -> int:
        """The count of changes."""
        return int((await self._database.rows("SELECT number FROM changes WHERE name = 'kills'"))[0][0])

    async def write(self, rows: Mapping[Key, Row]) -> None:
        """Keep these and no others."""
        async with self._database.transaction() as transaction:
            await counted(transaction, "kills")
            await transaction.run("DELETE FROM kills")
            await transaction.many(_INSERT, [(*key, *row) for key, row in rows.items()])

    async def change(self, changes: Mapping[Key, Row | None]) -> tuple[int, dict[Key, Row]]:
        """Put these in and take those without a row out; gives the count, and all as they then stand."""
        async with self._database.transaction() as transaction:
            number = await counted(transaction, "kills")
            await _put(transaction, changes)
            return number, _table(await transaction.rows(_ALL))


async def _put(transaction: Transaction, changes: Mapping[Key, Row | None]) -> None:
    await transaction.many("DELETE FROM kills WHERE kind = ?1 AND name = ?2", list(changes))
    await transaction.many(_INSERT, [(*key, *row) for key, row in changes.items() if row is not None])


def _table(rows: list[tuple[str, str, str, str, float]]) -> dict[Key, Row]:
    return {(kind, name): (reason, by, at_s) for kind, name, reason, by, at_s in rows}
