"""One client connection as it is served: bytes in, one request at a time, and on to the next.

Where a request begins and ends is `framing`; how a connection waits and ends, `lifetime`; what is refused like others a
moment ago, `told`; the answer, `exchange`.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, cast

from mantlet.core.call import Arrival, Reply
from mantlet.core.certificate import PeerCertificate
from mantlet.core.refusal import Malformed, Refusal
from mantlet.listeners.accept import Accepted
from mantlet.listeners.http import answer, request
from mantlet.listeners.http.body import Body, Whole
from mantlet.listeners.http.door import NEVER_S, Door
from mantlet.listeners.http.exchange import Exchange
from mantlet.listeners.http.handover import Handover, Upgrade
from mantlet.listeners.http.lifetime import Lifetime
from mantlet.listeners.http.origin import is_preflight, preflight_fields
from mantlet.listeners.http.repeated import Known, Repeated
from mantlet.listeners.http.told import AtOnce
from mantlet.wire import http1


class Connection(Lifetime):
    """The protocol of one accepted connection. All methods run on the listener's loop."""

    __slots__ = ("_at_once", "_certificate", "_repeated")

    def __init__(self, door: Door, accepted: Accepted | None = None) -> None:
        super().__init__(door, accepted)
        self._at_once: AtOnce | None = None
        self._certificate: PeerCertificate | None = None if accepted is None else accepted.certificate
        self._repeated = Repeated(door.repeated)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `Lifetime`."""
        super().connection_made(transport)
        if self._is_trusted and self.door.told is not None:
            # Whoever comes by itself is made to wait for an answer of this kind, see `hold`: that takes a task.
            self._at_once = AtOnce(self.door.told, self._go_on)

    def connection_lost(self, error: Exception | None) -> None:
        """See `Lifetime`."""
        super().connection_lost(error)
        self._repeated.forget()

    def hand_over(self, upgrade: Upgrade) -> None:
        """Give the connection away; it is this one's no longer. Called by the task of the request that asked for it."""
        self._task = self._exchange = None
        if self._is_closing:
            return
        door, seat = self.door, self._seat
        assert seat is not None
        self._is_closing = True
        self._seat = None
        seat.keep()  # by whoever was let in
        handover = Handover(self._transport, door, seat, self.id, self._accepted_s, bytes(self._ahead.buffer))
        self._ahead.clear()
        door.guests.discard(self)
        successor = upgrade(handover)
        door.guests.add(successor)
        self._transport.set_protocol(cast(asyncio.Protocol, successor))
        self._resume_reading()
        successor.begin()

    # --- bytes in -----------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Bytes of a head, of a body, or ahead of their turn."""
        self.bytes_in += len(data)
        if self._is_closing:
            self._throw_away(len(data))
            return
        if self._body is not None:
            data = self._feed_body(self._body, data)
            if not data:
                return
        ahead = self._ahead
        at_once = self._at_once
        if self._task is not None or self.is_write_paused or (at_once is not None and at_once.is_deferred):
            ahead.buffer += data
            if ahead.is_too_much:
                self._pause_reading()
            return
        if ahead.buffer:
            ahead.buffer += data
            self._begin(ahead.buffer)
        else:
            self._begin(data)

    @property
    def _is_deferred(self) -> bool:
        return self._at_once is not None and self._at_once.is_deferred

    def _feed_body(self, body: Body, data: bytes) -> bytes:
        surplus = body.feed(data)
        if body.is_complete:
            self._body = None
            self.receive_deadline_s = NEVER_S if self._task is not None else self._idle_deadline_s()
        elif self._task is None and body.is_failed:
            self._close(lingers=True)
        elif body.is_waiting:
            self._pause_reading()
        return surplus

    def _begin(self, data: bytes | bytearray) -> None:
        """Start on the head at the beginning of `data` if it is whole, else keep it."""
        door = self.door
        is_first_part = not self._ahead.buffer
        try:
            found = self._ahead.head(data, door.config)
        except Refusal as refusal:
            self._start_refusal(refusal)
            return
        if found is not None:
            self._start(*found)
        elif is_first_part and self.requests:
            # The first head's deadline runs from accept, so that a silent connection has one.
            self.receive_deadline_s = door.clock.monotonic() + door.config.header_timeout

    def _body_wanted(self) -> None:
        """The path asks for a body that is not here yet."""
        exchange = self._exchange
        if exchange is not None and exchange.expects_continue:
            # Only now: a client that waits has then not sent a body which nobody wants (RFC 9110 section 10.1.1).
            exchange.expects_continue = False
            self.write(answer.CONTINUE)
        self._resume_reading()

    # --- one request --------------------------------------------------------------------------------------------

    def _start(self, block: bytes, rest: bytes | None) -> None:
        door = self.door
        config = door.config
        exchange = self._new_exchange()
        self.receive_deadline_s = NEVER_S
        if rest and len(rest) <= config.max_body_bytes and (known := self._repeated.find(block, len(rest))) is not None:
            exchange.verb, exchange.closes, exchange.body = known.verb, False, Whole(rest)
            exchange.trail.peer = known.peer
            self._serve(exchange, known, exchange.body, door.clock.monotonic())
            return
        try:
            head = request.parse(block, max_target_bytes=config.max_target_bytes, max_headers=config.max_headers)
            exchange.begin(head)
            now_s = door.clock.monotonic()
            body = exchange.body = self._receive(head.framing.length, rest, now_s)
            request.trace(head, exchange.trail, door, is_trusted=self._is_trusted)
            request.admit(head, door.names, max_body_bytes=door.max_body_bytes)
            exchange.extra = head.extra
            path, query = http1.path_of(head.target, head.headers.get(b"host"))
            if not head.framing.is_plain and is_preflight(head.verb, head.headers):
                exchange.extra = []
                fields = preflight_fields(head.headers, door.names)
                self._run(exchange.serve_reply(Reply(204, fields, origin="node")))
                return
        except Refusal as refusal:
            if isinstance(refusal, Malformed):
                exchange.closes = True
            self._run(exchange.serve_refusal(refusal))
            return
        known = Known(head.verb, path, query, head.headers, exchange.trail.peer)
        if self.caller is not None and head.framing.is_plain and not (exchange.closes or head.is_http10):
            self._repeated.keep(block, known)  # of who was let in before: a stranger is not worth the memory
        self._serve(exchange, known, body, now_s, self._at_once)

    def _serve(
        self, exchange: Exchange, known: Known, body: Body | Whole, now_s: float, at_once: AtOnce | None = None
    ) -> None:
        door = self.door
        arrival = Arrival(
            known.verb,
            known.path,
            known.query,
            known.headers,
            known.peer,
            body.read,
            now_s + door.config.request_timeout,
            exchange.trail,
            door.is_tls,
            peer_certificate=self._certificate,
        )
        if type(body) is Whole:
            arrival.body = body.octets
        elif body.length != 0:
            arrival.incoming = body
            exchange.arrival = arrival
        if at_once is None or not at_once.answer(arrival, exchange.tell):
            self._run(exchange.serve(arrival))

    def _receive(self, length: int, rest: bytes | None, now_s: float) -> Body | Whole:
        """The body that begins in `rest`, or in the buffer when there is no `rest`."""
        config = self.door.config
        if rest and len(rest) == length <= config.max_body_bytes:
            return Whole(rest)
        body = Body(length, config.max_body_bytes, self._body_wanted, max_bytes=self.door.max_body_bytes)
        self._ahead.feed(body, rest)
        if not body.is_complete:
            self._body = body
            self.receive_deadline_s = now_s + config.body_timeout_s
            if body.is_waiting:
                self._pause_reading()
        return body

    def _new_exchange(self) -> Exchange:
        exchange = self._exchange = Exchange(self, self._trail())
        return exchange

    def _start_refusal(self, refusal: Refusal) -> None:
        self._ahead.clear()
        self.receive_deadline_s = NEVER_S
        self._run(self._new_exchange().serve_refusal(refusal))

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        self._task = self.door.tasks.start(work, "http request", tells_itself=True)

    # --- and the next -------------------------------------------------------------------------------------------

    def finish(self, closes: bool) -> None:
        """The answer in flight is written; go on to what comes next. Called by its task, as its last act."""
        # A head that was not understood may be followed by anything.
        is_in_step = self._exchange is not None and self._exchange.body is not None
        self._task = self._exchange = None
        if self._is_closing:
            return
        if closes:
            self._close(lingers=self._body is not None or bool(self._ahead.buffer) or not is_in_step)
            return
        if self.caller is None and self._seat is not None:
            self._seat.lend(self)
        if self._body is not None:
            self._body.discard()  # its deadline stands
            self._resume_reading()
        else:
            self.receive_deadline_s = self._idle_deadline_s()
            if self._ahead.buffer and not self.is_write_paused:
                if self._at_once is None or not self._at_once.is_deep:
                    self._continue()
                else:
                    if self._ahead.is_too_much:
                        self._pause_reading()
                    self._at_once.defer()

    def hold(self, closes: bool) -> None:
        """The same, a while later: until then nothing more is read, and the seat stays taken.

        So who floods gets as many answers a second as it may have connections, and what else it sends waits in its own
        machine. A proxy brings what many say: it is not made to wait.
        """
        if self._is_trusted or self._is_closing:
            self.finish(closes)
            return
        self._pause_reading()
        self.door.hold(self, closes)
        if self.caller is None and self._seat is not None:
            self._seat.lend(self)

    def release(self, closes: bool) -> None:
        """The while is over."""
        self.finish(closes or self.door.is_leaving)
        if not self._is_closing and self._task is None and self._body is None:
            self._resume_reading()

    def _continue(self) -> None:
        """Begin on what was sent ahead."""
        self.receive_deadline_s = self.door.clock.monotonic() + self.door.config.header_timeout
        self._begin(self._ahead.buffer)
        # Only when what is here is used up: reading on after each of many small requests would let a client that
        # sends faster than it is answered fill the memory.
        is_hungry = (self._task is None and not self._is_deferred) or not self._ahead.is_too_much
        if is_hungry and (self._body is None or not self._body.is_waiting):
            self._resume_reading()

    def _go_on(self) -> None:
        """Others have had their turn. Deferred means idle: nothing has begun on the buffer meanwhile."""
        if self._ahead.buffer and not (self._is_closing or self.is_write_paused):
            self._continue()

    def resume_writing(self) -> None:
        """The client has read on."""
        super().resume_writing()
        if self._task is None and not self._is_deferred:
            self._go_on()
