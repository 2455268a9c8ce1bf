"""Files of SQLite from before the schema had numbers: each kind of table counted steps of its own then."""

from typing import Final

from mantlet.stores.sql.database import Transaction

_WITHOUT_VERIFIER: Final = 1
"""Of `api_keys`, before keys could be proved."""
_COMPONENTS: Final = ("api_keys", "exposed_names", "kills", "logins", "pins", "revocations")
BEYOND: Final = 1_000
"""What such a file says now where it counted: a program of that time then refuses it instead of writing past us."""


async def adopt(transaction: Transaction) -> None:
    """Make what is there what step 1 would make. Everything in it is kept."""
    tables = await transaction.rows("SELECT name FROM sqlite_master WHERE type = 'table'")
    if ("schema_version",) not in tables:
        return
    if ("api_keys", _WITHOUT_VERIFIER) in await transaction.rows("SELECT component, version FROM schema_version"):
        await transaction.run("ALTER TABLE api_keys ADD COLUMN verifier TEXT NOT NULL DEFAULT ''")
    for component in _COMPONENTS:
        await transaction.run("UPDATE schema_version SET version = ?2 WHERE component = ?1", component, BEYOND)
    await transaction.run("DROP TABLE IF EXISTS pins_written")
