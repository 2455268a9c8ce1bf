"""Exposed names in SQLite: the first to claim a name has it for ever, whichever worker asks (`core.ports.Names`)."""

import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from mantlet.core.refusal import StoreUnavailable
from mantlet.stores.sqlite.connection import connect, migrate

_STEPS: Final = (
    """CREATE TABLE exposed_names (
        kind TEXT NOT NULL, exposed TEXT NOT NULL, server TEXT NOT NULL, name TEXT NOT NULL,
        PRIMARY KEY (kind, exposed)) WITHOUT ROWID""",
)
Owners = Mapping[str, tuple[str, str]]


class SqliteNames:
    """Read seldom and written once a name, so it stands in the event loop: a read takes some 20 µs a hundred names."""

    def __init__(self, path: str | Path) -> None:
        self._lock = threading.Lock()
        with _translated():
            self._database = connect(path)
            migrate(self._database, "exposed_names", _STEPS)

    async def owners(self, kind: str) -> Owners:
        """All names of `kind`. Raises `StoreUnavailable`."""
        with self._lock, _translated():
            rows = self._database.execute("SELECT exposed, server, name FROM exposed_names WHERE kind = ?", (kind,))
            return {exposed: (server, name) for exposed, server, name in rows}

    async def claim(self, kind: str, names: Owners) -> Owners:
        """Give each name to its claimant unless somebody has it. One statement a name, each atomic."""
        with self._lock, _translated():
            self._database.executemany(
                "INSERT OR IGNORE INTO exposed_names (kind, exposed, server, name) VALUES (?, ?, ?, ?)",
                [(kind, exposed, server, name) for exposed, (server, name) in names.items()],
            )
        return await self.owners(kind)

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreUnavailable(why=f"names: {error}") from error
