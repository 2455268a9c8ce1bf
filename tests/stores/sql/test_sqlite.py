"""One file, several connections and several processes: nobody's closing may end another's locks."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from mantlet.core.refusal import StoreUnavailable
from mantlet.stores.sql.sqlite import SqliteDatabase, connect

WRITE = """
import sys
from mantlet.stores.sql.sqlite import connect
database = connect(sys.argv[1])
database.execute("INSERT INTO things VALUES (?)", (sys.argv[2],))
database.close()
"""


def other_process(path: Path, word: str) -> None:
    subprocess.run([sys.executable, "-c", WRITE, str(path), word], check=True, timeout=30)


def test_a_process_that_comes_and_goes_takes_nothing_from_those_that_stay(tmp_path: Path) -> None:
    """AUTHN-05, TOK-10: a revocation by the command line is seen by the node, and the file stays whole.

    Opening the file by hand and closing it again would end the locks of all connections of this process (POSIX): the
    other process, closing, takes itself for the last and removes the log that ours still read and write.
    """
    path = tmp_path / "some.db"
    first = connect(path)
    first.execute("CREATE TABLE things (name TEXT)")
    first.execute("SELECT * FROM things").fetchall()
    second = connect(path)
    for word in ("one", "two", "three"):
        other_process(path, word)
        assert word in [name for (name,) in first.execute("SELECT name FROM things")]
        second.execute("INSERT INTO things VALUES (?)", (f"own {word}",))
    assert (path.with_name("some.db-wal")).exists()
    assert len(first.execute("SELECT name FROM things").fetchall()) == 6
    for database in (first, second):
        database.close()
    whole = sqlite3.connect(path)
    assert whole.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert len(whole.execute("SELECT name FROM things").fetchall()) == 6
    whole.close()
    assert path.stat().st_mode & 0o077 == 0


async def test_a_file_that_was_exchanged_is_believed_no_longer(tmp_path: Path) -> None:
    """TOK-10: what is revoked from then on is revoked in the other file."""
    path, aside = tmp_path / "some.db", tmp_path / "aside.db"
    database = SqliteDatabase(path)
    await database.open()
    try:
        assert await database.rows("SELECT 1") == [(1,)]
        path.rename(aside)
        with pytest.raises(StoreUnavailable, match="exchanged or taken away"):
            await database.rows("SELECT 1")
        connect(path).close()
        with pytest.raises(StoreUnavailable, match="start the node anew"):
            async with database.transaction():
                pass
        aside.rename(path)
        assert await database.rows("SELECT 1") == [(1,)], "it is the old one again"
    finally:
        await database.close()
