"""What only a server has: it can be away, hang, be somebody else, or not be ours to change."""

import asyncio
import ssl
from collections.abc import Iterator

import pytest
from tests.stores.authority import Authority
from tests.stores.postgres import PostgresServer, behind_tls, binaries, running_postgres

from mantlet.core.config_error import ConfigError
from mantlet.core.refusal import StoreUnavailable
from mantlet.core.secret import Secret
from mantlet.stores.sql.config import DatabaseConfig
from mantlet.stores.sql.migrate import done
from mantlet.stores.sql.opening import open_bare, open_database
from mantlet.stores.sql.postgres import PostgresDatabase
from mantlet.stores.sql.schema import KNOWN


@pytest.fixture(scope="module")
def own() -> Iterator[PostgresServer]:
    """One to stop and to pause."""
    with running_postgres() as server:
        yield server


def config(server: PostgresServer, query: str = "", **more: object) -> DatabaseConfig:
    return DatabaseConfig(url=f"{server.where}{query}", timeout=0.4, **more)  # type: ignore[arg-type]


async def expect_verified(where: str, password: str, authority: Authority) -> None:
    """Each `sslmode` does what it says with a server whose certificate `authority` issued to 127.0.0.1."""
    for mode, host, ca_file in (
        ("require", "127.0.0.1", None),
        ("verify-ca", "localhost", authority.ca_file),
        ("verify-full", "127.0.0.1", authority.ca_file),
    ):
        url = f"{where.replace('127.0.0.1', host)}?sslmode={mode}"
        async with open_bare(DatabaseConfig(url=url, ca_file=ca_file)) as database:
            assert await database.rows("SELECT 1") == [(1,)]
    for mode, host, ca_file in (
        ("verify-ca", "127.0.0.1", None),  # nobody whom this machine knows has vouched for it
        ("verify-full", "localhost", authority.ca_file),  # it is somebody else
    ):
        url = f"{where.replace('127.0.0.1', host)}?sslmode={mode}"
        with pytest.raises(StoreUnavailable, match=r"(?i)certificate") as refused:
            async with open_bare(DatabaseConfig(url=url, ca_file=ca_file)):
                pass
        assert password not in refused.value.why


