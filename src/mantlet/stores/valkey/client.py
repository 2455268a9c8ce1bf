"""A store that is kept connected: log in, watch, reconnect with back-off."""

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Sequence
from typing import Any, Final

from mantlet.core.refusal import StoreUnavailable
from mantlet.core.tasks import Tasks
from mantlet.stores.valkey.address import Address, parse
from mantlet.stores.valkey.connection import MAX_IN_FLIGHT, Connection, ReplyError, reader

TIMEOUT_S: Final = 0.035
"""For one answer. A call must not notice a hung store for more than 50 ms (measured: 44); after the first late answer
the connection is given up and calls are refused at once."""
CONNECT_TIMEOUT_S: Final = 2.0
_FIRST_RETRY_S: Final = 0.05
_LAST_RETRY_S: Final = 2.0


def encode(*args: bytes | str | int) -> bytes:
    """A command as RESP."""
    parts = [a if isinstance(a, bytes) else str(a).encode() for a in args]
    return b"".join([b"*%d\r\n" % len(parts), *(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)])


class ValkeyClient:
    """One pipelined connection, reconnected by a task of its own.

    While it is down, `send` raises `StoreUnavailable` at once: nobody waits for a reconnect.
    `epoch` counts the connections made: behind a new one may stand an empty store. `greeting` are encoded commands sent
    on each of them after the log-in; with a subscription among them, `on_message` hears what is published.
    """

    def __init__(
        self,
        url: str,
        *,
        chance: Callable[[], float],
        on_error: Callable[[BaseException], None],
        timeout_s: float = TIMEOUT_S,
        max_in_flight: int = MAX_IN_FLIGHT,
        greeting: Sequence[bytes] = (),
        on_message: Callable[[bytes], None] | None = None,
    ) -> None:
        self._address = parse(url)
        self._chance = chance
        self._timeout_s = timeout_s
        self._max_in_flight = max_in_flight
        self._greeting = greeting
        self._on_message = on_message
        self._connection: Connection | None = None
        self._tasks = Tasks(on_error)
        self._tried = asyncio.Event()
        self._why = "not connected yet"
        self.epoch = 0

    @property
    def is_ready(self) -> bool:
        """Whether commands are being sent."""
        return self._connection is not None

    @property
    def why(self) -> str:
        """Why it is not ready; for the log and health."""
        return self._why

    async def start(self, wait_s: float = CONNECT_TIMEOUT_S) -> bool:
        """Begin to connect; gives whether the first attempt succeeded within `wait_s`. If not, trying goes on.

        Raises `ModuleNotFoundError` naming the extra to install when hiredis is missing.
        """
        reader()
        self._tasks.start(self._keep(), "valkey connection")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._tried.wait(), wait_s)
        return self.is_ready

    async def close(self) -> None:
        """Disconnect and stop trying."""
        await self._tasks.close()
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def send(self, command: bytes) -> asyncio.Future[Any]:
        """Send an encoded command; server errors come as `ReplyError` values. Raises `StoreUnavailable`."""
        connection = self._connection
        if connection is None:
            raise StoreUnavailable(why=f"store {self._address.name}: {self._why}")
        return connection.send(command)

    async def call(self, *args: bytes | str | int) -> Any:
        """Send a command and give its reply; a server's error becomes `StoreUnavailable`."""
        reply = await self.send(encode(*args))
        if isinstance(reply, ReplyError):
            raise StoreUnavailable(why=f"store {self._address.name}: {reply}")
        return reply

    async def _keep(self) -> None:
        delay_s = _FIRST_RETRY_S
        while True:
            lost = asyncio.Event()
            connection: Connection | None = None
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    connection = await self._open(lost)
                    await self._log_in(connection)
            except (OSError, TimeoutError, StoreUnavailable) as error:
                self._why = error.why if isinstance(error, StoreUnavailable) else f"{type(error).__name__}: {error}"
                if connection is not None:
                    connection.close()
                self._tried.set()
                # Between half and all of the delay: many nodes must not come back in one instant.
                await asyncio.sleep(delay_s * (0.5 + self._chance() / 2))
                delay_s = min(delay_s * 2, _LAST_RETRY_S)
                continue
            self._connection = connection
            self.epoch += 1
            self._tried.set()
            delay_s = _FIRST_RETRY_S
            try:
                await lost.wait()
            finally:
                connection.close()
                self._connection = None
            self._why = "connection lost or answer late"

    async def _open(self, lost: asyncio.Event) -> Connection:
        loop = asyncio.get_running_loop()

        def on_lost() -> None:
            # At once, and not when the task runs: no call may be sent into a dead connection meanwhile.
            self._connection = None
            lost.set()

        def make() -> Connection:
            return Connection(
                timeout_s=self._timeout_s,
                on_lost=on_lost,
                max_in_flight=self._max_in_flight,
                on_message=self._on_message,
            )

        where: Address = self._address
        if where.path:
            return (await loop.create_unix_connection(make, where.path))[1]
        tls = ssl.create_default_context() if where.is_tls else None
        return (await loop.create_connection(make, where.host, where.port, ssl=tls))[1]

    async def _log_in(self, connection: Connection) -> None:
        where = self._address
        commands = [encode("PING")]
        if where.password:
            commands.insert(0, encode("AUTH", *([where.user] if where.user else []), where.password))
        if where.database:
            commands.append(encode("SELECT", where.database))
        for command in (*commands, *self._greeting):
            reply = await connection.send(command)
            if isinstance(reply, ReplyError):
                raise StoreUnavailable(why=f"log-in refused: {reply}")
