"""Which connection a call gets: the one used last, or a new one, or its turn in a bounded queue."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress

from mantlet.core.clock import Clock
from mantlet.core.refusal import DeadlineExceeded, Overloaded, UpstreamUnavailable
from mantlet.upstreams.client.config import Bounds
from mantlet.upstreams.client.connection import Connection
from mantlet.upstreams.client.outbox import Outbox

Connect = Callable[["Pool"], Awaitable[Connection]]


class Pool:
    """At most `max_connections`, the ones being opened included.

    Last used, first taken: what is not needed at today's load grows old and is closed. Waiters are served in order;
    each has a future of its own, which brings a connection or, as None, the right to open one.
    """

    def __init__(self, connect: Connect, bounds: Bounds, clock: Clock) -> None:
        self._connect = connect
        self._bounds = bounds
        self._clock = clock
        self.outbox = Outbox()
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()
        self._old: set[Connection] = set()
        """Busy ones that no further call shall use."""
        self._opening = 0
        self._waiters: deque[asyncio.Future[Connection | None]] = deque()
        self._is_closed = False
        self._all_gone: asyncio.Future[None] | None = None
        self.opened = 0
        """Connections made so far."""

    @property
    def idle(self) -> int:
        """Open and unused."""
        return len(self._idle)

    @property
    def open(self) -> int:
        """Open or being opened."""
        return len(self._all) + self._opening

    @property
    def waiting(self) -> int:
        """Calls in the queue."""
        return len(self._waiters)

    def take(self) -> Connection | None:
        """An idle connection that still seems good, or None."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                if not connection.is_stale():
                    return connection
                connection.abort()
        return None

    async def acquire(self, deadline_s: float) -> Connection:
        """A connection nobody else has. Raises `Overloaded`, `UpstreamUnavailable`, `BadUpstream` (its certificate)
        or `DeadlineExceeded`; nothing was sent then."""
        while True:
            if self._is_closed:
                raise UpstreamUnavailable(why="the client is closed")
            # A newcomer waits behind the waiting: else a free place would always go to the latest.
            if not self._waiters:
                if (connection := self.take()) is not None:
                    return connection
                if self.open < self._bounds.max_connections:
                    self._opening += 1
                    return await self._open(deadline_s)
            granted = await self._wait(deadline_s)
            if granted is None:
                return await self._open(deadline_s)
            if granted.is_open:
                return granted

    def released(self, connection: Connection) -> None:
        """Give `connection` to the first who waits, or keep it."""
        if self._is_closed or (self._old and connection in self._old):
            connection.abort()
        elif (waiter := self._next_waiter()) is not None:
            waiter.set_result(connection)
        else:
            connection.rest()
            self._idle.append(connection)

    def lost(self, connection: Connection) -> None:
        """Forget `connection`; its place goes to the first who waits."""
        self._all.discard(connection)
        self._old.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._place_is_free()

    def retire(self) -> None:
        """Let no further call use a connection that is open now; those under way go on."""
        for connection in list(self._idle):
            connection.abort()
        self._idle.clear()
        self._old.update(self._all)

    def turn_away(self, why: str) -> None:
        """Refuse all who wait, as if no connection could be made: nothing of theirs was sent."""
        while (waiter := self._next_waiter()) is not None:
            waiter.set_exception(UpstreamUnavailable(why=why))

    async def close(self, grace_s: float = 2.0) -> None:
        """Close all connections, busy ones too, and refuse everybody from now on."""
        self._is_closed = True
        self.turn_away("the client is closed")
        if self._all:
            self._all_gone = asyncio.get_running_loop().create_future()
            for connection in list(self._all):
                connection.abort()
            await asyncio.wait([self._all_gone], timeout=grace_s)

    async def _open(self, deadline_s: float) -> Connection:
        """Use a place that is counted in `_opening` already."""
        timeout_s = min(self._bounds.connect_timeout_s, deadline_s - self._clock.monotonic())
        try:
            async with asyncio.timeout(max(0.0, timeout_s)):
                connection = await self._connect(self)
                if not connection.is_open:
                    raise UpstreamUnavailable(why="the connection ended as soon as it was made")
                self._all.add(connection)
        except TimeoutError as error:
            if timeout_s < self._bounds.connect_timeout_s:
                raise DeadlineExceeded("The upstream could not be reached in time.") from error
            raise UpstreamUnavailable(why="connecting took too long") from error
        finally:
            self._opening -= 1
            self._place_is_free()
        if self._is_closed:
            connection.abort()
            raise UpstreamUnavailable(why="the client is closed")
        self.opened += 1
        return connection

    async def _wait(self, deadline_s: float) -> Connection | None:
        if len(self._waiters) >= self._bounds.max_waiters:
            raise Overloaded(why="too many calls wait for a connection")
        waiter: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(max(0.0, deadline_s - self._clock.monotonic())):
                return await waiter
        except BaseException as error:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                # Granted in the very turn in which we left: the next one gets it.
                if (connection := waiter.result()) is None:
                    self._opening -= 1
                    self._place_is_free()
                elif connection.is_open:
                    self.released(connection)
            with suppress(ValueError):
                self._waiters.remove(waiter)
            if isinstance(error, TimeoutError):
                raise DeadlineExceeded("No connection to the upstream became free in time.") from error
            raise

    def _place_is_free(self) -> None:
        if self._all_gone is not None and not self._all and not self._all_gone.done():
            self._all_gone.set_result(None)
        if self.open < self._bounds.max_connections and (waiter := self._next_waiter()) is not None:
            self._opening += 1
            waiter.set_result(None)

    def _next_waiter(self) -> "asyncio.Future[Connection | None] | None":
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                return waiter
        return None
