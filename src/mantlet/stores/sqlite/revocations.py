"""Revocations of tokens in SQLite: durable, and seen by every process that has the file open."""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from mantlet.core.refusal import StoreUnavailable
from mantlet.core.revocation import Revocation
from mantlet.stores.sqlite.connection import connect, migrate

_STEPS: Final = (
    """CREATE TABLE revocations (
        number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, tenant TEXT NOT NULL,
        issuer TEXT NOT NULL, value TEXT NOT NULL, at REAL NOT NULL, until REAL NOT NULL)""",
)
_FIELDS: Final = "id, kind, tenant, issuer, value, at, until"


class RevocationRows:
    """Read every second by number (about 10 µs when nothing is new), so it stands in the event loop."""

    def __init__(self, path: str | Path) -> None:
        self._lock = threading.Lock()
        with _translated():
            self._database = connect(path)
            migrate(self._database, "revocations", _STEPS)

    def add(self, revocations: Sequence[Revocation], now_s: float) -> None:
        """Keep those that are not known, and forget those that are over. Raises `StoreUnavailable`."""
        with self._lock, _translated():
            self._database.execute("BEGIN IMMEDIATE")  # one wait for the disk, not one a row
            try:
                self._database.executemany(
                    f"INSERT OR IGNORE INTO revocations ({_FIELDS}) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
                    [
                        (one.id, one.kind, one.tenant, one.issuer, one.value, one.at_s, one.until_s)
                        for one in revocations
                    ],
                )
                self._database.execute("DELETE FROM revocations WHERE until < ?", (now_s,))
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")

    def since(self, number: int) -> tuple[int, list[Revocation]]:
        """Those that came after `number`, and the number of the last. Raises `StoreUnavailable`."""
        query = f"SELECT number, {_FIELDS} FROM revocations WHERE number > ? ORDER BY number"  # noqa: S608 - constants
        with self._lock, _translated():
            rows = self._database.execute(query, (number,)).fetchall()
        return (rows[-1][0] if rows else number), [Revocation(*row[1:]) for row in rows]

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreUnavailable(why=f"revocations: {error}") from error
