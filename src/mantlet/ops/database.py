"""One command's work in the configured database, without a node."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

from mantlet.core.config_error import ConfigError
from mantlet.core.refusal import StoreUnavailable
from mantlet.keys.new_key import instant
from mantlet.node.config import Config
from mantlet.node.storage.durable import opened_database
from mantlet.ops.recorded import recorded
from mantlet.stores.sql.config import DatabaseConfig
from mantlet.stores.sql.copying import copy
from mantlet.stores.sql.database import Database
from mantlet.stores.sql.migrate import done, migrate, missing
from mantlet.stores.sql.opening import open_bare, open_database
from mantlet.stores.sql.schema import KNOWN

T = TypeVar("T")


def with_database(
    config: Config,
    work: Callable[[Database], Awaitable[T]],
    opened: Callable[[DatabaseConfig], AbstractAsyncContextManager[Database]] = opened_database,
) -> T:
    """Open it, do `work`, close it. Raises `ConfigError`."""

    async def whole() -> T:
        async with opened(config.database) as database:
            return await work(database)

    try:
        return asyncio.run(whole())
    except (StoreUnavailable, OSError, ModuleNotFoundError) as error:
        said = error.why if isinstance(error, StoreUnavailable) else str(error)
        raise ConfigError(f"database.url ({config.database.where})", said) from error


def status(config: Config) -> dict[str, Any]:
    """Which steps the database has seen, and which are to be done. Changes nothing. Raises `ConfigError`."""
    if config.database.is_sqlite and not config.database.path.exists():
        return _told(config, [], list(range(1, KNOWN + 1)))

    async def work(database: Database) -> dict[str, Any]:
        seen = await done(database)
        steps = [{"number": one.number, "name": one.name, "at": instant(one.at_s), "by": one.program} for one in seen]
        return _told(config, steps, [step.number for step in missing(seen)])

    return with_database(config, work, open_bare)


def migrated(config: Config) -> dict[str, Any]:
    """Do what is to be done; gives the names of the steps that were. Raises `ConfigError`."""

    async def work(database: Database) -> dict[str, Any]:
        todo = missing(await done(database))
        if todo:
            names = " ".join(step.name for step in todo)
            await recorded(config, "database.migrated", str(KNOWN), notes={"steps": names})
        return {"database": config.database.where, "done": [step.name for step in await migrate(database)]}

    return with_database(config, work, open_bare)


def copied(config: Config, to: DatabaseConfig) -> dict[str, Any]:
    """Copy all of it into the empty database `to`; gives the rows of each table. Raises `ConfigError`."""
    if config.database.is_sqlite and not config.database.path.exists():
        raise ConfigError(f"database.url ({config.database.where})", "there is no such file")
    if _place(config.database) == _place(to):
        raise ConfigError("--to", "is the database that is configured")

    async def work(source: Database) -> dict[str, Any]:
        if missing(await done(source)):
            raise ConfigError("database.url", "the tables are of an earlier version", "run `mantlet database migrate`")
        await recorded(config, "database.copied", to.where, notes={"from": config.database.where})
        try:
            async with open_database(to) as target:
                rows = await copy(source, target)
        except StoreUnavailable as refusal:
            raise ConfigError(f"--to ({to.where})", refusal.why) from refusal
        return {"from": config.database.where, "to": to.where, "rows": rows}

    return with_database(config, work, open_bare)


def _place(config: DatabaseConfig) -> str:
    return str(config.path.resolve()) if config.is_sqlite else config.where


def _told(config: Config, steps: list[dict[str, Any]], todo: list[int]) -> dict[str, Any]:
    return {"database": config.database.where, "version": len(steps), "known": KNOWN, "steps": steps, "missing": todo}
