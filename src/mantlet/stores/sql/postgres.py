"""PostgreSQL as a `Database`: a small pool of connections, and an answer within `timeout_s`, or none.

Statements are prepared by the driver, once a connection. A connection that did not answer in time is never used again:
nobody knows what it still has under way. The pool opens new ones by itself, so a database that comes back is used again
without anybody's doing; `every` of the node asks once a second.

Nothing is read from the environment or the user's folder (`PGPASSWORD`, `~/.pgpass`): everything is given.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import lru_cache
from typing import Any, Final

try:
    import asyncpg
except ModuleNotFoundError as error:  # pragma: no cover - the message is the test's
    raise ModuleNotFoundError("postgresql:// needs mantlet[postgres]: `pip install 'mantlet[postgres]'`") from error

from mantlet.core.refusal import StoreUnavailable
from mantlet.stores.sql.config import DatabaseConfig
from mantlet.stores.sql.database import Row, Value

MAX_WAITERS: Final = 1_000
"""Who waits for a connection of the pool; one more is refused at once."""
CLOSE_S: Final = 2.0
_IDLE_S: Final = 300.0
"""After which an unused connection is closed."""
# A node that is paused within a transaction must not keep the others from writing for longer than this. Set with the
# transaction and not with the connection, which poolers between refuse.
_BEGIN: Final = "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '10s'; SET LOCAL lock_timeout = '{lock_ms}ms'"


class PostgresDatabase:
    """Use it on the loop that opened it."""

    is_shared = True

    def __init__(self, config: DatabaseConfig) -> None:
        self._config, self._timeout_s = config, config.timeout
        self._pool: asyncpg.Pool[Any] | None = None
        self._waiters = 0

    async def open(self) -> None:
        """Connect. Raises `StoreUnavailable`, and `ValueError` or `OSError` for certificates that cannot be read."""
        where = self._config.postgres
        context = tls_context(self._config)
        password = self._config.password or where.password
        pool = asyncpg.create_pool(
            host=[host for host, _ in where.hosts],
            port=[port for _, port in where.hosts],
            user=where.user,
            database=where.database,
            password="" if password is None else password.reveal(),
            ssl=False if context is None else context,
            target_session_attrs="read-write" if len(where.hosts) > 1 else "any",
            timeout=self._timeout_s,
            command_timeout=self._timeout_s,
            min_size=0,  # or the pool would try by itself to have one, and fill the log with how it fails
            max_size=self._config.max_connections,
            max_inactive_connection_lifetime=_IDLE_S,
            server_settings={"application_name": "mantlet"},
        )
        with _translated(f"{where}: "):
            try:
                async with asyncio.timeout(self._timeout_s * len(where.hosts)):
                    self._pool = await pool
                    async with self._pool.acquire():
                        pass  # it answers, and lets us in
            except BaseException:
                pool.terminate()
                raise

    async def rows(self, statement: str, /, *values: Value) -> list[Row]:
        """See the port."""
        text = _numbered(statement)
        for is_last in (False, True):
            try:
                async with self._connection() as connection:
                    with _translated():
                        return [tuple(row) for row in await connection.fetch(text, *values)]
            except StoreUnavailable as refusal:
                # A restart of the database ends connections that lie idle: known only when they are used.
                if is_last or not isinstance(refusal.__cause__, _LOST):
                    raise
        raise AssertionError

    async def has_table(self, name: str, /) -> bool:
        """See the port."""
        return (await self.rows("SELECT to_regclass(?1) IS NOT NULL", name))[0][0] is True

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["_Transaction"]:
        """See the port."""
        async with self._connection() as connection:
            try:
                with _translated():
                    await connection.execute(_BEGIN.format(lock_ms=int(self._timeout_s * 1000)))
                yield _Transaction(connection)
                with _translated():
                    await connection.execute("COMMIT")
            except BaseException:
                await _roll_back(connection)
                raise

    async def close(self) -> None:
        """See the port."""
        if self._pool is None:
            return
        pool, self._pool = self._pool, None
        try:
            async with asyncio.timeout(CLOSE_S):
                await pool.close()
        except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            pool.terminate()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator["asyncpg.pool.PoolConnectionProxy[Any]"]:
        pool = self._pool
        if pool is None:
            raise StoreUnavailable(why="database: closed")
        if self._waiters >= MAX_WAITERS:
            raise StoreUnavailable(why=f"database: {MAX_WAITERS} wait for it already")
        self._waiters += 1
        try:
            with _translated():
                connection = await pool.acquire(timeout=self._timeout_s)
        finally:
            self._waiters -= 1
        try:
            yield connection
        except BaseException as error:
            if not isinstance(error, StoreUnavailable) or isinstance(error.__cause__, TimeoutError):
                # Cancelled, or no answer in time: what it has under way is nobody's to wait for.
                _end(connection)
            raise
        finally:
            await self._give_back(pool, connection)

    async def _give_back(self, pool: "asyncpg.Pool[Any]", connection: Any) -> None:
        with suppress(TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await pool.release(connection, timeout=self._timeout_s)


class _Transaction:
    for_update = " FOR UPDATE"

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def rows(self, statement: str, /, *values: Value) -> list[Row]:
        with _translated():
            return [tuple(row) for row in await self._connection.fetch(_numbered(statement), *values)]

    async def run(self, statement: str, /, *values: Value) -> int:
        with _translated():
            status: str = await self._connection.execute(_numbered(statement), *values)
        count = status.rpartition(" ")[2]  # "UPDATE 3", "INSERT 0 1", "CREATE TABLE"
        return int(count) if count.isdigit() else 0

    async def many(self, statement: str, rows: Sequence[Sequence[Value]], /) -> None:
        with _translated():
            await self._connection.executemany(_numbered(statement), rows)

    async def alone(self, what: str, /) -> None:
        with _translated():
            await self._connection.fetch("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"mantlet {what}")


def tls_context(config: DatabaseConfig) -> ssl.SSLContext | None:
    """What TLS to the database shall be; None for none. Raises `OSError`, `ssl.SSLError`."""
    sslmode = config.postgres.sslmode
    if sslmode == "disable":
        return None
    context = ssl.create_default_context(cafile=config.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["postgresql"])
    context.check_hostname = sslmode == "verify-full"
    if sslmode == "require":
        context.verify_mode = ssl.CERT_NONE
    if config.cert_file is not None:
        context.load_cert_chain(config.cert_file, config.key_file)
    return context


_LOST: Final = (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, ConnectionError)
"""What says that a connection is gone, and not that it did not answer in time."""


def _end(connection: Any) -> None:
    with suppress(asyncpg.InterfaceError):  # it was lost already
        connection.terminate()


async def _roll_back(connection: Any) -> None:
    if connection.is_closed() or not connection.is_in_transaction():
        return
    try:
        await connection.execute("ROLLBACK")
    except BaseException:
        _end(connection)  # which rolls back too
        raise


@lru_cache(maxsize=256)
def _numbered(statement: str) -> str:
    """Our places for values as PostgreSQL writes them. No statement of ours has another question mark."""
    return statement.replace("?", "$")


@contextmanager
def _translated(where: str = "") -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise StoreUnavailable(why=f"database: {where}no answer in time") from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, ssl.SSLError) as error:
        raise StoreUnavailable(why=f"database: {where}{str(error) or type(error).__name__}") from error
    except (UnicodeError, OverflowError, ValueError) as error:
        raise StoreUnavailable(why=f"database: {where}a value cannot be written: {type(error).__name__}") from error
