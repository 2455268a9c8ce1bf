"""One command's work in the configured database, without a node."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from mantlet.core.config_error import ConfigError
from mantlet.core.refusal import StoreUnavailable
from mantlet.node.config import Config
from mantlet.node.durable import opened_database
from mantlet.stores.sql.database import Database

T = TypeVar("T")


def with_database(config: Config, work: Callable[[Database], Awaitable[T]]) -> T:
    """Open it, do `work`, close it. Raises `ConfigError`."""

    async def whole() -> T:
        async with opened_database(config.database) as database:
            return await work(database)

    try:
        return asyncio.run(whole())
    except (StoreUnavailable, OSError, ModuleNotFoundError) as error:
        said = error.why if isinstance(error, StoreUnavailable) else str(error)
        raise ConfigError(f"database.url ({config.database.where})", said) from error
