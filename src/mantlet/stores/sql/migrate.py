"""Bringing a database to the shape that this version works with, and refusing one that a newer version has brought on.

Processes and nodes that start together do it once: the second waits, and finds it done. A step is done whole or not
at all; after one that fails the database is as it was.
"""

from dataclasses import dataclass
from time import time

from mantlet import __version__
from mantlet.core.config_error import ConfigError
from mantlet.stores.sql.before import adopt
from mantlet.stores.sql.database import Database, Transaction
from mantlet.stores.sql.schema import KNOWN, STEPS, Step

_TABLE = """CREATE TABLE IF NOT EXISTS schema_steps (
    number BIGINT PRIMARY KEY, name TEXT NOT NULL, at DOUBLE PRECISION NOT NULL, program TEXT NOT NULL)"""


@dataclass(frozen=True, slots=True)
class Done:
    """A step that the database has seen: when, and by which version of the program."""

    number: int
    name: str
    at_s: float
    program: str


async def migrate(database: Database) -> list[Step]:
    """Do what is missing; gives that. Raises `ConfigError` for a newer schema, `StoreUnavailable`."""
    if not missing(await done(database)):
        return []
    async with database.transaction() as transaction:
        await transaction.alone("schema")
        # PostgreSQL: `IF NOT EXISTS` alone does not keep two from making it at once.
        await transaction.run(_TABLE)
        todo = missing(await _read(transaction))  # another may have been faster
        if todo and todo[0].number == 1 and not database.is_shared:
            await adopt(transaction)
        for step in todo:
            for statement in step.statements:
                await transaction.run(statement)
            await transaction.run(
                "INSERT INTO schema_steps (number, name, at, program) VALUES (?1, ?2, ?3, ?4)",
                step.number, step.name, time(), __version__,
            )  # fmt: skip
    return todo


async def done(database: Database) -> list[Done]:
    """What the database has seen. Changes nothing, and needs no right to. Raises `StoreUnavailable`."""
    return await _read(database) if await database.has_table("schema_steps") else []


def missing(seen: list[Done]) -> list[Step]:
    """The steps to do. Raises `ConfigError` when the database has seen one that this program does not know."""
    if seen and (newest := seen[-1]).number > KNOWN:
        raise ConfigError(
            "database.url",
            f"Mantlet {newest.program} has brought its tables to version {newest.number} ({newest.name}), "
            f"and this is Mantlet {__version__}, which knows {KNOWN}",
            "start the newer version, or use the copy that was made before it",
        )
    return list(STEPS[len(seen) :])


async def _read(source: Database | Transaction) -> list[Done]:
    found = await source.rows("SELECT number, name, at, program FROM schema_steps ORDER BY number")
    return [Done(*row) for row in found]
