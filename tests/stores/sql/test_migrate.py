"""The schema in its steps, and files from before it had any."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.stores.postgres import PostgresServer

from mantlet.core.config_error import ConfigError
from mantlet.core.definition import DefinitionKey
from mantlet.core.refusal import StoreUnavailable
from mantlet.core.revocation import Revocation
from mantlet.stores.sql import migrate as module
from mantlet.stores.sql.api_keys import ApiKeys
from mantlet.stores.sql.changes import Changes
from mantlet.stores.sql.config import DatabaseConfig
from mantlet.stores.sql.grants import GrantRows
from mantlet.stores.sql.kills import KillRows
from mantlet.stores.sql.logins import LoginRows
from mantlet.stores.sql.migrate import done
from mantlet.stores.sql.names import NameRows
from mantlet.stores.sql.opening import open_database
from mantlet.stores.sql.pins import PinRows
from mantlet.stores.sql.revocations import RevocationRows
from mantlet.stores.sql.schema import KNOWN, STEPS, Step

BEFORE = (Path(__file__).parent / "before.sql").read_text()
"""A file as it was when each kind of table counted steps of its own, with a row in each."""


@pytest.fixture(params=["sqlite", "postgresql"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> DatabaseConfig:
    if request.param == "sqlite":
        return DatabaseConfig(url=f"sqlite:///{tmp_path}/mantlet.db")
    server: PostgresServer = request.getfixturevalue("postgres")
    return DatabaseConfig(url=server.url())


def test_steps_are_numbered_without_gaps() -> None:
    assert [step.number for step in STEPS] == list(range(1, KNOWN + 1))
    assert len({step.name for step in STEPS}) == KNOWN


@pytest.mark.parametrize("has_verifiers", [True, False])
async def test_a_file_from_before_is_brought_up_and_nothing_in_it_is_lost(tmp_path: Path, has_verifiers: bool) -> None:
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path)) as old:
        old.executescript(BEFORE)
        if not has_verifiers:
            old.execute("ALTER TABLE api_keys DROP COLUMN verifier")
            old.execute("UPDATE schema_version SET version = 1 WHERE component = 'api_keys'")
            old.commit()
    for _ in range(2):
        async with open_database(DatabaseConfig(url=f"sqlite:///{path}")) as database:
            changes = Changes(database, lambda: 0.0)
            keys, pins = ApiKeys(database, changes), PinRows(database, changes)
            await changes.look()
            record = await keys.find("abc")
            assert record is not None
            assert (record.owner, record.verifier) == ("ann", "v" if has_verifiers else "")
            assert await NameRows(database).owners("tools") == {"one__echo": ("one", "echo")}
            assert await KillRows(database).rows() == {("tool", "rm"): ("why", "root", 5.0)}
            assert [row.id for row in await LoginRows(database).all()] == ["login"]
            key = DefinitionKey("one", "tools", "echo")
            assert pins.load()[0].keys() == {key}
            assert pins.load()[1][key].why == "changed"
            assert (await GrantRows(database).find(("docs", "acme", "iss", "ann"))) == (
                "sealed", "k", 1, "https://as", "read", 1.0, 2.0,
            )  # fmt: skip
            rows = RevocationRows(database)
            number, found = await rows.since(0)
            assert [one.id for one in found][:1] == ["r1"]
            assert number >= 7
    await _revokes_after(tmp_path / "old.db")
    with closing(sqlite3.connect(path)) as seen:
        assert min(version for (version,) in seen.execute("SELECT version FROM schema_version")) >= 1_000


async def _revokes_after(path: Path) -> None:
    """Numbers go on where the old file's were: nobody who has read up to 7 misses the next."""
    async with open_database(DatabaseConfig(url=f"sqlite:///{path}")) as database:
        rows = RevocationRows(database)
        await rows.add([Revocation("r2", "token", "", "i", "v", 1.0, 9e9)], 2.0)
        assert [one.id for one in (await rows.since(7))[1]] == ["r2"]


async def test_a_newer_schema_is_refused_with_what_to_do(config: DatabaseConfig) -> None:
    async with open_database(config) as database, database.transaction() as transaction:
        await transaction.run(
            "INSERT INTO schema_steps (number, name, at, program) VALUES (?1, 'wonders', 1, '9.9')", KNOWN + 1
        )
    with pytest.raises(ConfigError, match=r"Mantlet 9\.9 .*start the newer version"):
        async with open_database(config):
            pass


async def test_a_step_that_fails_leaves_all_as_it_was(config: DatabaseConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Step(KNOWN + 1, "broken", ("CREATE TABLE half (a TEXT)", "nonsense"))
    async with open_database(config) as database:
        monkeypatch.setattr(module, "STEPS", (*STEPS, broken))
        monkeypatch.setattr(module, "KNOWN", KNOWN + 1)
        with pytest.raises(StoreUnavailable):
            await module.migrate(database)
        assert len(await done(database)) == KNOWN
        assert not await database.has_table("half")
        monkeypatch.setattr(module, "STEPS", (*STEPS, Step(KNOWN + 1, "mended", ("CREATE TABLE half (a TEXT)",))))
        assert [step.name for step in await module.migrate(database)] == ["mended"]
        assert await database.has_table("half")
        assert (await done(database))[-1].name == "mended"


async def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "garbage.db").write_bytes(b"not a database, but long enough to be looked at as one" * 20)
    with pytest.raises(StoreUnavailable, match="not a database"):
        async with open_database(DatabaseConfig(url=f"sqlite:///{tmp_path}/garbage.db")):
            pass
