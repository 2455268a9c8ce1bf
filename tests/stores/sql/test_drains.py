"""Endpoints that are drained, as the database keeps them."""

from pathlib import Path

import pytest
from tests.stores.postgres import PostgresServer

from mantlet.stores.sql.config import DatabaseConfig
from mantlet.stores.sql.drains import KEPT_S, DrainRows
from mantlet.stores.sql.opening import open_database


@pytest.fixture(params=["sqlite", "postgresql"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> DatabaseConfig:
    if request.param == "sqlite":
        return DatabaseConfig(url=f"sqlite:///{tmp_path}/mantlet.db")
    server: PostgresServer = request.getfixturevalue("postgres")
    return DatabaseConfig(url=server.url())


async def test_orders_are_kept_replaced_and_taken_back_and_counted(config: DatabaseConfig) -> None:
    """RES-05"""
    now_s = 1_000.0
    async with open_database(config) as database:
        rows = DrainRows(database, lambda: now_s)
        assert not await rows.order(("docs", "a"), 5.5, "root")
        assert await rows.order(("docs", "a"), 7.25, "root")
        assert not await rows.order(("docs", "b"), 9.0, "root")
        assert not await rows.order(("docs", "c"), None, "root")
        other = DrainRows(database, lambda: now_s)
        await other.load()
        assert other.table == rows.table == {("docs", "a"): 7.25, ("docs", "b"): 9.0}
        assert await other.order(("docs", "a"), None, "root")
        assert other.table == {("docs", "b"): 9.0}
        assert await database.rows("SELECT number FROM changes WHERE name = 'drains'") == [(5,)]


async def test_what_nobody_takes_back_is_forgotten_after_a_month(config: DatabaseConfig) -> None:
    now_s = 1_000.0
    async with open_database(config) as database:
        rows = DrainRows(database, lambda: now_s)
        await rows.order(("docs", "gone"), 5.0, "root")
        now_s += KEPT_S + 1
        await rows.load()
        assert rows.table == {}
        await rows.order(("docs", "a"), 7.0, "root")
        assert await database.rows("SELECT endpoint FROM drains") == [("a",)]
