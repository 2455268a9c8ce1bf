"""Exposed names: the first to claim a name has it for ever, whichever worker or node asks (`core.ports.Names`)."""

from collections.abc import Mapping

from mantlet.stores.sql.database import Database

Owners = Mapping[str, tuple[str, str]]


class NameRows:
    """Read seldom, and written once a name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def owners(self, kind: str) -> Owners:
        """All names of `kind`. Raises `StoreUnavailable`."""
        rows = await self._database.rows("SELECT exposed, server, name FROM exposed_names WHERE kind = ?1", kind)
        return {exposed: (server, name) for exposed, server, name in rows}

    async def claim(self, kind: str, names: Owners) -> Owners:
        """Give each name to its claimant unless somebody has it. Raises `StoreUnavailable`, and then gave none."""
        async with self._database.transaction() as transaction:
            await transaction.many(
                "INSERT INTO exposed_names (kind, exposed, server, name) VALUES (?1, ?2, ?3, ?4)"
                " ON CONFLICT DO NOTHING",
                # In one order everywhere: two nodes that claim the same names never wait for each other.
                sorted((kind, exposed, server, name) for exposed, (server, name) in names.items()),
            )
        return await self.owners(kind)
