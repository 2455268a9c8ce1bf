"""Revocations of tokens: durable, and seen by every process that has the database open."""

from collections.abc import Sequence
from typing import Final

from mantlet.core.revocation import Revocation
from mantlet.stores.sql.changes import counted
from mantlet.stores.sql.database import Database

_FIELDS: Final = "id, kind, tenant, issuer, value, at, until"
_SINCE: Final = f"SELECT number, {_FIELDS} FROM revocations WHERE number > ?1 ORDER BY number"  # noqa: S608 - constants
_INSERT: Final = (
    f"INSERT INTO revocations (number, {_FIELDS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING"  # noqa: S608
)


class RevocationRows:
    """`core.revocation.RevocationStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, revocations: Sequence[Revocation], now_s: float, /) -> None:
        """Keep those that are not known, and forget those that are over. Raises `StoreUnavailable`."""
        async with self._database.transaction() as transaction:
            first = await counted(transaction, "revocations", len(revocations)) - len(revocations) + 1
            await transaction.many(
                _INSERT,
                [
                    (number, one.id, one.kind, one.tenant, one.issuer, one.value, one.at_s, one.until_s)
                    for number, one in enumerate(revocations, first)
                ],
            )
            await transaction.run("DELETE FROM revocations WHERE until < ?1", now_s)

    async def since(self, number: int, /) -> tuple[int, list[Revocation]]:
        """Those that came after `number`, and the number of the last. Raises `StoreUnavailable`."""
        rows = await self._database.rows(_SINCE, number)
        return (rows[-1][0] if rows else number), [Revocation(*row[1:]) for row in rows]
