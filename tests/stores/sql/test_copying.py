"""From one database into another, of either kind."""

from pathlib import Path

import pytest
from tests.stores.postgres import PostgresServer

from mantlet.core.config_error import ConfigError
from mantlet.core.refusal import StoreUnavailable
from mantlet.stores.sql.config import DatabaseConfig
from mantlet.stores.sql.copying import AT_ONCE, TABLES, copy
from mantlet.stores.sql.database import Database, Value
from mantlet.stores.sql.opening import open_database


def file(folder: Path, name: str) -> DatabaseConfig:
    return DatabaseConfig(url=f"sqlite:///{folder}/{name}.db")


async def columns_of(database: Database, table: str) -> list[str]:
    return [str(name) for (name,) in await database.rows("SELECT name FROM pragma_table_info(?1)", table)]


async def fill(database: Database, rows: int = 3) -> None:
    """Some in each table, of the kinds that its columns take, with texts that have to be passed on as they are."""
    async with database.transaction() as transaction:
        for table, columns in TABLES.items():
            if table == "changes":
                await transaction.run("UPDATE changes SET number = number + 7")
                continue
            kinds = dict(await transaction.rows("SELECT name, type FROM pragma_table_info(?1)", table))
            places = ", ".join(f"?{place}" for place in range(1, len(columns) + 1))
            values: list[list[Value]] = [[_value(kinds[column], row) for column in columns] for row in range(rows)]
            await transaction.many(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})", values)


def _value(kind: str, row: int) -> Value:
    match kind:
        case "BIGINT":
            return 2**53 + row
        case "DOUBLE PRECISION":
            return 1_700_000_000.123456 + row
    return f"née '; DROP TABLE pins; -- \U0001f512 {row}"


async def everything(database: Database) -> dict[str, list[tuple[object, ...]]]:
    return {
        table: sorted(await database.rows(f"SELECT {', '.join(columns)} FROM {table}"), key=str)
        for table, columns in TABLES.items()
    }


async def test_every_table_and_column_there_is_is_copied(tmp_path: Path) -> None:
    """One that is added to the schema is added here, or this fails."""
    async with open_database(file(tmp_path, "one")) as database:
        found = await database.rows("SELECT name FROM sqlite_master WHERE type = 'table'")
        assert {name for (name,) in found} == {*TABLES, "schema_steps"}
        for table, columns in TABLES.items():
            assert sorted(await columns_of(database, table)) == sorted(columns), table


async def test_what_is_copied_is_the_same_there_and_back(tmp_path: Path, postgres: PostgresServer) -> None:
    async with (
        open_database(file(tmp_path, "one")) as one,
        open_database(DatabaseConfig(url=postgres.url())) as server,
        open_database(file(tmp_path, "two")) as two,
    ):
        await fill(one, AT_ONCE + 1)
        told = await copy(one, server)
        assert {table: number for table, number in told.items() if number != AT_ONCE + 1} == {"changes": 5}
        await copy(server, two)
        assert await everything(one) == await everything(server) == await everything(two)


async def test_one_that_is_not_empty_is_left_as_it_is(tmp_path: Path) -> None:
    async with open_database(file(tmp_path, "one")) as one, open_database(file(tmp_path, "two")) as two:
        await fill(one)
        async with two.transaction() as transaction:
            await transaction.run("INSERT INTO facts (name, value) VALUES ('mine', '1')")
        before = await everything(two)
        with pytest.raises(ConfigError, match="not empty: 1 rows in facts"):
            await copy(one, two)
        assert await everything(two) == before


async def test_a_copy_that_fails_half_way_leaves_nothing(tmp_path: Path, postgres: PostgresServer) -> None:
    """What one engine takes and the other does not: text with a zero byte."""
    async with (
        open_database(file(tmp_path, "one")) as one,
        open_database(DatabaseConfig(url=postgres.url())) as server,
    ):
        await fill(one)
        before = await everything(server)
        async with one.transaction() as transaction:
            await transaction.run("UPDATE revocations SET value = ?1 WHERE number = ?2", "a\x00b", 2**53)
        with pytest.raises(StoreUnavailable):
            await copy(one, server)
        assert await everything(server) == before
