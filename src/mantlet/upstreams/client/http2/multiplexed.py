"""Requests over few connections with many streams each; as many at once as `Bounds.max_connections` says."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from mantlet.core.clock import Clock
from mantlet.core.refusal import BadUpstream, DeadlineExceeded, Overloaded, UpstreamUnavailable
from mantlet.upstreams.client.config import Bounds
from mantlet.upstreams.client.connection import Vanished
from mantlet.upstreams.client.http2.connection import Http2Connection
from mantlet.upstreams.client.http2.exchange import Exchange, Unprocessed
from mantlet.upstreams.client.response import Response

MAX_CONNECTIONS: Final = 8
"""For servers that allow few streams on each."""
MAX_TRIES: Final = 3
"""Of a request that servers have not looked at."""
CLOSE_S: Final = 2.0
ASK_AGAIN_S: Final = 600.0
"""How long a server that speaks HTTP/1.1 only is taken at its word."""

Connect = Callable[["Multiplexed"], Awaitable[Http2Connection]]


class Multiplexed:
    """The HTTP/2 half of an `HttpClient`."""

    def __init__(self, connect: Connect, bounds: Bounds, clock: Clock) -> None:
        self._connect, self._bounds, self._clock = connect, bounds, clock
        self._connections: list[Http2Connection] = []
        self._leaving: set[Http2Connection] = set()
        self._is_opening = self._is_closed = False
        self._off_until_s = -1.0
        self._all_gone: asyncio.Future[None] | None = None
        self._waiters: deque[asyncio.Future[None]] = deque()
        self.opened = 0
        """Connections made so far."""

    @property
    def is_off(self) -> bool:
        """Whether the server is known to speak HTTP/1.1 only."""
        return self._clock.monotonic() < self._off_until_s

    @property
    def under_way(self) -> int:
        """Requests whose answer has not ended."""
        return sum(connection.under_way for connection in (*self._connections, *self._leaving))

    async def send(self, message: bytes, *, deadline_s: float, is_repeatable: bool) -> Response | None:
        """As `HttpClient.send`; None when the server does not speak HTTP/2, and nothing was sent."""
        for _ in range(MAX_TRIES):
            connection = await self._free(deadline_s)
            if connection is None:
                return None
            is_reused = connection.uses > 0
            exchange = connection.exchange(message, deadline_s)
            try:
                return await self._answer(connection, exchange)
            except Unprocessed as error:
                why = str(error)  # the server's word that it did nothing: safe for every request
            except Vanished as error:
                why = str(error)
                if not (is_repeatable and is_reused):
                    raise BadUpstream(why=why) from error
                is_repeatable = False
        raise UpstreamUnavailable(why=why)

    async def _answer(self, connection: Http2Connection, exchange: Exchange) -> Response:
        try:
            return await exchange.answer
        except asyncio.CancelledError:
            connection.give_up(exchange, None)
            if not exchange.answer.cancelled() and exchange.answer.done():
                exchange.answer.exception()
            raise

    async def _free(self, deadline_s: float) -> Http2Connection | None:
        while not self.is_off:
            if self._is_closed:
                raise UpstreamUnavailable(why="the client is closed")
            if self.under_way < self._bounds.max_connections:
                for connection in self._connections:
                    if connection.room > 0:
                        if not connection.is_stale():
                            return connection
                        await asyncio.sleep(0)  # the loop takes what is there; then see what it was
                        break
                else:
                    if not self._is_opening and len(self._connections) < MAX_CONNECTIONS:
                        await self._open(deadline_s)
                    else:
                        await self._wait(deadline_s)
                continue
            await self._wait(deadline_s)
        return None

    async def _open(self, deadline_s: float) -> None:
        self._is_opening = True
        timeout_s = min(self._bounds.connect_timeout_s, deadline_s - self._clock.monotonic())
        try:
            async with asyncio.timeout(max(0.0, timeout_s)):
                connection = await self._connect(self)
        except TimeoutError as error:
            if timeout_s < self._bounds.connect_timeout_s:
                raise DeadlineExceeded("The upstream could not be reached in time.") from error
            raise UpstreamUnavailable(why="connecting took too long") from error
        finally:
            self._is_opening = False
            self._wake(len(self._waiters))
        if connection.alpn != "h2":
            self._off_until_s = self._clock.monotonic() + ASK_AGAIN_S
            connection.abort()
            return
        if self._is_closed or not connection.is_open:
            connection.abort()
            raise UpstreamUnavailable(why="the connection ended as soon as it was made")
        connection.begin()
        self.opened += 1
        self._connections.append(connection)

    async def _wait(self, deadline_s: float) -> None:
        if len(self._waiters) >= self._bounds.max_waiters:
            raise Overloaded(why="too many calls wait for a connection")
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(max(0.0, deadline_s - self._clock.monotonic())):
                await waiter
        except BaseException as error:
            if waiter.done() and not waiter.cancelled():
                self._wake(1)  # woken in the very turn in which we left: the next one looks
            with suppress(ValueError):
                self._waiters.remove(waiter)
            if isinstance(error, TimeoutError):
                raise DeadlineExceeded("No connection to the upstream became free in time.") from error
            raise

    def retire(self) -> None:
        """Let no further request use a connection that is open now; those under way go on."""
        for connection in list(self._connections):
            connection.leave()

    def freed(self) -> None:
        """A stream has ended, or there is room for more."""
        self._wake(1)

    def lost(self, connection: Http2Connection) -> None:
        """`connection` is gone, or takes no new requests."""
        if connection in self._connections:
            self._connections.remove(connection)
        if connection.is_open:
            self._leaving.add(connection)
        else:
            self._leaving.discard(connection)
        self._wake(len(self._waiters))
        if self._all_gone is not None and not (self._connections or self._leaving) and not self._all_gone.done():
            self._all_gone.set_result(None)

    def _wake(self, count: int) -> None:
        while count > 0 and self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                count -= 1

    async def close(self) -> None:
        """Close every connection; calls under way fail."""
        self._is_closed = True
        for connection in (*self._connections, *self._leaving):
            connection.abort()
        self._wake(len(self._waiters))
        if self._connections or self._leaving:
            self._all_gone = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._all_gone], timeout=CLOSE_S)
