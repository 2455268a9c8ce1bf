"""One client connection: bytes in, one request at a time, deadlines, and a clean end.

A connection is in one of these states, told by its fields:
  waiting    no task, no body          for the first byte of a head, or the rest of it (`_buffer`)
  busy       a task                    the path runs or the answer is written; a body may still be coming in
  deferred   `_is_deferred`            answered much at once; what was sent ahead waits for the loop's next turn
  held       a task that has ended     the answer is sent, and nothing is read for a while
  draining   no task, a body           the answer is sent, the rest of the body is thrown away
  closing    `_is_closing`             nothing is read any more except to be thrown away
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, cast

from mantlet.core.call import Arrival, Reply
from mantlet.core.caller import Caller
from mantlet.core.certificate import PeerCertificate
from mantlet.core.record import Trail
from mantlet.core.refusal import HeadersTooLarge, Malformed, ReceiptTimeout, Refusal
from mantlet.listeners.accept import Accepted
from mantlet.listeners.http import answer, request
from mantlet.listeners.http.body import Body, Whole
from mantlet.listeners.http.door import NEVER_S, ConnectionInfo, Door
from mantlet.listeners.http.exchange import Exchange
from mantlet.listeners.http.handover import Handover, Upgrade
from mantlet.listeners.http.origin import is_preflight, preflight_fields
from mantlet.listeners.http.repeated import Known, Repeated
from mantlet.listeners.peer import address_of, first_untrusted, is_within
from mantlet.wire import http1

PIPELINED_BYTES: Final = 65536
"""What a client may send ahead while it is being answered, before its socket is left unread."""
LINGER_S: Final = 2.0
LINGER_BYTES: Final = 16_777_216
"""How long, and how much, is read and thrown away after a last answer: closing at once would reset the connection, and
the client might never see why. Many clients read nothing before they have sent all of a body."""
MAX_TOLD: Final = 8
"""Requests sent ahead that are answered within one another before others have their turn."""
_END: Final = b"\r\n\r\n"


class Connection(asyncio.Protocol):
    """The protocol of one accepted connection. All methods run on the listener's loop."""

    __slots__ = (
        "_accepted_s",
        "_body",
        "_buffer",
        "_certificate",
        "_exchange",
        "_is_closing",
        "_is_deferred",
        "_is_lost",
        "_is_read_paused",
        "_is_seated",
        "_is_trusted",
        "_lingered",
        "_repeated",
        "_scanned",
        "_task",
        "_told",
        "_transport",
        "_writable",
        "bytes_in",
        "bytes_out",
        "caller",
        "door",
        "id",
        "is_write_paused",
        "peer",
        "receive_deadline_s",
        "requests",
        "write_deadline_s",
    )

    def __init__(self, door: Door, accepted: Accepted | None = None) -> None:
        """`accepted` is given when an `Acceptor` took the connection: it has a seat then, and its peer is known."""
        self.door = door
        self._accepted_s = door.clock.monotonic() if accepted is None else accepted.at_s
        self._is_seated = accepted is not None
        self._certificate: PeerCertificate | None = None if accepted is None else accepted.certificate
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._buffer = bytearray()
        self._scanned = 0
        self._task: asyncio.Task[None] | None = None
        self._told = 0
        self._exchange: Exchange | None = None
        self._body: Body | None = None
        self._is_closing = self._is_lost = self._is_read_paused = self._is_trusted = False
        self._is_deferred = False
        self._lingered = 0
        self._repeated = Repeated(door.repeated)
        self._writable: asyncio.Future[None] | None = None
        self.is_write_paused = False
        self.receive_deadline_s = self._accepted_s + door.config.header_timeout
        self.write_deadline_s = NEVER_S
        self.bytes_in = self.bytes_out = self.requests = 0
        self.caller: Caller | None = None
        self.peer = "" if accepted is None else accepted.peer
        self.id = 0

    # --- coming and going ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a seat, or be refused at once (RATE-06)."""
        self._transport = cast(asyncio.Transport, transport)
        door = self.door
        if not self.peer:
            self.peer = address_of(transport.get_extra_info("peername"))
        if not self._is_seated and not door.seats.take(self.peer):
            self._is_closing = True
            self._transport.write(answer.bare(503, door.constant))
            self._transport.close()
            return
        self._is_seated = True
        self._is_trusted = is_within(self.peer, door.trusted)
        door.served += 1
        self.id = door.served
        door.guests.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        """The client is gone: the work for it stops (MCP-07)."""
        self._is_lost = self._is_closing = True
        if self._is_seated:
            self._is_seated = False
            self.door.guests.discard(self)
            self.door.seats.give_back(self.peer)
        self._cancel()
        # At once, and not when the collector finds the circle of connection, exchange and task.
        self._buffer.clear()
        self._repeated.forget()
        self._exchange = self._body = None

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
        if self._task is None and not self._buffer and not self._is_closing:
            if linger_s:
                self.receive_deadline_s = min(self.receive_deadline_s, self.door.clock.monotonic() + linger_s)
            else:
                self._close()

    def abort(self) -> None:
        """Cancel the work and drop the connection without flushing."""
        self._is_closing = True
        if not self._is_lost:
            self._transport.abort()

    def hand_over(self, upgrade: Upgrade) -> None:
        """Give the connection away; it is this one's no longer. Called by the task of the request that asked for it."""
        self._task = self._exchange = None
        if self._is_closing:
            return
        door = self.door
        self._is_closing = True
        self._is_seated = False
        handover = Handover(self._transport, door, self.peer, self.id, self._accepted_s, bytes(self._buffer))
        self._buffer.clear()
        door.guests.discard(self)
        successor = upgrade(handover)
        door.guests.add(successor)
        self._transport.set_protocol(cast(asyncio.Protocol, successor))
        self._resume_reading()
        successor.begin()

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

    # --- bytes in -----------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Bytes of a head, of a body, or ahead of their turn."""
        self.bytes_in += len(data)
        if self._is_closing:
            self._lingered += len(data)
            if self._lingered > LINGER_BYTES:
                self.abort()
            return
        if self._body is not None:
            data = self._feed_body(self._body, data)
            if not data:
                return
        if self._task is not None or self.is_write_paused or self._is_deferred:
            self._buffer += data
            if len(self._buffer) > PIPELINED_BYTES:
                self._pause_reading()
            return
        if self._buffer:
            self._buffer += data
            self._begin(self._buffer)
        else:
            self._begin(data)

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
        config = self.door.config
        end = data.find(_END, self._scanned) + len(_END)
        if end < len(_END):
            if data is not self._buffer:
                self._buffer += data
                if self.requests:
                    # The first head's deadline runs from accept, so that a silent connection has one.
                    self.receive_deadline_s = self.door.clock.monotonic() + config.header_timeout
            try:
                http1.check_partial(
                    self._buffer,
                    self._scanned,
                    max_header_bytes=config.max_header_bytes,
                    max_target_bytes=config.max_target_bytes,
                )
            except Refusal as refusal:
                self._start_refusal(refusal)
            self._scanned = max(0, len(self._buffer) - 3)
            return
        self._scanned = 0
        rest: bytes | None = None
        if data is self._buffer:
            # Cut off in place: copying the rest for each of many pipelined requests would be quadratic.
            block = bytes(data[:end])
            del self._buffer[:end]
        else:
            block = cast(bytes, data[:end])
            rest = cast(bytes, data[end:])
        if end > config.max_header_bytes:
            self._start_refusal(HeadersTooLarge())
            return
        self._start(block, rest)

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
            framing = head.framing
            exchange.verb = head.verb
            exchange.is_http10 = head.is_http10
            exchange.closes = not framing.is_persistent or head.verb == "CONNECT"
            exchange.expects_continue = framing.expects_continue
            now_s = door.clock.monotonic()
            body = exchange.body = self._receive(framing.length, rest, now_s)
            trail = exchange.trail
            headers = head.headers
            if self._is_trusted:
                trail.peer = first_untrusted(self.peer, headers.all(door.forwarded), door.trusted, door.forwarded)
            if not framing.is_plain:
                trail.client_request_id = http1.client_request_id(headers)
                trail.trace_id = http1.trace_id(headers)
            request.admit(head, door.names, max_body_bytes=door.max_body_bytes)
            exchange.extra = head.extra
            path, query = http1.path_of(head.target, headers.get(b"host"))
            if not framing.is_plain and is_preflight(head.verb, headers):
                exchange.extra = []
                self._run(exchange.serve_reply(Reply(204, preflight_fields(headers, door.names), origin="node")))
                return
        except Refusal as refusal:
            if isinstance(refusal, Malformed):
                exchange.closes = True
            self._run(exchange.serve_refusal(refusal))
            return
        known = Known(head.verb, path, query, headers, trail.peer)
        if self.caller is not None and framing.is_plain and not (exchange.closes or head.is_http10):
            self._repeated.keep(block, known)  # of who was let in before: a stranger is not worth the memory
        self._serve(exchange, known, body, now_s, may_tell=self._is_trusted)

    def _serve(
        self, exchange: Exchange, known: Known, body: Body | Whole, now_s: float, *, may_tell: bool = False
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
        # Whoever comes by itself is made to wait for an answer of this kind, see `hold`: that takes a task.
        if may_tell and door.told is not None and (told := door.told(arrival)) is not None:
            self._tell(exchange, told)
        else:
            self._run(exchange.serve(arrival))

    def _tell(self, exchange: Exchange, told: Reply) -> None:
        assert isinstance(told.body, bytes)
        self._told += 1
        try:
            exchange.tell(told, told.body)
        finally:
            self._told -= 1

    def _receive(self, length: int, rest: bytes | None, now_s: float) -> Body | Whole:
        """The body that begins in `rest`, or in the buffer when there is no `rest`."""
        config = self.door.config
        if rest and len(rest) == length <= config.max_body_bytes:
            return Whole(rest)
        body = Body(length, config.max_body_bytes, self._body_wanted, max_bytes=self.door.max_body_bytes)
        if rest is None:
            self._feed_from_buffer(body)
        elif rest:
            self._buffer += rest if body.is_complete else body.feed(rest)
        if not body.is_complete:
            self._body = body
            self.receive_deadline_s = now_s + config.body_timeout_s
            if body.is_waiting:
                self._pause_reading()
        return body

    def _feed_from_buffer(self, body: Body) -> None:
        while self._buffer and not (body.is_complete or body.is_failed):
            part = bytes(self._buffer[: body.wanted_bytes])
            del self._buffer[: len(part)]
            if surplus := body.feed(part):
                self._buffer[:0] = surplus

    def _new_exchange(self) -> Exchange:
        door = self.door
        self.requests += 1
        exchange = self._exchange = Exchange(self, Trail(door.new_id(), door.name, self.peer, door.clock.wall()))
        return exchange

    def _start_refusal(self, refusal: Refusal) -> None:
        """Answer a head that never became one."""
        self._buffer.clear()
        self.receive_deadline_s = NEVER_S
        self._run(self._new_exchange().serve_refusal(refusal))

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        self._task = self.door.tasks.start(work, "http request", tells_itself=True)

    def _body_wanted(self) -> None:
        """The path asks for a body that is not here yet."""
        exchange = self._exchange
        if exchange is not None and exchange.expects_continue:
            # Only now: a client that waits has then not sent a body which nobody wants (RFC 9110 section 10.1.1).
            exchange.expects_continue = False
            self.write(answer.CONTINUE)
        self._resume_reading()

    def finish(self, closes: bool) -> None:
        """The answer in flight is written; go on to what comes next. Called by its task, as its last act."""
        # A head that was not understood may be followed by anything.
        is_in_step = self._exchange is not None and self._exchange.body is not None
        self._task = self._exchange = None
        if self._is_closing:
            return
        if closes:
            self._close(lingers=self._body is not None or bool(self._buffer) or not is_in_step)
        elif self._body is not None:
            self._body.discard()  # its deadline stands
            self._resume_reading()
        else:
            self.receive_deadline_s = self._idle_deadline_s()
            if self._buffer and not self.is_write_paused:
                if self._told < MAX_TOLD:
                    self._continue()
                else:
                    self._defer()

    def _defer(self) -> None:
        """Let others have their turn first."""
        self._is_deferred = True
        if len(self._buffer) > PIPELINED_BYTES:
            self._pause_reading()
        asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        self._is_deferred = False
        if self._buffer and not (self._is_closing or self.is_write_paused):
            self._continue()  # deferred means idle: nothing else has begun on the buffer meanwhile

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

    def release(self, closes: bool) -> None:
        """The while is over."""
        self.finish(closes or self.door.is_leaving)
        if not self._is_closing and self._task is None and self._body is None:
            self._resume_reading()

    def _continue(self) -> None:
        """Begin on what was sent ahead."""
        self.receive_deadline_s = self.door.clock.monotonic() + self.door.config.header_timeout
        self._begin(self._buffer)
        # Only when what is here is used up: reading on after each of many small requests would let a client that
        # sends faster than it is answered fill the memory.
        is_hungry = (self._task is None and not self._is_deferred) or len(self._buffer) <= PIPELINED_BYTES
        if is_hungry and (self._body is None or not self._body.is_waiting):
            self._resume_reading()

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
        elif self._body is None and self._buffer:
            self._start_refusal(ReceiptTimeout())
        else:
            self._close()

    def _close(self, *, lingers: bool = False) -> None:
        """End the connection after what is written; `lingers` when the client may still be sending."""
        self._is_closing = True
        self._body = None
        self._buffer.clear()
        config = self.door.config
        # A client that does not read its last answer must not keep the connection either.
        flush_s = config.write_timeout if self._transport.get_write_buffer_size() else LINGER_S
        self.receive_deadline_s = self.door.clock.monotonic() + flush_s
        if not lingers:
            self._transport.close()
            return
        self._resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()

    # --- flow ---------------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send and count."""
        self.bytes_out += len(data)
        self._transport.write(data)

    def pause_writing(self) -> None:
        """The client does not keep up."""
        self.is_write_paused = True
        self.write_deadline_s = self.door.clock.monotonic() + self.door.config.write_timeout

    def resume_writing(self) -> None:
        """It has read on."""
        self.is_write_paused = False
        self.write_deadline_s = NEVER_S
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        if self._task is None and self._buffer and not (self._is_closing or self._is_deferred):
            self._continue()

    async def writable(self) -> None:
        """Wait until the client has read enough of what was sent."""
        self._writable = asyncio.get_running_loop().create_future()
        try:
            await self._writable
        finally:
            self._writable = None

    def _pause_reading(self) -> None:
        if not self._is_read_paused:
            self._is_read_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._is_read_paused:
            self._is_read_paused = False
            self._transport.resume_reading()
