"""One connection to a RESP server: commands pipelined, the writes of one loop turn joined, a future a command.

Measured at concurrency 16: 10 µs a command, where redis-py takes 230. What makes the difference: hiredis parses,
nothing awaits between the caller and the socket, and one `write` carries what all calls of a loop turn want.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final, cast

from mantlet.core.refusal import Overloaded, StoreUnavailable

MAX_IN_FLIGHT: Final = 4096
"""Commands sent and unanswered. At half a kilobyte each, 2 MiB: then the store is not keeping up, and more would only
wait for their time-out."""
_GRACE_S: Final = 0.005
"""A loop that was held up may find the time-out due and the answer unread in one turn; it gets this long to read."""

SLOW_FOR_S: Final = 0.25
SLOW_ANSWERS: Final = 8
"""All of them late, one after the other, and for that long: then it is the store and not a moment."""
_LAG: Final = 3
"""Turns of our own loop that an answer may have waited for us instead."""
_PUBLISHED: Final = ([b"message"], [b"smessage"])
_TAKEN_AWAY: Final = [b"sunsubscribe"]


def reader() -> Any:
    """A hiredis parser; the error of a missing one names what to install."""
    try:
        import hiredis
    except ModuleNotFoundError as error:
        message = "A Valkey store needs the extra 'valkey': pip install 'mantlet[valkey]'"
        raise ModuleNotFoundError(message, name=error.name) from error
    return hiredis.Reader(replyError=ReplyError, protocolError=ProtocolError)


class ReplyError(Exception):
    """The server answered a command with an error. Given as a result, not raised: some are expected (NOSCRIPT)."""


class ProtocolError(Exception):
    """What came back is not RESP."""


class Connection(asyncio.Protocol):
    """Raises `StoreUnavailable` out of its futures when the connection is lost or an answer is late.

    A late answer ends the connection: answers come in order, so all behind it are late too, and a hung server
    is then refused at once instead of once a time-out. So do answers that all take longer than `slow_s`, unless it is
    our own loop that is late: what is neither gone nor useful must not be waited for on every call.
    """

    def __init__(
        self,
        *,
        timeout_s: float,
        on_lost: Callable[[str], None],
        max_in_flight: int = MAX_IN_FLIGHT,
        slow_s: float | None = None,
        on_message: Callable[[bytes], None] | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._reader = reader()
        self._timeout_s = timeout_s
        self._on_lost = on_lost
        self._max_in_flight = max_in_flight
        self._slow_s = slow_s
        self._on_message = on_message
        self._transport: asyncio.Transport | None = None
        self._pending: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._out: list[bytes] = []
        self._watch: asyncio.TimerHandle | None = None
        self._is_lost = False
        self._first_s = self._lag_s = self._slow_since_s = 0.0
        self._slow_answers = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but the class

    def send(self, command: bytes) -> asyncio.Future[Any]:
        """Queue one encoded command; the future gives its reply (errors of the server as `ReplyError` values)."""
        if self._is_lost or self._transport is None:
            raise StoreUnavailable(why="connection to the store lost")
        if len(self._pending) >= self._max_in_flight:
            raise Overloaded(why=f"{self._max_in_flight} store commands in flight")
        out = self._out
        now_s = self._loop.time()
        if not out:
            self._loop.call_soon(self._flush)
            self._first_s = now_s
        out.append(command)
        future: asyncio.Future[Any] = self._loop.create_future()
        due_s = now_s + self._timeout_s
        self._pending.append((future, due_s))
        if self._watch is None:
            # One timer a connection, for the oldest command, and not one a command.
            self._watch = self._loop.call_at(due_s, self._look, None)
        return future

    def data_received(self, data: bytes) -> None:
        """Part of `asyncio.Protocol`."""
        parser = self._reader
        pending = self._pending
        due_s = 0.0
        try:
            parser.feed(data)
            # hiredis answers False when more bytes are needed; RESP2 has no booleans to mistake it for.
            while (reply := parser.gets()) is not False:
                if self._on_message is not None and type(reply) is list and reply[:1] in _PUBLISHED:
                    self._on_message(reply[2])  # not asked for
                    continue
                if not pending and type(reply) is list and reply[:1] == _TAKEN_AWAY:
                    return self._end("what was subscribed to is another server's now")
                future, due_s = pending.popleft()
                if not future.done():  # its waiter may have been cancelled
                    future.set_result(reply)
            if self._slow_s is not None and due_s:
                self._judge(due_s - self._timeout_s)
        except (ProtocolError, IndexError) as error:
            self._end(f"the store does not speak RESP: {error!r}")

    def connection_lost(self, exc: Exception | None) -> None:
        """Part of `asyncio.Protocol`."""
        self._end(f"connection to the store lost: {exc!r}" if exc else "the store closed the connection")

    def close(self, why: str = "closed") -> None:
        """End the connection now; what waits is refused."""
        self._end(why)

    def is_slow(self, sent_s: float) -> bool:
        """Whether what was sent at `sent_s` (by the loop's clock) and answered now took longer than it may."""
        return self._slow_s is not None and self._loop.time() - sent_s > self._slow_s + _LAG * self._lag_s

    def _judge(self, sent_s: float) -> None:
        if not self.is_slow(sent_s):
            self._slow_answers = 0
            return
        now_s = self._loop.time()
        if not self._slow_answers:
            self._slow_since_s = now_s
        self._slow_answers += 1
        if self._slow_answers >= SLOW_ANSWERS and now_s - self._slow_since_s >= SLOW_FOR_S:
            self._end(f"the store's answers take {(now_s - sent_s) * 1000:.0f} ms")

    def _flush(self) -> None:
        self._lag_s = self._loop.time() - self._first_s
        out = self._out
        if out and self._transport is not None and not self._is_lost:
            self._transport.write(out[0] if len(out) == 1 else b"".join(out))
        out.clear()

    def _look(self, suspect: asyncio.Future[Any] | None) -> None:
        self._watch = None
        if not self._pending:
            return
        future, due_s = self._pending[0]
        now_s = self._loop.time()
        if due_s > now_s:
            self._watch = self._loop.call_at(due_s, self._look, None)
        elif future is suspect:
            self._end(f"the store gave no answer within {self._timeout_s:g} s")
        else:
            self._watch = self._loop.call_later(_GRACE_S, self._look, future)

    def _end(self, why: str) -> None:
        if self._is_lost:
            return
        self._is_lost = True
        if self._watch is not None:
            self._watch.cancel()
        if self._transport is not None:
            self._transport.abort()
        self._out.clear()
        while self._pending:
            future, _ = self._pending.popleft()
            if not future.done():
                future.set_exception(StoreUnavailable(why=why))
        self._on_lost(why)
