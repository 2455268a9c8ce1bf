"""Callers' grants at upstreams. What is secret in them is sealed before it comes here (FWD-04)."""

from typing import Any, Final

from mantlet.stores.sql.database import Database

Key = tuple[str, str, str, str]
"""Upstream, tenant, issuer, subject."""
Values = tuple[str, str, int, str, str, float, float]
"""Sealed, key id, version, server, scope, created, written."""

MAX_LISTED: Final = 10_000
_WHERE: Final = "upstream = ?1 AND tenant = ?2 AND issuer = ?3 AND subject = ?4"
_FIND: Final = f"SELECT sealed, key_id, version, server, scope, created_at, written_at FROM grants WHERE {_WHERE}"  # noqa: S608
_INSERT: Final = (
    "INSERT INTO grants (upstream, tenant, issuer, subject, sealed, key_id, version, server, scope, created_at,"
    " written_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
)
_UPDATE: Final = (
    "UPDATE grants SET sealed = ?5, key_id = ?6, version = ?7, server = ?8, scope = ?9, created_at = ?10,"  # noqa: S608
    f" written_at = ?11 WHERE {_WHERE} AND version = ?12"
)
_DELETE: Final = f"DELETE FROM grants WHERE {_WHERE}"  # noqa: S608 - constants
_ALL: Final = (
    "SELECT upstream, tenant, issuer, subject, key_id, server, scope, created_at, written_at FROM grants"
    " ORDER BY upstream, tenant, issuer, subject LIMIT ?1"
)


class GrantRows:
    """Every method raises `StoreUnavailable`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, key: Key) -> Values | None:
        """One of them."""
        found = await self._database.rows(_FIND, *key)
        return found[0] if found else None

    async def put(self, key: Key, values: Values, replaced: int | None) -> bool:
        """Keep it: in the place of the one with the version `replaced` or not at all; None: in any case."""
        async with self._database.transaction() as transaction:
            if replaced is not None:
                return await transaction.run(_UPDATE, *key, *values, replaced) == 1
            await transaction.alone(f"grant {key!r}")
            await transaction.run(_DELETE, *key)
            return await transaction.run(_INSERT, *key, *values) == 1

    async def drop(self, key: Key, version: int | None = None) -> bool:
        """Forget it; whether there was one (of that version)."""
        async with self._database.transaction() as transaction:
            if version is None:
                return await transaction.run(_DELETE, *key) == 1
            return await transaction.run(f"{_DELETE} AND version = ?5", *key, version) == 1

    async def all(self) -> list[tuple[Any, ...]]:
        """All that there are, without what is sealed: key, then key id, server, scope, created, written."""
        return await self._database.rows(_ALL, MAX_LISTED)
