"""Callers' grants at upstreams in SQLite. What is secret in them is sealed before it comes here (FWD-04)."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

from mantlet.core.refusal import StoreUnavailable
from mantlet.stores.sqlite.connection import connect, migrate

_STEPS: Final = (
    """CREATE TABLE grants (
        upstream TEXT NOT NULL, tenant TEXT NOT NULL, issuer TEXT NOT NULL, subject TEXT NOT NULL,
        sealed TEXT NOT NULL, key_id TEXT NOT NULL, version INTEGER NOT NULL, server TEXT NOT NULL,
        scope TEXT NOT NULL, created_at REAL NOT NULL, written_at REAL NOT NULL,
        PRIMARY KEY (upstream, tenant, issuer, subject)) WITHOUT ROWID""",
)
_VALUES: Final = "sealed, key_id, version, server, scope, created_at, written_at"
_WHERE: Final = "upstream = ? AND tenant = ? AND issuer = ? AND subject = ?"
T = TypeVar("T")

Key = tuple[str, str, str, str]
"""Upstream, tenant, issuer, subject."""
Values = tuple[str, str, int, str, str, float, float]


class GrantRows:
    """One connection, one lock: a grant is read when a process first needs it, written when it is refreshed.

    Every method runs in a thread and raises `StoreUnavailable`.
    """

    def __init__(self, path: str | Path) -> None:
        self._lock = threading.Lock()
        with _translated():
            self._database = connect(path)
            migrate(self._database, "grants", _STEPS)

    async def find(self, key: Key) -> Values | None:
        """One of them."""
        query = f"SELECT {_VALUES} FROM grants WHERE {_WHERE}"  # noqa: S608 - constants
        return await self._run(lambda: self._database.execute(query, key).fetchone())

    async def put(self, key: Key, values: Values, replaced: int | None) -> bool:
        """Keep it: in the place of the one with the version `replaced` or not at all; None: in any case."""
        if replaced is None:
            query = f"INSERT OR REPLACE INTO grants VALUES ({', '.join('?' * 11)})"  # noqa: S608 - constants
            return await self._run(lambda: self._database.execute(query, (*key, *values)).rowcount == 1)
        names = ", ".join(f"{name} = ?" for name in _VALUES.split(", "))
        query = f"UPDATE grants SET {names} WHERE {_WHERE} AND version = ?"  # noqa: S608 - constants
        return await self._run(lambda: self._database.execute(query, (*values, *key, replaced)).rowcount == 1)

    async def drop(self, key: Key, version: int | None = None) -> bool:
        """Forget it; whether there was one (of that version)."""
        query = f"DELETE FROM grants WHERE {_WHERE} AND (? IS NULL OR version = ?)"  # noqa: S608 - constants
        return await self._run(lambda: self._database.execute(query, (*key, version, version)).rowcount == 1)

    async def all(self, limit: int = 10_000) -> list[tuple[Any, ...]]:
        """All that there are, without what is sealed: key, then key id, server, scope, created, written."""
        query = (
            "SELECT upstream, tenant, issuer, subject, key_id, server, scope, created_at, written_at FROM grants"
            " ORDER BY upstream, tenant, issuer, subject LIMIT ?"
        )
        return await self._run(lambda: self._database.execute(query, (limit,)).fetchall())

    def close(self) -> None:
        """Let go of the file, once the thread that uses it is done."""
        with self._lock:
            self._database.close()

    async def _run(self, work: Callable[[], T]) -> T:
        def locked() -> T:
            with self._lock, _translated():
                return work()

        return await asyncio.to_thread(locked)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreUnavailable(why=f"grants: {error}") from error
