"""What all who share a database must agree on, decided by whoever comes first."""

from mantlet.stores.sql.database import Database


async def claim_fact(database: Database, name: str, value: str) -> str:
    """What stands under `name`: `value`, if nothing did. Raises `StoreUnavailable`."""
    found = await database.rows("SELECT value FROM facts WHERE name = ?1", name)
    if not found:
        async with database.transaction() as transaction:
            await transaction.run("INSERT INTO facts (name, value) VALUES (?1, ?2) ON CONFLICT DO NOTHING", name, value)
            found = await transaction.rows("SELECT value FROM facts WHERE name = ?1", name)
    return str(found[0][0])
