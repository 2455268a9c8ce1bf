"""How a connection comes, waits and goes: its seat, its deadlines, whom it gives way to, and a clean end.

A connection is in one of these states, told by its fields:
  waiting    no task, no body          for the first byte of a head, or the rest of it (`_ahead`)
  busy       a task                    the path runs or the answer is written; a body may still be coming in
  deferred   `_at_once`                answered much at once; what was sent ahead waits for the loop's next turn
  held       a task that has ended     the answer is sent, and nothing is read for a while
  draining   no task, a body           the answer is sent, the rest of the body is thrown away
  closing    `_is_closing`             nothing is read any more except to be thrown away
"""

import asyncio
from typing import Final, cast

from mantlet.core.caller import Caller
from mantlet.core.record import Trail
from mantlet.core.refusal import ReceiptTimeout, Refusal
from mantlet.listeners.accept import RESTED_S, Accepted
from mantlet.listeners.http import answer
from mantlet.listeners.http.body import Body
from mantlet.listeners.http.door import NEVER_S, ConnectionInfo, Door
from mantlet.listeners.http.exchange import Exchange
from mantlet.listeners.http.flow import Flow
from mantlet.listeners.http.framing import Ahead
from mantlet.listeners.peer import address_of

LINGER_S: Final = 2.0
LINGER_BYTES: Final = 16_777_216
"""How long, and how much, is read and thrown away after a last answer: closing at once would reset the connection, and
the client might never see why. Many clients read nothing before they have sent all of a body."""


