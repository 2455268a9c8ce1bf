"""All that is in one database into another of either kind: whole, in one transaction, or not at all."""

from collections.abc import Mapping
from typing import Final

from mantlet.core.config_error import ConfigError
from mantlet.stores.sql.database import Database, Transaction

TABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "api_keys": ("id", "hash", "owner", "name", "tenant", "kind", "roles", "scopes", "created_at", "expires_at",
                 "last_used_at", "revoked_at", "verifier", "changed"),
    "changes": ("name", "number"),
    "drains": ("server", "endpoint", "until", "at", "by"),
    "exposed_names": ("kind", "exposed", "server", "name"),
    "facts": ("name", "value"),
    "grants": ("upstream", "tenant", "issuer", "subject", "sealed", "key_id", "version", "server", "scope",
               "created_at", "written_at"),
    "kills": ("kind", "name", "reason", "by", "at"),
    "logins": ("id", "client_id", "tenant", "subject", "via", "granted", "number", "created_at", "used_at",
               "expires_at", "ended_at"),
    "pins": ("server", "kind", "name", "hash", "definition", "at_s", "by"),
    "quarantine": ("server", "kind", "name", "hash", "definition", "why", "at_s", "is_rejected"),
    "revocations": ("number", "id", "kind", "tenant", "issuer", "value", "at", "until"),
}  # fmt: skip
"""Each table with its columns; `schema_steps` is the target's own. A test holds it to the schema."""
COUNTS: Final = "changes"
"""A table that is never empty: what it says is replaced, so that rows and counts belong together."""
AT_ONCE: Final = 200
"""Rows in one statement: it has the time-out of every other."""


async def copy(source: Database, target: Database) -> dict[str, int]:
    """Copy every table, and give how many rows each has there now. Both have this version's schema.

    Nothing else is written to `source` meanwhile. Raises `ConfigError` for a target that is not empty, or that has
    another number of rows in the end; `StoreUnavailable`. Then the target is as it was.
    """
    async with source.transaction() as out, target.transaction() as into:
        await out.alone("copy")
        await into.alone("copy")
        for table in TABLES:
            if table != COUNTS and (found := await _count(into, table)):
                raise ConfigError("--to", f"is not empty: {found} rows in {table}", "name an empty database")
        await into.run("DELETE FROM changes")
        copied = {table: await _copied(out, into, table, columns) for table, columns in TABLES.items()}
        for table, number in copied.items():
            if (there := await _count(into, table)) != number:
                raise ConfigError("--to", f"{table} has {there} rows of {number}; nothing was copied")
    return copied


async def _copied(out: Transaction, into: Transaction, table: str, columns: tuple[str, ...]) -> int:
    names = ", ".join(columns)
    rows = await out.rows(f"SELECT {names} FROM {table}")  # noqa: S608 - names of TABLES
    places = ", ".join(f"?{place}" for place in range(1, len(columns) + 1))
    insert = f"INSERT INTO {table} ({names}) VALUES ({places})"  # noqa: S608
    for start in range(0, len(rows), AT_ONCE):
        await into.many(insert, rows[start : start + AT_ONCE])
    return len(rows)


async def _count(of: Transaction, table: str) -> int:
    return int((await of.rows(f"SELECT COUNT(*) FROM {table}"))[0][0])  # noqa: S608
