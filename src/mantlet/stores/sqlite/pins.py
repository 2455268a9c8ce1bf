"""Pins and quarantine in SQLite (`policies.pins.store.PinStore`): one truth for the workers of a node.

Read when somebody wrote, which a counter tells in some 10 us; written a few times in the life of a tool. So it stands
in the event loop.
"""

import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from mantlet.core.definition import Definition, DefinitionKey, Held, Pin
from mantlet.core.refusal import StoreUnavailable
from mantlet.stores.sqlite.connection import connect, migrate

_STEPS: Final = (
    """CREATE TABLE pins (
        server TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, hash TEXT NOT NULL, definition TEXT NOT NULL,
        at_s REAL NOT NULL, by TEXT NOT NULL, PRIMARY KEY (server, kind, name)) WITHOUT ROWID""",
    """CREATE TABLE quarantine (
        server TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, hash TEXT NOT NULL, definition TEXT NOT NULL,
        why TEXT NOT NULL, at_s REAL NOT NULL, is_rejected INTEGER NOT NULL,
        PRIMARY KEY (server, kind, name)) WITHOUT ROWID""",
    "CREATE TABLE pins_written (one INTEGER PRIMARY KEY CHECK (one = 1), times INTEGER NOT NULL)",
    "INSERT INTO pins_written VALUES (1, 0)",
)


class SqlitePins:
    """For many threads."""

    def __init__(self, path: str | Path) -> None:
        self._lock = threading.Lock()
        self._seen = -1
        with _translated():
            self._database = connect(path)
            migrate(self._database, "pins", _STEPS)

    def is_changed(self) -> bool:
        """Whether somebody wrote since the last `load`. Raises `StoreUnavailable`."""
        with self._lock, _translated():
            return self._version() != self._seen

    def load(self) -> tuple[dict[DefinitionKey, Pin], dict[DefinitionKey, Held]]:
        """Everything. Raises `StoreUnavailable`."""
        with self._lock, _translated():
            self._seen = self._version()  # before reading: what is written meanwhile is read once more
            pins = {
                (key := DefinitionKey(server, kind, name)): Pin(Definition(key, text, digest), at_s, by)
                for server, kind, name, digest, text, at_s, by in self._database.execute(
                    "SELECT server, kind, name, hash, definition, at_s, by FROM pins"
                )
            }
            held = {
                (key := DefinitionKey(server, kind, name)): Held(Definition(key, text, digest), why, at_s, bool(no))
                for server, kind, name, digest, text, why, at_s, no in self._database.execute(
                    "SELECT server, kind, name, hash, definition, why, at_s, is_rejected FROM quarantine"
                )
            }
        return pins, held

    def pin(self, pins: Iterable[Pin], *, is_decided: bool) -> None:
        """Keep `pins`. Raises `StoreUnavailable`."""
        word = "REPLACE" if is_decided else "IGNORE"
        rows = [(*pin.definition.key, pin.definition.hash, pin.definition.text, pin.at_s, pin.by) for pin in pins]
        with self._writing():
            self._database.executemany(
                f"INSERT OR {word} INTO pins (server, kind, name, hash, definition, at_s, by)"  # noqa: S608 - two words
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            if is_decided:
                self._database.executemany(
                    "DELETE FROM quarantine WHERE server = ? AND kind = ? AND name = ?", [row[:3] for row in rows]
                )

    def hold(self, held: Held) -> None:
        """Put one into quarantine. Raises `StoreUnavailable`."""
        one = held.definition
        with self._writing():
            self._database.execute(
                "INSERT OR REPLACE INTO quarantine (server, kind, name, hash, definition, why, at_s, is_rejected)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*one.key, one.hash, one.text, held.why, held.at_s, int(held.is_rejected)),
            )

    def release(self, key: DefinitionKey) -> None:
        """Take one out of quarantine. Raises `StoreUnavailable`."""
        with self._writing():
            self._database.execute("DELETE FROM quarantine WHERE server = ? AND kind = ? AND name = ?", key)

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def _version(self) -> int:
        return int(self._database.execute("SELECT times FROM pins_written").fetchone()[0])

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._lock, _translated():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("UPDATE pins_written SET times = times + 1")
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreUnavailable(why=f"pins: {error}") from error
