"""Commands to a store, and one server of it that is kept connected: log in, watch, reconnect with back-off."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

from mantlet.core.refusal import StoreUnavailable
from mantlet.core.tasks import Tasks
from mantlet.stores.valkey.access import Access
from mantlet.stores.valkey.address import Address, Place, parse
from mantlet.stores.valkey.connection import MAX_IN_FLIGHT, Connection, ReplyError, reader

TIMEOUT_S: Final = 0.035
"""For one answer. A call must not notice a hung store for more than 50 ms (measured: 44); after the first late answer
the connection is given up and calls are refused at once."""
CONNECT_TIMEOUT_S: Final = 2.0
_FIRST_RETRY_S: Final = 0.05
_LAST_RETRY_S: Final = 2.0
_USELESS: Final = ("READONLY", "NOAUTH", "LOADING", "MASTERDOWN")
"""Errors that mean: this server, or this log-in, is not the one (any more). Another connection may find it."""
_PINGS: Final = 3
_NO_MASTER: Final = ([b"slave"], [b"sentinel"])

Locate = Callable[[], Awaitable[Address]]
"""Which server to connect to now. Raises `StoreUnavailable` or `OSError` when it cannot be told."""


class Client(Protocol):
    """A store: one server, whichever Sentinel names, or a cluster."""

    @property
    def is_ready(self) -> bool:
        """Whether commands are being sent."""
        ...

    @property
    def why(self) -> str:
        """Why it is not ready; for the log and health. Holds no secret."""
        ...

    def is_ready_for(self, slot: int) -> bool:
        """Whether commands for `slot` are being sent."""
        ...

    def epoch_of(self, slot: int) -> int:
        """Counts the servers and connections behind `slot`: behind a new one may stand a store that forgot."""
        ...

    def send(self, command: bytes, slot: int = 0) -> asyncio.Future[Any]:
        """Send an encoded command to whoever has `slot`; server errors come as `ReplyError` values.

        Raises `StoreUnavailable` at once when nobody is there: nobody waits for a reconnect.
        """
        ...

    async def settle(self, reply: Any, command: bytes, slot: int = 0) -> Any:
        """Give what `reply` means: itself, or after a redirection the reply of the right server."""
        ...

    async def call(self, *args: bytes | str | int, key: bytes | str | None = None) -> Any:
        """Send a command and give its reply; a server's error becomes `StoreUnavailable`.

        It goes to whoever has `key`, which unless said is the first argument.
        """
        ...

    def locator(self, slot: int) -> Locate | None:
        """How a further connection finds the server that has `slot`; None where there is one server by URL."""
        ...

    def on_move(self, moved: Callable[[], None]) -> None:
        """`moved` is told when slots may have come to other servers; it must not raise."""
        ...

    async def start(self, wait_s: float = CONNECT_TIMEOUT_S) -> bool:
        """Begin to connect; gives whether the first attempt succeeded within `wait_s`. If not, trying goes on."""
        ...

    async def close(self) -> None:
        """Disconnect and stop trying."""
        ...


def encode(*args: bytes | str | int) -> bytes:
    """A command as RESP."""
    parts = [a if isinstance(a, bytes) else str(a).encode() for a in args]
    return b"".join([b"*%d\r\n" % len(parts), *(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)])


class ValkeyClient:
    """A `Client` of one server: one pipelined connection, reconnected by a task of its own.

    `greeting` are encoded commands sent on each connection after the log-in; with a subscription among them,
    `on_message` hears what is published. `locate` is asked before each connection which server it is (else the one that
    the URL names); with `is_master` the server must then say of itself that it is one.
    """

    def __init__(
        self,
        place: str | Place,
        *,
        chance: Callable[[], float],
        on_error: Callable[[BaseException], None],
        access: Access | None = None,
        timeout_s: float = TIMEOUT_S,
        max_in_flight: int = MAX_IN_FLIGHT,
        slow_s: float | None = None,
        greeting: Sequence[bytes] = (),
        on_message: Callable[[bytes], None] | None = None,
        locate: Locate | None = None,
        is_master: bool = False,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._place = parse(place) if isinstance(place, str) else place
        self._access = access or Access()
        self._chance = chance
        self._timeout_s = timeout_s
        self._max_in_flight = max_in_flight
        self._slow_s = slow_s
        self._greeting = greeting
        self._on_message = on_message
        self._locate = locate
        self._is_master = is_master
        self._on_change = on_change
        self._connection: Connection | None = None
        self._tasks = Tasks(on_error)
        self._tried = asyncio.Event()
        self._nudged = asyncio.Event()
        self._is_up = asyncio.Event()
        self._attempt: asyncio.Timeout | None = None
        self._why = "not connected yet"
        self.epoch = 0
        """How many connections were made."""
        self.address: Address | None = None
        """Of the latest connection or attempt."""

    @property
    def is_ready(self) -> bool:
        """See the port."""
        return self._connection is not None

    @property
    def why(self) -> str:
        """See the port."""
        return self._why

    def is_ready_for(self, slot: int) -> bool:
        """See the port."""
        return self._connection is not None

    def epoch_of(self, slot: int) -> int:
        """See the port."""
        return self.epoch

    def locator(self, slot: int) -> Locate | None:
        """See the port."""
        return self._locate

    def on_move(self, moved: Callable[[], None]) -> None:
        """See the port: one server has all slots, always."""

    async def start(self, wait_s: float = CONNECT_TIMEOUT_S) -> bool:
        """See the port. Raises `ModuleNotFoundError` naming the extra to install when hiredis is missing."""
        reader()
        self._tasks.start(self._keep(), "valkey connection")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._tried.wait(), wait_s)
        return self.is_ready

    async def close(self) -> None:
        """See the port."""
        await self._tasks.close()
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    async def until_ready(self, timeout_s: float) -> None:
        """Return once it is connected; raises `StoreUnavailable` after `timeout_s`."""
        try:
            await asyncio.wait_for(self._is_up.wait(), timeout_s)
        except TimeoutError as error:
            raise StoreUnavailable(why=f"store {self._place.name}: {self._why}") from error

    def abandon(self, why: str) -> None:
        """Leave this server, or the attempt to reach it, and look for the right one at once."""
        self._nudged.set()
        if self._connection is not None:
            self._connection.close(why)
        elif self._attempt is not None:
            self._attempt.reschedule(asyncio.get_running_loop().time())

    def send(self, command: bytes, slot: int = 0) -> asyncio.Future[Any]:
        """See the port."""
        connection = self._connection
        if connection is None:
            raise StoreUnavailable(why=f"store {self._place.name}: {self._why}")
        return connection.send(command)

    async def settle(self, reply: Any, command: bytes, slot: int = 0) -> Any:
        """See the port. A server that is not the one any more is left."""
        if isinstance(reply, ReplyError) and any(word in str(reply) for word in _USELESS):
            self.abandon(f"left the server: {reply}")
            raise StoreUnavailable(why=f"store {self._place.name}: {reply}")
        return reply

    async def call(self, *args: bytes | str | int, key: bytes | str | None = None) -> Any:
        """See the port."""
        reply = await self.send(encode(*args))
        if isinstance(reply, ReplyError):
            reply = await self.settle(reply, b"")
            raise StoreUnavailable(why=f"store {self._place.name}: {reply}")
        return reply

    async def _keep(self) -> None:
        delay_s = _FIRST_RETRY_S
        while True:
            lost = asyncio.Event()
            self._nudged.clear()
            try:
                connection = await self._connect(lost)
            except (OSError, TimeoutError, StoreUnavailable, ValueError) as error:  # ValueError: no name of a host
                self._why = error.why if isinstance(error, StoreUnavailable) else f"{type(error).__name__}: {error}"
                self._tried.set()
                # Between half and all of the delay: many nodes must not come back in one instant.
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._nudged.wait(), delay_s * (0.5 + self._chance() / 2))
                delay_s = min(delay_s * 2, _LAST_RETRY_S)
                continue
            self._connection = connection
            self.epoch += 1
            self._tried.set()
            self._is_up.set()
            self._on_change()
            delay_s = _FIRST_RETRY_S
            try:
                await lost.wait()
            finally:
                connection.close()
                self._connection = None
                self._is_up.clear()
            self._on_change()

    async def _connect(self, lost: asyncio.Event) -> Connection:
        connection: Connection | None = None
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S) as self._attempt:
                self.address = self._place.addresses[0] if self._locate is None else await self._locate()
                connection = await self._open(self.address, lost)
                await self._log_in(connection)
                return connection
        except BaseException:
            if connection is not None:
                connection.close()
            raise
        finally:
            self._attempt = None

    async def _open(self, where: Address, lost: asyncio.Event) -> Connection:
        loop = asyncio.get_running_loop()

        def on_lost(why: str) -> None:
            # At once, and not when the task runs: no call may be sent into a dead connection meanwhile.
            self._connection = None
            self._why = why
            lost.set()

        def make() -> Connection:
            return Connection(
                timeout_s=self._timeout_s,
                on_lost=on_lost,
                max_in_flight=self._max_in_flight,
                slow_s=self._slow_s,
                on_message=self._on_message,
            )

        if where.path:
            return (await loop.create_unix_connection(make, where.path))[1]
        if not self._place.is_tls:
            return (await loop.create_connection(make, where.host, where.port))[1]
        access = self._access
        name = access.tls.server_name or where.host
        return (await loop.create_connection(make, where.host, where.port, ssl=access.context(), server_hostname=name))[
            1
        ]

    async def _log_in(self, connection: Connection) -> None:
        place, access = self._place, self._access
        commands = [encode("PING")]
        user = place.user or access.user
        if password := place.password or access.current_password():
            commands.insert(0, encode("AUTH", *([user] if user else []), password))
        if place.database:
            commands.append(encode("SELECT", place.database))
        if self._is_master:
            commands.append(encode("ROLE"))
        for command in (*commands, *self._greeting):  # one after the other: what follows a subscription is refused
            reply = await connection.send(command)
            if isinstance(reply, ReplyError):
                raise StoreUnavailable(why=f"log-in refused: {reply}")
            if type(reply) is list and reply[:1] in _NO_MASTER:
                raise StoreUnavailable(why="the server that Sentinel names is no master (yet)")
        if self._slow_s is not None:
            await _measure(connection)


async def _measure(connection: Connection) -> None:
    """Raise `StoreUnavailable` for a store that is still too slow to be used."""
    loop = asyncio.get_running_loop()
    for _ in range(_PINGS):
        sent_s = loop.time()
        await connection.send(encode("PING"))
        if not connection.is_slow(sent_s):
            return
    raise StoreUnavailable(why=f"the store's answers take {(loop.time() - sent_s) * 1000:.0f} ms")
