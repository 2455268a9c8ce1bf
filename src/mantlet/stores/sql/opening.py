"""From `database:` to an open database whose tables have the shape that this version works with."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mantlet.core.config_error import ConfigError
from mantlet.stores.sql.config import DatabaseConfig
from mantlet.stores.sql.database import Database
from mantlet.stores.sql.migrate import done, migrate, missing
from mantlet.stores.sql.sqlite import SqliteDatabase


@asynccontextmanager
async def open_database(config: DatabaseConfig) -> AsyncIterator[Database]:
    """Ready to work with. Raises `StoreUnavailable`, and `ConfigError` for a schema that does not fit."""
    async with open_bare(config) as database:
        if config.auto_migrate:
            await migrate(database)
        elif missing(await done(database)):
            raise ConfigError(
                "database.url",
                "the tables are of an earlier version, and database.auto_migrate is off",
                "run `mantlet database migrate`",
            )
        yield database


@asynccontextmanager
async def open_bare(config: DatabaseConfig) -> AsyncIterator[Database]:
    """Whatever shape its tables have."""
    database: Database
    if config.is_sqlite:
        database = file = SqliteDatabase(config.path)
        await file.open()
    else:
        from mantlet.stores.sql.postgres import PostgresDatabase  # needs an extra, and few configurations have it

        database = server = PostgresDatabase(config)
        await server.open()
    try:
        yield database
    finally:
        await database.close()
