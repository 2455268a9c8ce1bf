import sqlite3
import stat
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mantlet.core.api_key import ApiKeyRecord
from mantlet.core.refusal import StoreUnavailable
from mantlet.stores.sqlite import api_keys
from mantlet.stores.sqlite.api_keys import STALENESS_S, ApiKeys
from mantlet.stores.sqlite.connection import connect, migrate

RECORD = ApiKeyRecord(
    id="abc",
    hash="00" * 32,
    owner="ann",
    name="laptop",
    tenant="t",
    kind="agent",
    roles=frozenset({"a", "b"}),
    scopes=frozenset({"mcp:read"}),
    created_at_s=5.0,
    expires_at_s=99.5,
    verifier="ab" * 64,
)


class Hands:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def keys(tmp_path: Path, hands: Hands) -> Iterator[ApiKeys]:
    opened = ApiKeys(tmp_path / "mantlet.db", hands)
    yield opened
    opened.close()


def test_a_record_is_kept_whole(keys: ApiKeys, tmp_path: Path) -> None:
    """AUTHN-05"""
    keys.create(RECORD)
    assert keys.find("abc") == RECORD
    assert keys.list() == keys.list("t") == [RECORD]
    assert keys.list("other") == []
    for file in tmp_path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert RECORD.hash not in repr(RECORD)


def test_an_id_is_never_overwritten(keys: ApiKeys) -> None:
    keys.create(RECORD)
    with pytest.raises(StoreUnavailable):
        keys.create(replace(RECORD, hash="11" * 32))
    assert keys.find("abc") == RECORD


@pytest.mark.parametrize(
    "key_id", ["' OR '1'='1", "abc'; DROP TABLE api_keys; --", "abc\x00", "%", "_bc", "ABC", "", "a" * 100_000, "é"]
)
def test_odd_ids_find_nothing_and_break_nothing(keys: ApiKeys, key_id: str) -> None:
    """AUTHN-05: CVE-2026-42208."""
    keys.create(RECORD)
    assert keys.find(key_id) is None
    assert keys.revoke(key_id, 1.0) is False
    keys.touch(key_id, 1.0)
    keys.flush()
    assert keys.list() == [RECORD]


def test_a_revocation_here_acts_at_once(keys: ApiKeys) -> None:
    keys.create(RECORD)
    assert keys.find("abc") == RECORD
    assert keys.revoke("abc", 50.0)
    assert keys.find("abc") == replace(RECORD, revoked_at_s=50.0)
    assert keys.revoke("abc", 60.0)
    assert keys.list() == [replace(RECORD, revoked_at_s=50.0)]


def test_a_revocation_by_another_process_acts_within_the_staleness(keys: ApiKeys, tmp_path: Path, hands: Hands) -> None:
    """AUTHN-06, TOK-10"""
    other = ApiKeys(tmp_path / "mantlet.db", hands)
    keys.create(RECORD)
    assert keys.find("abc") is not None
    other.revoke("abc", 50.0)
    other.close()
    hands.now_s += STALENESS_S
    found = keys.find("abc")
    assert found is not None
    assert not found.is_live(51.0)
    assert STALENESS_S <= 3


def test_uses_are_written_later_and_never_go_back(keys: ApiKeys, hands: Hands) -> None:
    keys.create(RECORD)
    keys.touch("abc", 20.0)
    keys.touch("abc", 30.0)
    assert keys.list()[0].last_used_at_s is None
    keys.flush()
    keys.touch("abc", 10.0)
    keys.flush()
    assert keys.list()[0].last_used_at_s == 30.0


def test_what_is_cached_and_noted_is_bounded(keys: ApiKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_keys, "MAX_CACHED", 10)
    monkeypatch.setattr(api_keys, "MAX_TOUCHED", 10)
    for number in range(50):
        assert keys.find(f"absent{number}") is None
        keys.touch(f"absent{number}", 1.0)
    assert len(keys._cache) == len(keys._touched) == 10


def test_a_lookup_does_not_wait_for_a_writer(keys: ApiKeys, tmp_path: Path) -> None:
    keys.create(RECORD)
    writer = connect(tmp_path / "mantlet.db")
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("UPDATE api_keys SET owner = 'bob'")
    assert keys.find("abc") == RECORD
    writer.execute("ROLLBACK")
    writer.close()


def test_a_broken_database_refuses_without_its_words(keys: ApiKeys) -> None:
    """AUTHN-05: no database error reaches a caller."""
    keys._writer.execute("DROP TABLE api_keys")
    with pytest.raises(StoreUnavailable) as caught:
        keys.find("abc")
    assert "api_keys" not in caught.value.detail


def test_processes_that_start_together_migrate_once(tmp_path: Path, hands: Hands) -> None:
    start, errors = threading.Barrier(6), []

    def open_one() -> None:
        start.wait()
        try:
            ApiKeys(tmp_path / "m.db", hands).close()
        except StoreUnavailable as error:
            errors.append(error)

    threads = [threading.Thread(target=open_one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_failed_step_leaves_nothing_behind(tmp_path: Path) -> None:
    connection = connect(tmp_path / "m.db")
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, "x", ["CREATE TABLE a (b)", "nonsense"])
    migrate(connection, "x", ["CREATE TABLE a (b)"])
    migrate(connection, "x", ["CREATE TABLE a (b)", "ALTER TABLE a ADD c"])
    connection.execute("SELECT b, c FROM a")
    with pytest.raises(sqlite3.DatabaseError, match="version 2"):
        migrate(connection, "x", ["CREATE TABLE a (b)"])
    connection.close()


def test_threads_may_share_it(keys: ApiKeys) -> None:
    def work(number: int) -> None:
        for turn in range(20):
            keys.create(replace(RECORD, id=f"{number}-{turn}"))
            keys.touch(f"{number}-{turn}", 7.0)
            keys.find(f"{number}-{turn}")
            if turn % 5 == 0:
                keys.flush()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    keys.flush()
    assert len(keys.list()) == 80
    assert all(record.last_used_at_s == 7.0 for record in keys.list())


def test_keys_of_a_database_from_before_go_on_and_prove_nothing(tmp_path: Path, hands: Hands) -> None:
    path = tmp_path / "old.db"
    old = connect(path)
    migrate(old, "api_keys", api_keys._STEPS[:1])
    old.execute("INSERT INTO api_keys VALUES ('abc', 'h', 'ann', 'n', 't', 'user', '[]', '[]', 1.0, NULL, NULL, NULL)")
    old.commit()
    old.close()
    opened = ApiKeys(path, hands)
    found = opened.find("abc")
    assert found is not None
    assert (found.owner, found.verifier) == ("ann", "")
    opened.create(RECORD.__class__(id="new", hash="x", owner="bob", verifier="ab" * 64))
    assert [record.verifier for record in opened.list()] == ["ab" * 64, ""]
    opened.close()
