"""A node's copy of its kill switches in SQLite (`policies.kill.switches.Copy`)."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from mantlet.core.refusal import StoreUnavailable
from mantlet.stores.sqlite.connection import connect, migrate

_STEPS: Final = (
    """CREATE TABLE kills (
        kind TEXT NOT NULL, name TEXT NOT NULL, reason TEXT NOT NULL, by TEXT NOT NULL, at REAL NOT NULL,
        PRIMARY KEY (kind, name)) WITHOUT ROWID""",
)
Row = tuple[str, str, float]
"""Reason, by whom, since when."""


class SqliteKills:
    """Written by hand of an operator, so it stands in the event loop: some milliseconds a change."""

    def __init__(self, path: str | Path) -> None:
        with _translated():
            self._database = connect(path)
            migrate(self._database, "kills", _STEPS)

    def rows(self) -> dict[tuple[str, str], Row]:
        """All of them: (kind, name) to row. Raises `StoreUnavailable`."""
        with _translated():
            found = self._database.execute("SELECT kind, name, reason, by, at FROM kills ORDER BY at, kind, name")
            return {(kind, name): (reason, by, at_s) for kind, name, reason, by, at_s in found}

    def write(self, rows: Mapping[tuple[str, str], Row]) -> None:
        """Keep these and no others. Raises `StoreUnavailable`, and then all is as it was."""
        with _translated():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                self._database.execute("DELETE FROM kills")
                self._database.executemany(
                    "INSERT INTO kills (kind, name, reason, by, at) VALUES (?, ?, ?, ?, ?)",
                    [(*switch, *row) for switch, row in rows.items()],
                )
            except sqlite3.Error:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreUnavailable(why=f"kill switches: {error}") from error