class Lifetime(Flow):
    """What is under way on one connection, and until when."""

    __slots__ = (
        "_accepted_s",
        "_ahead",
        "_body",
        "_exchange",
        "_is_closing",
        "_is_lost",
        "_is_trusted",
        "_lingered",
        "_seat",
        "_task",
        "caller",
        "id",
        "peer",
        "receive_deadline_s",
        "requests",
    )

    def __init__(self, door: Door, accepted: Accepted | None) -> None:
        """`accepted` is given when an `Acceptor` took the connection: it has a seat then, and its peer is known."""
        super().__init__(door)
        self._accepted_s = door.clock.monotonic() if accepted is None else accepted.at_s
        self._seat = None if accepted is None else accepted.seat
        self._ahead = Ahead()
        self._task: asyncio.Task[None] | None = None
        self._exchange: Exchange | None = None
        self._body: Body | None = None
        self._is_closing = self._is_lost = self._is_trusted = False
        self._lingered = 0
        self.receive_deadline_s = self._accepted_s + door.config.header_timeout
        self.requests = 0
        self.caller: Caller | None = None
        """Of the last request that was answered."""
        self.peer = "" if accepted is None else accepted.seat.peer
        self.id = 0

    # --- coming and going ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a seat, or be refused at once (RATE-06)."""
        self._transport = cast(asyncio.Transport, transport)
        door = self.door
        seat = self._seat
        if seat is None:
            self.peer = address_of(transport.get_extra_info("peername"))
            seat = self._seat = door.seats.take(self.peer)
            if seat is None:
                self._is_closing = True
                self._transport.write(answer.bare(503, door.constant))
                self._transport.close()
                return
            seat.lend(self)
        else:
            seat.holder = self  # lent when it was accepted: its handshake does not make it a newcomer again
        self._is_trusted = seat.is_trusted
        door.served += 1
        self.id = door.served
        door.guests.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        """The client is gone: the work for it stops (MCP-07)."""
        self._is_lost = self._is_closing = True
        self._give_up_seat()
        self._cancel()
        # At once, and not when the collector finds the circle of connection, exchange and task.
        self._ahead.clear()
        self._exchange = self._body = None

    def _give_up_seat(self) -> None:
        seat, self._seat = self._seat, None
        if seat is not None:
            self.door.guests.discard(self)
            seat.leave()

    def eof_received(self) -> bool:
        """A client that has closed its side has gone: waiting for a reset could take as long as the call."""
        self._cancel()
        self._close()
        return False

    def _cancel(self) -> None:
        # Once: a second cancellation would strike the clean-up that the first one began.
        task, self._task = self._task, None
        if task is not None:
            task.cancel()

    def leave(self, linger_s: float = 0.0, /) -> None:
        """Close if idle, or when nothing has come within `linger_s`; what is in flight closes after its answer."""
        if self._task is None and not self._ahead.buffer and not self._is_closing:
            if linger_s:
                self.receive_deadline_s = min(self.receive_deadline_s, self.door.clock.monotonic() + linger_s)
            else:
                self._close()

    def abort(self) -> None:
        """Cancel the work and drop the connection without flushing."""
        self._is_closing = True
        if not self._is_lost:
            self._transport.abort()

    def info(self, now_s: float) -> ConnectionInfo:
        """Tell about it."""
        return ConnectionInfo(
            id=self.id,
            peer=self.peer,
            age_s=now_s - self._accepted_s,
            requests=self.requests,
            bytes_in=self.bytes_in,
            bytes_out=self.bytes_out,
            in_flight=self._task is not None,
            caller="" if self.caller is None else self.caller.name,
        )

    # --- giving way ---------------------------------------------------------------------------------------------

    @property
    def rests_since_s(self) -> float:
        """When the last request of who is known was answered; infinite while anything is under way."""
        if self.caller is None or self._task is not None or self._body is not None:
            return NEVER_S
        if self._is_closing or self._is_trusted or self._ahead.buffer or self._transport.get_write_buffer_size():
            return NEVER_S
        return self.receive_deadline_s - self.door.config.idle_timeout

    def make_room(self) -> bool:
        """Leave for a newcomer: while nobody is known here, or when who is has rested (RATE-06)."""
        if self._is_at_work():
            return False
        if self.caller is not None and not (
            (self._is_closing and not self._transport.get_write_buffer_size())
            or self.rests_since_s + RESTED_S <= self.door.now_s
        ):
            return False
        self._give_up_seat()
        self.abort()
        return True

    def _is_at_work(self) -> bool:
        """Whether a request is being answered. A stranger's that is still coming in is not: it may take its time."""
        task = self._task
        if task is None or task.done():
            return False
        arrival = None if self._exchange is None or self._body is None else self._exchange.arrival
        return arrival is None or arrival.caller is not None

    # --- deadlines and the end ----------------------------------------------------------------------------------

    def _idle_deadline_s(self) -> float:
        return self.door.now_s + self.door.config.idle_timeout

    def expire(self, now_s: float) -> None:
        """A deadline has passed: say so if a request is under way, else just go (HTTP-05)."""
        if self._is_closing or self.write_deadline_s <= now_s:
            self.abort()
            return
        self.receive_deadline_s = NEVER_S
        if self._body is not None and self._task is not None:
            self._body.fail(ReceiptTimeout())
        elif self._body is None and self._ahead.buffer:
            self._refuse_late()
        else:
            self._close()

    def _refuse_late(self) -> None:
        door, refusal = self.door, ReceiptTimeout()
        if door.unanswered is None or not door.is_crowded:
            self._start_refusal(refusal)
            return
        door.unanswered(self._trail(), refusal)
        self.abort()

    def _start_refusal(self, refusal: Refusal) -> None:
        """Answer a head that never became one."""
        raise NotImplementedError

    def _trail(self) -> Trail:
        """Of a request that begins."""
        door = self.door
        self.requests += 1
        return Trail(door.new_id(), door.name, self.peer, door.clock.wall())

    def _close(self, *, lingers: bool = False) -> None:
        """End the connection after what is written; `lingers` when the client may still be sending."""
        self._is_closing = True
        self._body = None
        self._ahead.clear()
        config = self.door.config
        # A client that does not read its last answer must not keep the connection either.
        flush_s = config.write_timeout if self._transport.get_write_buffer_size() else LINGER_S
        self.receive_deadline_s = self.door.clock.monotonic() + flush_s
        if self._seat is not None:
            self._seat.lend(self)
        if not lingers:
            self._transport.close()
            return
        self._resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()

    def _throw_away(self, count: int) -> None:
        """Bytes that nobody reads any more."""
        self._lingered += count
        if self._lingered > LINGER_BYTES:
            self.abort()
