"""Logins (families of refresh tokens) in SQLite. A write waits for the disk, so every method runs in a thread."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from mantlet.core.refusal import StoreUnavailable
from mantlet.stores.sqlite.connection import connect, migrate

KEPT_S: Final = 86_400.0
"""How long an ended login is still known: a spent token of it is then told from an invented one."""
_STEPS: Final = (
    """CREATE TABLE logins (
        id TEXT PRIMARY KEY, client_id TEXT NOT NULL, tenant TEXT NOT NULL, subject TEXT NOT NULL, via TEXT NOT NULL,
        granted TEXT NOT NULL, number INTEGER NOT NULL, created_at REAL NOT NULL, used_at REAL NOT NULL,
        expires_at REAL NOT NULL, ended_at REAL NOT NULL DEFAULT 0) WITHOUT ROWID""",
    "CREATE INDEX logins_of ON logins (tenant, subject, ended_at)",
)
T = TypeVar("T")


class Row(msgspec.Struct, frozen=True):
    """A login as it is kept. `granted` is text of the asker's own, which is given back as it came."""

    id: str
    client_id: str
    tenant: str
    subject: str
    via: str
    granted: str
    number: int
    created_at_s: float
    used_at_s: float
    expires_at_s: float
    ended_at_s: float = 0.0


_FIELDS: Final = "id, client_id, tenant, subject, via, granted, number, created_at, used_at, expires_at, ended_at"
_Decide = Callable[[Row | None], str]


class LoginRows:
    """One connection, one lock: refreshes are seldom. Every method raises `StoreUnavailable`."""

    def __init__(self, path: str | Path) -> None:
        self._lock = threading.Lock()
        with _translated():
            self._database = connect(path)
            migrate(self._database, "logins", _STEPS)

    async def create(self, row: Row, max_logins: int) -> Sequence[str]:
        """Keep it, and end the oldest of the same user beyond `max_logins`; gives those."""

        def work() -> list[str]:
            self._database.execute(
                "DELETE FROM logins WHERE MAX(expires_at, ended_at) < ?", (row.created_at_s - KEPT_S,)
            )
            live = self._database.execute(
                "SELECT id FROM logins WHERE tenant = ? AND subject = ? AND ended_at = 0 ORDER BY created_at DESC, id",
                (row.tenant, row.subject),
            )
            over = [found for (found,) in live][max_logins - 1 :]
            self._end(over, row.created_at_s)
            self._database.execute(
                f"INSERT INTO logins ({_FIELDS}) VALUES ({', '.join('?' * 11)})",  # noqa: S608 - constants
                msgspec.structs.astuple(row),
            )
            return over

        return await self._changing(work)

    async def find(self, login_id: str) -> Row | None:
        """One of them, ended or not."""
        return await asyncio.to_thread(self._locked, lambda: self._row(login_id))

    async def all(self) -> list[Row]:
        """Those that go on, the newest first."""

        def work() -> list[Row]:
            query = f"SELECT {_FIELDS} FROM logins WHERE ended_at = 0 ORDER BY created_at DESC, id"  # noqa: S608
            return [Row(*row) for row in self._database.execute(query)]

        return await asyncio.to_thread(self._locked, work)

    async def advance(self, login_id: str, decide: _Decide, now_s: float) -> str:
        """Ask `decide` about the row as it stands, and act: `next` counts on, `spent` ends it. Atomic."""

        def work() -> str:
            decision = decide(self._row(login_id))
            if decision == "next":
                self._database.execute(
                    "UPDATE logins SET number = number + 1, used_at = ? WHERE id = ?", (now_s, login_id)
                )
            elif decision == "spent":
                self._end([login_id], now_s)
            return decision

        return await self._changing(work)

    async def end(
        self, *, now_s: float, login_id: str, via: str, client_id: str, tenant: str, subject: str
    ) -> Sequence[str]:
        """End those that go on and that all the given words (those not empty) fit; with none given, none."""
        wanted = {"id": login_id, "via": via, "client_id": client_id, "tenant": tenant, "subject": subject}
        named = [(column, value) for column, value in wanted.items() if value]
        if not named:
            return []

        def work() -> list[str]:
            where = " AND ".join(f"{column} = ?" for column, _ in named)
            found = self._database.execute(
                f"SELECT id FROM logins WHERE ended_at = 0 AND {where}",  # noqa: S608 - names of our own columns
                [value for _, value in named],
            )
            ids = [one for (one,) in found]
            self._end(ids, now_s)
            return ids

        return await self._changing(work)

    def close(self) -> None:
        """Let go of the file, once the thread that uses it is done: SQLite does not survive the opposite."""
        with self._lock:
            self._database.close()

    def _row(self, login_id: str) -> Row | None:
        query = f"SELECT {_FIELDS} FROM logins WHERE id = ?"  # noqa: S608 - a constant
        row: tuple[Any, ...] | None = self._database.execute(query, (login_id,)).fetchone()
        return None if row is None else Row(*row)

    def _end(self, ids: Sequence[str], now_s: float) -> None:
        self._database.executemany(
            "UPDATE logins SET ended_at = ? WHERE id = ? AND ended_at = 0", [(now_s, one) for one in ids]
        )

    def _locked(self, work: Callable[[], T]) -> T:
        with self._lock, _translated():
            return work()

    async def _changing(self, work: Callable[[], T]) -> T:
        def whole() -> T:
            # IMMEDIATE: of two processes the second waits here, and then sees what the first did.
            self._database.execute("BEGIN IMMEDIATE")
            try:
                result = work()
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")
            return result

        # Shielded: a caller that leaves must not leave a transaction half seen; the thread ends it in any case.
        return await asyncio.shield(asyncio.to_thread(self._locked, whole))


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreUnavailable(why=f"logins: {error}") from error
