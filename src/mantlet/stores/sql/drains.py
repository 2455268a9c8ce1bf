"""Endpoints that an operator drained, in the database: known again after a restart, and to all who share it."""

from collections.abc import Callable, Mapping
from typing import Final

from mantlet.stores.sql.changes import counted
from mantlet.stores.sql.database import Database

Name = tuple[str, str]
"""A server and one of its endpoints."""
KEPT_S: Final = 30 * 86_400.0
"""How long an order stands that nobody takes back: its endpoint may be in no configuration any more."""
_ALL: Final = "SELECT server, endpoint, until FROM drains WHERE at > ?1"
_PUT: Final = (
    "INSERT INTO drains (server, endpoint, until, at, by) VALUES (?1, ?2, ?3, ?4, ?5)"
    " ON CONFLICT (server, endpoint) DO UPDATE SET until = excluded.until, at = excluded.at, by = excluded.by"
)


class DrainRows:
    """What stands there is in memory; whoever hears that somebody wrote calls `load` (`Changes`)."""

    def __init__(self, database: Database, wall: Callable[[], float]) -> None:
        self._database, self._wall = database, wall
        self.table: Mapping[Name, float] = {}
        """Each endpoint that is drained, and until when (Unix time) its sessions go on."""

    async def load(self) -> None:
        """Read them now. Raises `StoreUnavailable`."""
        self._take(await self._database.rows(_ALL, self._wall() - KEPT_S))

    async def order(self, name: Name, until_s: float | None, by: str) -> bool:
        """Drain until then, or with None no longer; whether it was drained. Raises `StoreUnavailable`."""
        now_s = self._wall()
        async with self._database.transaction() as transaction:
            await counted(transaction, "drains")
            was = await transaction.run("DELETE FROM drains WHERE server = ?1 AND endpoint = ?2", *name)
            await transaction.run("DELETE FROM drains WHERE at <= ?1", now_s - KEPT_S)
            if until_s is not None:
                await transaction.run(_PUT, *name, until_s, now_s, by)
            found = await transaction.rows(_ALL, now_s - KEPT_S)
        self._take(found)
        return was > 0

    def _take(self, rows: list[tuple[str, str, float]]) -> None:
        self.table = {(server, endpoint): until for server, endpoint, until in rows}
