"""The conversation of one connection: messages in, each through the path, and what comes back as messages out.

Modern requests stand alone. A legacy client has one session, which lives as long as its connection: the id that its
`initialize` was answered with goes with every later message, the stream on which a server speaks unasked is opened
here, and the session ends with the connection.
"""

import asyncio
from collections import deque
from typing import Final

from mantlet.core.call import Arrival
from mantlet.core.caller import Caller
from mantlet.core.headers import Headers
from mantlet.core.record import Trail
from mantlet.core.refusal import (
    Blocked,
    InvalidCredential,
    InvalidJson,
    InvalidRequest,
    Overloaded,
    RateLimited,
    Refusal,
    SessionNotFound,
)
from mantlet.core.stream import aclose
from mantlet.listeners.messages import envelope
from mantlet.listeners.messages.carrier import Carrier, Ending, Terms
from mantlet.listeners.messages.envelope import Head, Id
from mantlet.listeners.messages.exchange import Exchange, Whole
from mantlet.listeners.messages.session_stream import SessionStream
from mantlet.wire import answer
from mantlet.wire.mcp.inbound import LAST_EVENT_ID, SESSION_ID

END_S: Final = 5.0
"""How long a session of a connection that is gone may take to end."""
SPARE_CANCELLATIONS: Final = 16
"""More than one for each request, before a client counts as flooding: nothing else limits or answers them."""
MAX_BYTES: Final = 4 * 1024 * 1024
"""What messages under way or waiting may take together before nothing more is read; one more may come then."""
MAX_WAITING: Final = 20_000
"""Messages that wait, whatever their carrier does: it reads in slices, and stops between them."""
_FIELDS: Final = (
    (b"content-type", b"application/json"),
    (b"accept", b"application/json, text/event-stream"),
)
_PLAIN: Final = Headers(_FIELDS)
_HANDSHAKE: Final = frozenset({envelope.INITIALIZE, envelope.INITIALIZED})
_NOTHING: Final = Whole(b"")
_ABUSE: Final = (RateLimited, InvalidJson, InvalidRequest)


