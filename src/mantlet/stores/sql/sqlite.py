"""A file of SQLite as a `Database`: one connection to read, one to write, each with a thread of its own.

In WAL mode a read waits for no write, of this process or another. What a thread was given it ends, whether or not
somebody still waits for it, and in the order in which it was given: so a cancelled caller leaves no transaction open.
"""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

from mantlet.core.refusal import StoreUnavailable
from mantlet.stores.sql.database import Row, Value

BUSY_TIMEOUT_MS: Final = 2_000
"""How long a writer waits for another process's write."""
_File = tuple[int, int]
"""Which file it is, whatever it is called."""
T = TypeVar("T")


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


class SqliteDatabase:
    """Use it on the loop that opened it."""

    is_shared = False

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: _File | None = None
        self._turn = asyncio.Lock()
        self._reader, self._writer = _Lane("database.read"), _Lane("database.write")

    async def open(self) -> None:
        """Open or make the file. Raises `StoreUnavailable`."""
        try:
            await self._writer.open(lambda: connect(self._path))
            await self._reader.open(lambda: _read_only(connect(self._path)))
            self._file = _file(self._path)
        except BaseException:
            await self.close()
            raise

    async def rows(self, statement: str, /, *values: Value) -> list[Row]:
        """See the port."""
        return await self._reader.do(lambda connection: self._same(connection).execute(statement, values).fetchall())

    async def has_table(self, name: str, /) -> bool:
        """See the port."""
        return bool(await self.rows("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1", name))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["_Transaction"]:
        """See the port."""
        async with self._turn:
            try:
                # IMMEDIATE: of two processes the second waits here, and then sees what the first did.
                await self._writer.do(lambda connection: self._same(connection).execute("BEGIN IMMEDIATE"))
                yield _Transaction(self._writer)
            except BaseException:
                await self._writer.do(_roll_back)
                raise
            await self._writer.do(lambda connection: connection.execute("COMMIT"))

    def _same(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        """`connection`, if the file of that name is still the one that it has open.

        Who put another in its place, or took it away, revokes keys there: nothing that stands here may be believed.
        """
        if _file(self._path) != self._file:
            raise StoreUnavailable(why=f"database: {self._path} was exchanged or taken away; start the node anew")
        return connection

    async def close(self) -> None:
        """See the port."""
        for lane in (self._reader, self._writer):
            await lane.close()


class _Transaction:
    for_update = ""  # nobody else writes meanwhile

    def __init__(self, lane: "_Lane") -> None:
        self._lane = lane

    async def rows(self, statement: str, /, *values: Value) -> list[Row]:
        return await self._lane.do(lambda connection: connection.execute(statement, values).fetchall())

    async def run(self, statement: str, /, *values: Value) -> int:
        return await self._lane.do(lambda connection: connection.execute(statement, values).rowcount)

    async def many(self, statement: str, rows: Sequence[Sequence[Value]], /) -> None:
        await self._lane.do(lambda connection: connection.executemany(statement, rows))

    async def alone(self, what: str, /) -> None:
        """Always so."""


class _Lane:
    """A connection, and the one thread that uses it."""

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, name)
        self._connection: sqlite3.Connection | None = None

    async def open(self, make: Callable[[], sqlite3.Connection]) -> None:
        def work() -> None:
            with _translated():
                self._connection = make()

        await self._given(work)

    async def do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def whole() -> T:
            if self._connection is None:
                raise StoreUnavailable(why="database: closed")
            with _translated():
                return work(self._connection)

        return await self._given(whole)

    async def close(self) -> None:
        def work() -> None:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

        with suppress(StoreUnavailable):  # closed before
            await self._given(work)
        self._thread.shutdown(wait=False)

    async def _given(self, work: Callable[[], T]) -> T:
        try:
            future = asyncio.get_running_loop().run_in_executor(self._thread, work)
        except RuntimeError as error:  # the thread takes nothing more
            raise StoreUnavailable(why="database: closed") from error
        return await future


def _file(path: Path) -> _File | None:
    try:
        state = path.stat()
    except FileNotFoundError:
        return None
    return state.st_dev, state.st_ino


def _read_only(connection: sqlite3.Connection) -> sqlite3.Connection:
    connection.execute("PRAGMA query_only=ON")
    return connection


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError, OverflowError, UnicodeError) as error:
        raise StoreUnavailable(why=f"database: {error}") from error
