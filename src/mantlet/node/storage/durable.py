"""What outlives the process, opened: one database for all of it, and one look a second at what others wrote there."""

import hashlib
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from mantlet.core.clock import SYSTEM
from mantlet.core.config_error import ConfigError
from mantlet.core.refusal import StoreUnavailable
from mantlet.core.tasks import Tasks
from mantlet.events.metrics import Metrics
from mantlet.keys.api_keys import read_pepper
from mantlet.node.config.model import Config
from mantlet.node.housekeeping import every, log
from mantlet.stores.sql.api_keys import ApiKeys
from mantlet.stores.sql.changes import LOOK_S, Changes
from mantlet.stores.sql.config import DatabaseConfig
from mantlet.stores.sql.database import Database
from mantlet.stores.sql.facts import claim_fact
from mantlet.stores.sql.opening import open_database

FLUSH_S: Final = 5.0
"""How often uses of API keys are written down."""
_PEPPER: Final = "api-keys.pepper"


@dataclass(frozen=True, slots=True)
class Durable:
    """One for a process and all generations of its configuration."""

    database: Database
    changes: Changes
    api_keys: ApiKeys

    async def look(self) -> None:
        """Take what others wrote, and tell when the database stops answering, and when it does again."""
        was_failing = self.changes.is_failing
        try:
            await self.changes.look()
        except StoreUnavailable as refusal:
            if not was_failing:
                log.error("database.lost", why=refusal.why)
            return
        if was_failing:
            log.warning("database.back")
        await self.api_keys.look()

    def quiet(self, work: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        """`work`, of which it need not be told every second that the database does not answer."""

        async def quietly() -> None:
            try:
                await work()
            except StoreUnavailable:
                if not self.changes.is_failing:
                    raise

        return quietly


@asynccontextmanager
async def open_durable(config: Config) -> AsyncIterator[Durable]:
    """Open it. Raises `ConfigError`, and `StoreUnavailable` when the database gives no answer."""
    async with opened_database(config.database) as database:
        changes = Changes(database, SYSTEM.monotonic)
        durable = Durable(database, changes, ApiKeys(database, changes))
        await changes.look()
        yield durable
        try:
            await durable.api_keys.flush()
        except StoreUnavailable as refusal:  # what is lost is when keys were last used
            log.warning("database.flush", why=refusal.why)


def keep_durable(durable: Durable, metrics: Metrics, tasks: Tasks) -> None:
    """Follow what others write, from now on."""
    tasks.start(every(LOOK_S, durable.look), "database.look")
    tasks.start(every(FLUSH_S, durable.quiet(durable.api_keys.flush)), "api_keys.flush")
    metrics.gauge(  # beyond a few seconds API keys are refused, because nobody knows whether they are revoked
        "mantlet_database_stale_seconds", "Since the database last answered", lambda: durable.changes.stale_s, "max"
    )


@asynccontextmanager
async def opened_database(config: DatabaseConfig) -> AsyncIterator[Database]:
    """The database that `config` names, for a node or for one command. Raises as `open_durable`."""
    async with open_database(config) as database:
        if database.is_shared:
            await _check_pepper(config, database)
        yield database


async def _check_pepper(config: DatabaseConfig, database: Database) -> None:
    """Of nodes that share their keys each must be able to check them: found out at start, not by a customer."""
    mark = hmac.new(read_pepper(config.pepper_path), b"mantlet/pepper-mark/v1", hashlib.sha256).hexdigest()
    if await claim_fact(database, _PEPPER, mark) != mark:
        raise ConfigError(
            str(config.pepper_path),
            "is not the key that this database's API keys were made with",
            "copy keys/ of a node that shares the database; docs/database.md tells what to do when it is lost",
        )