class Conversation:
    """Everything runs on one loop. `receive` never blocks; `is_full` says when to stop giving it messages."""

    __slots__ = (
        "_barrier",
        "_bytes",
        "_fields",
        "_headers",
        "_in_flight",
        "_is_ended",
        "_is_leaving",
        "_others",
        "_pending",
        "_refused",
        "_session",
        "_spare",
        "_stream",
        "caller",
        "carrier",
        "last_s",
        "messages",
        "path",
        "peer",
        "terms",
    )

    def __init__(self, terms: Terms, carrier: Carrier, caller: Caller, path: str, peer: str) -> None:
        self.terms = terms
        self.carrier = carrier
        self.caller = caller
        self.path = path
        self.peer = peer
        self.messages = 0
        self.last_s = terms.clock.monotonic()
        """When a message last came or went, on the monotonic clock."""
        self._fields: list[tuple[bytes, bytes]] = list(_FIELDS)
        self._headers = _PLAIN
        self._session: bytes | None = None
        self._in_flight: dict[Id, Exchange] = {}
        self._others: set[Exchange] = set()
        """Notifications and responses. They never wait for a place: what holds the places may be waiting for them."""
        self._pending: deque[bytes] = deque()
        self._barrier: Exchange | None = None
        self._stream: SessionStream | None = None
        self._bytes = self._refused = 0
        self._spare = SPARE_CANCELLATIONS
        self._is_ended = self._is_leaving = False
        terms.came(self)

    # --- messages in --------------------------------------------------------------------------------------------

    @property
    def is_full(self) -> bool:
        """Whether no further message should be read for now."""
        limit = self.terms.max_in_flight
        return len(self._pending) >= limit or len(self._others) >= limit or self._bytes > MAX_BYTES

    @property
    def is_busy(self) -> bool:
        """Whether anything is under way."""
        return bool(self._in_flight or self._others or self._pending)

    def receive(self, message: bytes) -> None:
        """Take one whole message."""
        if self._is_ended:
            return
        if self._is_leaving or len(self._pending) >= MAX_WAITING:
            self.turn_away(message)
            return
        self.messages += 1
        self.last_s = self.terms.clock.monotonic()
        head = envelope.head_of(message)
        if self._must_wait(head):
            self._pending.append(message)
            self._bytes += len(message)
        else:
            self._take(head, message)

    def turn_away(self, message: bytes) -> None:
        """Answer that it cannot be taken now."""
        head = envelope.head_of(message)
        if head.is_request:
            trail = Trail(self.terms.new_id(), self.terms.door, self.peer, 0.0, rpc_id=envelope.raw(head.id))
            why = "The node is going away; connect again." if self._is_leaving else "Too many requests at once."
            self.carrier.send(answer.rpc_error(Overloaded(why), trail))

    def _must_wait(self, head: Head) -> bool:
        if self._barrier is not None:
            # Only after a handshake step was heard may a server see what the client sent behind it.
            return head.method != envelope.CANCELLED
        return head.is_request and (bool(self._pending) or len(self._in_flight) >= self.terms.max_in_flight)

    def _take(self, head: Head, message: bytes) -> None:
        cancelled: Exchange | None = None
        if head.method == envelope.CANCELLED:
            cancelled = self._to_cancel(message)
            if cancelled is None or self._session is None or cancelled.arrival.trail.era == "modern":
                if cancelled is not None:
                    cancelled.stop()
                return
        exchange = Exchange(self, head, self._arrival(message), len(message))
        if not head.is_request:
            exchange.cancels = None if cancelled is None else cancelled.head.id
            self._others.add(exchange)
        elif head.id in self._in_flight:
            self._run_refusal(exchange)
            return
        else:
            assert head.id is not None
            self._spare += 1
            self._in_flight[head.id] = exchange
        self._bytes += exchange.size
        if head.method in _HANDSHAKE:
            self._barrier = exchange
        exchange.task = self.terms.tasks.start(exchange.serve(), "message", tells_itself=True)

    def _to_cancel(self, message: bytes) -> Exchange | None:
        """The request under way that `message` cancels: nothing is sent for it any more."""
        self._spare -= 1
        if self._spare < 0:
            self.carrier.close(Ending.ABUSE)
            return None
        identity = envelope.cancelled_id(message)
        exchange = None if identity is None else self._in_flight.get(identity)
        if exchange is None or exchange.head.method == envelope.INITIALIZE:
            return None  # too late, or what cannot be cancelled (2025-11-25, cancellation)
        exchange.is_answered = True
        return exchange

    def _run_refusal(self, exchange: Exchange) -> None:
        """Two requests under one id: which answer is whose nobody could tell, so it is answered to none."""
        trail = exchange.arrival.trail
        trail.action = exchange.head.method[:64]
        refusal = InvalidRequest("A request with this id is under way.")

        async def refuse() -> None:
            await self.terms.refuse(trail, refusal)
            self.carrier.send(answer.rpc_error(refusal, trail))

        self.terms.tasks.start(refuse(), "message")
        self._count_refusal()

    def _arrival(self, message: bytes) -> Arrival:
        terms = self.terms
        trail = Trail(terms.new_id(), terms.door, self.peer, terms.clock.wall())
        headers = self._headers
        if headers is not _PLAIN and envelope.is_modern(message):
            headers = _PLAIN  # a modern message beside a session: neither its version nor its id is of this one
        return Arrival(
            "POST",
            self.path,
            b"",
            headers,
            self.peer,
            Whole(message).read,
            self.last_s + terms.request_timeout_s,
            trail,
            terms.is_tls,
            self.caller,
            True,
        )

    # --- what exchanges tell ------------------------------------------------------------------------------------

    def admitted(self) -> None:
        """A message was let through."""
        self._refused = 0

    def answered(self, exchange: Exchange, message: bytes) -> None:
        """The answer to a request is about to be sent: its id is free again."""
        if exchange.head.id is not None and self._in_flight.get(exchange.head.id) is exchange:
            del self._in_flight[exchange.head.id]
            self._others.add(exchange)
        if exchange.head.method == envelope.INITIALIZE and (field := envelope.negotiated_version(message)):
            self._fields = [*_FIELDS, field]
            self._renew_headers()

    def finished(self, exchange: Exchange) -> None:
        """Its task is at its end."""
        self.last_s = self.terms.clock.monotonic()
        head = exchange.head
        self._bytes -= exchange.size
        self._others.discard(exchange)
        if head.id is not None and self._in_flight.get(head.id) is exchange:
            del self._in_flight[head.id]
        if self._is_ended:
            return
        cancelled = None if exchange.cancels is None else self._in_flight.get(exchange.cancels)
        if cancelled is not None and cancelled.is_answered:
            cancelled.stop()  # the server has been told by now; what is under way here is given up
        if head.method == envelope.INITIALIZED and self._session is not None and self._stream is None:
            self._stream = SessionStream(self)
            self._stream.start()
        if self._barrier is exchange:
            self._barrier = None
        if self._pending:
            self._go_on()
        self.carrier.room()
        if self._is_leaving and not self.is_busy:
            self.carrier.close(Ending.LEAVING)

    def _go_on(self) -> None:
        while self._pending and self._barrier is None:
            head = envelope.head_of(self._pending[0])
            if head.is_request and len(self._in_flight) >= self.terms.max_in_flight:
                return
            message = self._pending.popleft()
            self._bytes -= len(message)
            self._take(head, message)

    def refused(self, refusal: Refusal, exchange: Exchange) -> None:
        """A message was refused."""
        if isinstance(refusal, InvalidCredential):
            self.carrier.close(Ending.LAPSED)
        elif (
            isinstance(refusal, SessionNotFound)
            and self._session is not None
            and exchange.arrival.trail.era != "modern"
        ):
            # A message door has no way to ask for a new handshake but a new connection.
            self._session = None
            self.carrier.close(Ending.SESSION)
        elif isinstance(refusal, Blocked):
            self.carrier.close(Ending.BLOCKED)
        elif isinstance(refusal, _ABUSE):
            self._count_refusal()
        else:
            self._refused = 0

    def _count_refusal(self) -> None:
        self._refused += 1
        if self._refused >= self.terms.max_refused:
            self.carrier.close(Ending.ABUSE)

    # --- the session of a legacy client -------------------------------------------------------------------------

    def begin_session(self, session: bytes) -> None:
        """`initialize` was answered with a session; an earlier one of this connection ends."""
        if self._session is not None:
            self._end_session()
        self._session = session
        self._renew_headers()

    def _renew_headers(self) -> None:
        session = [] if self._session is None else [(SESSION_ID, self._session)]
        self._headers = Headers([*self._fields, *session])

    def stream_arrival(self, last_event: bytes | None = None) -> Arrival:
        """The request for the stream on which the server speaks unasked."""
        arrival = self._arrival(b"")
        arrival.verb, arrival.read = "GET", _NOTHING.read
        if last_event is not None:
            arrival.headers = Headers([*self._headers, (LAST_EVENT_ID, last_event)])
        return arrival

    def _end_session(self) -> None:
        if self._stream is not None:
            self._stream.stop()
            self._stream = None
        arrival = self._arrival(b"")
        arrival.verb, arrival.read = "DELETE", _NOTHING.read
        self._session = None
        task = self.terms.tasks.start(_ended(self.terms, arrival), "session end", tells_itself=True)
        self.terms.endings.add(task)
        task.add_done_callback(self.terms.endings.discard)

    # --- the end ------------------------------------------------------------------------------------------------

    def leave(self) -> None:
        """Take no more, and close the connection once what is under way has been answered."""
        self._is_leaving = True
        for exchange in [e for e in self._in_flight.values() if e.head.method == "subscriptions/listen"]:
            exchange.stop()  # it would never end
        if not self.is_busy:
            self.carrier.close(Ending.LEAVING)

    def end(self) -> None:
        """The connection is gone: cancel everything, and end the session."""
        if self._is_ended:
            return
        self._is_ended = True
        self.terms.gone(self)
        self._pending.clear()
        for exchange in [*self._in_flight.values(), *self._others]:
            exchange.stop()
        if self._session is not None:
            self._end_session()


async def _ended(terms: Terms, arrival: Arrival) -> None:
    try:
        async with asyncio.timeout(END_S):
            reply = await terms.handler(arrival)
            if not isinstance(reply.body, bytes):
                await aclose(reply.body)
    except (Refusal, TimeoutError):
        return
    except Exception as error:  # a task root
        terms.on_error(error, arrival.trail)
