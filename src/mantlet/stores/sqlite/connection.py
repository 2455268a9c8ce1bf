"""Opening a database file, and bringing its tables to today's shape in small explicit steps."""

import os
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

BUSY_TIMEOUT_MS: Final = 2_000
"""How long a writer waits for another process's write; readers in WAL mode wait for nobody."""


def connect(path: str | Path) -> sqlite3.Connection:
    """An autocommitting connection in WAL mode to an owner-only file. Open it after forking, never before."""
    path = Path(path)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Made by hand first: SQLite would make it readable for all, and its -wal and -shm files take the mode of this one.
    # Only made, and never opened when it is there: closing a file ends every lock that this process has on it
    # (POSIX), another process then takes itself for the last user, and removes the log from under our connections.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")  # a revocation that was acknowledged survives a power cut
    connection.execute("PRAGMA trusted_schema=OFF")
    return connection


def migrate(connection: sqlite3.Connection, component: str, steps: Sequence[str]) -> None:
    """Run those of `steps` that `component` has not seen; all or none, and once even if processes start together.

    A database of a newer program is refused with `sqlite3.DatabaseError`.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute("CREATE TABLE IF NOT EXISTS schema_version (component TEXT PRIMARY KEY, version INTEGER)")
        row = connection.execute("SELECT version FROM schema_version WHERE component = ?", (component,)).fetchone()
        done = row[0] if row else 0
        if done > len(steps):
            raise sqlite3.DatabaseError(f"{component} has version {done}, this program knows {len(steps)}")
        for step in steps[done:]:
            connection.execute(step)
        connection.execute("INSERT OR REPLACE INTO schema_version VALUES (?, ?)", (component, len(steps)))
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