async def test_tls_is_verified_and_never_given_up(
    postgres: PostgresServer, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TLS-04"""
    # What a user's environment says is not asked: a driver left to itself would go on in clear with this.
    monkeypatch.setenv("PGSSLMODE", "disable")
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    served.load_cert_chain(*authority.issue("postgres"))
    async with behind_tls(postgres, served) as port:
        there = postgres.where.replace(str(postgres.port), str(port))
        await expect_verified(there, postgres.password, authority)
    with pytest.raises(StoreUnavailable, match="rejected SSL upgrade"):  # it has none
        async with open_bare(DatabaseConfig(url=f"{postgres.where}?sslmode=require")):
            pass


@pytest.mark.slow
async def test_a_server_that_speaks_tls_itself_is_verified_and_takes_a_certificate(authority: Authority) -> None:
    """TLS-04"""
    bins = binaries(with_tls=True)
    if bins is None:
        pytest.skip("no PostgreSQL here that was built with TLS")
    server = PostgresServer(bins, (*authority.issue("pg"), authority.ca_file))
    try:
        await expect_verified(server.where, server.password, authority)
        async with open_database(DatabaseConfig(url=f"{server.where}?sslmode=verify-full", ca_file=authority.ca_file)):
            pass
        with pytest.raises(StoreUnavailable, match="no encryption"):
            async with open_bare(DatabaseConfig(url=f"{server.where}?sslmode=disable")):
                pass
        server.sql("CREATE USER certified; GRANT ALL ON SCHEMA public TO certified")
        cert_file, key_file = authority.issue("certified")
        own = f"postgresql://certified@127.0.0.1:{server.port}/postgres?sslmode=verify-full"
        given = DatabaseConfig(url=own, ca_file=authority.ca_file, cert_file=cert_file, key_file=key_file)
        async with open_bare(given) as database:
            assert await database.rows("SELECT current_user") == [("certified",)]
        with pytest.raises(StoreUnavailable, match="certificate"):
            async with open_bare(DatabaseConfig(url=own, ca_file=authority.ca_file)):
                pass
    finally:
        server.close()


@pytest.mark.parametrize("word", ["wrong", ""])
async def test_a_wrong_password_is_told_and_not_repeated(
    postgres: PostgresServer, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", postgres.password)
    url = postgres.where.replace(f":{postgres.password}@", f":{word}@" if word else "@")
    with pytest.raises(StoreUnavailable, match="password") as refused:
        async with open_bare(DatabaseConfig(url=url)):
            pass
    assert "gate@127.0.0.1" in refused.value.why
    for secret in (postgres.password, "wrong"):
        assert secret not in refused.value.why


async def test_the_password_may_stand_by_itself(postgres: PostgresServer) -> None:
    url = postgres.where.replace(f":{postgres.password}@", "@")
    async with open_bare(DatabaseConfig(url=url, password=Secret(postgres.password))) as database:
        assert await database.rows("SELECT 1") == [(1,)]


async def test_a_server_that_is_away_is_told_at_once_and_found_again_by_itself(own: PostgresServer) -> None:
    own.url()
    async with open_database(config(own)) as database:
        own.stop()
        with pytest.raises(StoreUnavailable):
            await database.rows("SELECT 1")
        with pytest.raises(StoreUnavailable):
            async with open_bare(config(own)):
                pass
        own.start()
        assert await database.rows("SELECT 1") == [(1,)]
        async with database.transaction() as transaction:
            assert await transaction.rows("SELECT 1") == [(1,)]


async def test_a_restart_in_between_is_not_noticed_by_a_reader(own: PostgresServer) -> None:
    async with open_bare(config(own)) as database:
        assert await database.rows("SELECT 1") == [(1,)]
        own.stop()
        own.start()
        assert await database.rows("SELECT 1") == [(1,)]


async def test_a_server_that_hangs_gives_no_answer_in_time_and_takes_nobody_with_it(own: PostgresServer) -> None:
    async with open_bare(config(own, max_connections=2)) as database:
        await database.rows("SELECT 1")
        own.pause()
        try:
            for _ in range(2):
                async with asyncio.timeout(5):
                    answers = await asyncio.gather(
                        *(database.rows("SELECT 1") for _ in range(20)), return_exceptions=True
                    )
                assert all(isinstance(answer, StoreUnavailable) for answer in answers)
        finally:
            own.resume()
        for _ in range(10):  # until the server has seen that the old connections are gone
            try:
                assert await database.rows("SELECT 1") == [(1,)]
            except StoreUnavailable:
                continue
            break
        else:
            pytest.fail("it does not come back")
        assert await asyncio.gather(*(database.rows("SELECT 1") for _ in range(20))) == [[(1,)]] * 20


async def test_who_waits_is_counted(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from mantlet.stores.sql import postgres as module

    monkeypatch.setattr(module, "MAX_WAITERS", 3)
    async with open_bare(config(postgres, max_connections=1)) as database:
        async with database.transaction():
            waiting = [asyncio.ensure_future(database.rows("SELECT 1")) for _ in range(5)]
            done_now, _ = await asyncio.wait(waiting, timeout=0.1)
            assert len(done_now) == 2
            assert all("wait for it already" in str(task.exception()) for task in done_now)
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert answers.count([(1,)]) == 3


async def test_a_process_that_stops_within_a_transaction_keeps_nobody_from_writing_for_ever(
    postgres: PostgresServer,
) -> None:
    """The others give up in time; the server ends the transaction of the one that says nothing."""
    async with (
        open_bare(config(postgres)) as one,
        open_bare(config(postgres)) as two,
        one.transaction() as transaction,
    ):
        await transaction.alone("it")
        found = await transaction.rows("SELECT current_setting('idle_in_transaction_session_timeout')")
        assert found == [("10s",)]
        with pytest.raises(StoreUnavailable):
            await _alone(two)


async def _alone(database: PostgresDatabase | object) -> None:
    async with database.transaction() as transaction:  # type: ignore[attr-defined]
        await transaction.alone("it")


async def test_a_user_who_may_not_change_tables_is_enough_once_they_stand(postgres: PostgresServer) -> None:
    url = postgres.url()
    async with open_database(DatabaseConfig(url=url)):
        pass
    postgres.sql(
        "DROP ROLE IF EXISTS writer; CREATE ROLE writer LOGIN PASSWORD 'w';"
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC; GRANT USAGE ON SCHEMA public TO writer;"
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO writer"
    )
    mine = DatabaseConfig(url=url.replace(f"gate:{postgres.password}", "writer:w"))
    async with open_database(mine) as database:
        assert len(await done(database)) == KNOWN
    postgres.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public; DROP OWNED BY writer; DROP ROLE writer")


async def test_a_database_that_only_reads_is_no_database_to_write_to(postgres: PostgresServer) -> None:
    url = postgres.url()
    async with open_database(DatabaseConfig(url=url)) as database:
        with pytest.raises(StoreUnavailable, match="read-only"):
            await _write_read_only(database)


async def _write_read_only(database: object) -> None:
    async with database.transaction() as transaction:  # type: ignore[attr-defined]
        await transaction.run("SET TRANSACTION READ ONLY")
        await transaction.run("INSERT INTO facts (name, value) VALUES ('a', 'b')")


async def test_missing_tables_are_left_to_who_asked_for_it(postgres: PostgresServer) -> None:
    with pytest.raises(ConfigError, match="mantlet database migrate"):
        async with open_database(DatabaseConfig(url=postgres.url(), auto_migrate=False)):
            pass


def test_certificates_that_cannot_be_read_are_found_without_connecting(authority: Authority) -> None:
    from mantlet.stores.sql.postgres import tls_context

    url = "postgresql://gate@db.example/mantlet"
    with pytest.raises(OSError, match="No such file"):
        tls_context(DatabaseConfig(url=url, ca_file="/nowhere"))
    context = tls_context(DatabaseConfig(url=url, ca_file=authority.ca_file))
    assert context is not None
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
