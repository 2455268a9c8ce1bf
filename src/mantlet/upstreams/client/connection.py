"""One HTTP/1.1 connection to an upstream: one request at a time, never pipelined.

Rules of this file: an answer is believed only while the bytes are in step, that is, exactly one final response to the
one request, and nothing before or after; whatever falls out of step is closed. A connection holds one timer that is
moved forward lazily (a timer per call would cost as much as the parsing).
"""

import asyncio
import select
from typing import Any, Final, Protocol, cast

import httptools

from mantlet.core.clock import Clock
from mantlet.core.headers import Headers
from mantlet.core.refusal import BadUpstream, DeadlineExceeded, Refusal
from mantlet.upstreams.client.config import Bounds
from mantlet.upstreams.client.framing import Framing, framing, too_large
from mantlet.upstreams.client.outbox import Outbox
from mantlet.upstreams.client.relay import Relay
from mantlet.upstreams.client.response import BodyStream, Response
from mantlet.upstreams.client.sending import Sending
from mantlet.upstreams.client.whole import WholeAnswers

DOUBTFUL_AFTER_S: Final = 0.05
"""Idle for longer than this, a connection is asked whether the server closed it before it is used again."""


class Vanished(Exception):
    """The connection ended before one byte of the answer came. `HttpClient` makes a refusal of it."""


class Owner(Protocol):
    """Who keeps connections."""

    @property
    def outbox(self) -> Outbox:
        """By which requests are written."""
        ...

    def released(self, connection: "Connection") -> None:
        """`connection` may be used again."""
        ...

    def lost(self, connection: "Connection") -> None:
        """`connection` is gone."""
        ...


class Connection(asyncio.Protocol):
    """A protocol of the loop; `exchange` is its one act."""

    __slots__ = (
        "_bounds",
        "_clock",
        "_due_s",
        "_fields",
        "_framing",
        "_head_bytes",
        "_is_complete",
        "_is_in_step",
        "_is_informational",
        "_is_write_paused",
        "_loop",
        "_owner",
        "_parser",
        "_parts",
        "_poll",
        "_relay",
        "_response",
        "_sending",
        "_size_bytes",
        "_stream",
        "_stream_ends_s",
        "_timer",
        "_timer_at_s",
        "_transport",
        "_whole",
        "answer",
        "idle_since_s",
        "is_open",
        "uses",
    )

    def __init__(self, owner: Owner, bounds: Bounds, clock: Clock) -> None:
        self._owner = owner
        self._bounds = bounds
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._whole = WholeAnswers(bounds)
        self._parser: Any = httptools.HttpResponseParser(self)
        self._transport: Any = None  # until the loop gives one; checking at each use would cost more than it tells
        self._poll: select.poll | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at_s = self._due_s = float("inf")
        self._stream_ends_s = float("inf")
        self._is_in_step = True
        self._is_write_paused = False
        self._relay: Relay | None = None
        self._sending: Sending | None = None
        self.is_open = False
        self.uses = 0
        self.idle_since_s = 0.0
        self.answer: asyncio.Future[Response] | None = None
        """Set from the request to the end of its answer, streams included; None when idle."""
        self._reset()

    def _reset(self) -> None:
        self._fields: list[tuple[bytes, bytes]] = []
        self._parts: list[bytes] = []
        self._head_bytes = self._size_bytes = 0
        self._framing: Framing | None = None
        self._response: Response | None = None
        self._stream: BodyStream | None = None
        self._is_complete = self._is_informational = False

    # --- what the pool and the client do ---------------------------------------------------------------------------

    def exchange(self, message: bytes, deadline_s: float, relay: Relay | None = None) -> "asyncio.Future[Response]":
        """Write `message`; the future has the response once its body is whole, or its head when it is a stream.

        With `relay`, `message` may be a head alone, whose body follows as it comes. Fails with `BadUpstream`,
        `Vanished` or `DeadlineExceeded`, or with what the body's source raises.
        """
        self.uses += 1
        self._reset()
        self.answer = answer = self._loop.create_future()
        self._wake_by(deadline_s)
        self._owner.outbox.add(self._transport, message)
        self._relay = relay
        if relay is not None and relay.body is not None:
            is_paused = self._is_write_paused
            self._sending = Sending(relay.start, relay.body, self._transport, self._fail, is_paused=is_paused)
        return answer

    def is_stale(self) -> bool:
        """Whether an idle connection shows something to read: the server's end, or bytes nobody asked for.

        The loop may not have come to it yet. Asking costs one system call, so only who rested is asked; what is left
        is the flight time of the server's end.
        """
        if self._clock.monotonic() - self.idle_since_s < DOUBTFUL_AFTER_S:
            return False
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(self._poll.poll(0))

    def rest(self) -> None:
        """Stay open for the next request, for `idle_timeout_s` at most."""
        self.idle_since_s = self._clock.monotonic()
        self._wake_by(self.idle_since_s + self._bounds.idle_timeout_s)

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        self.is_open = False
        if self._transport is not None:
            self._transport.abort()

    def pause(self) -> None:
        """For `BodyStream`."""
        self._transport.pause_reading()

    def resume(self) -> None:
        """For `BodyStream`."""
        if self.is_open:
            self._rearm_stream()
            self._transport.resume_reading()

    def peer_certificate(self) -> bytes | None:
        """The server's own certificate (DER), or None without TLS."""
        tls = self._transport.get_extra_info("ssl_object")
        return None if tls is None else cast("bytes | None", tls.getpeercert(binary_form=True))

    # --- asyncio.Protocol ------------------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        """Called by the loop: the server does not keep up."""
        self._is_write_paused = True
        if self._sending is not None:
            self._sending.pause()

    def resume_writing(self) -> None:
        """Called by the loop."""
        self._is_write_paused = False
        if self._sending is not None:
            self._sending.resume()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop. Loops set TCP_NODELAY themselves."""
        self._transport = transport
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        if self.answer is None:
            self.abort()  # nobody asked
            return
        if self._framing is None:
            is_first = self._head_bytes == 0 and (self._relay is None or not self._relay.is_head)
            if is_first and (whole := self._whole.read(data)) is not None:
                # The parser has not seen this answer and need not: it stands where one begins.
                self._head_bytes = len(data)
                self._response = Response(200, whole[0], whole[1])
                self._parts = [whole[1]]
                self._is_complete = True
                self._finish()
                return
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail(BadUpstream(why="the answer switches protocols"))
        except httptools.HttpParserError as error:
            if self._is_complete:
                self._is_in_step = False
            else:
                cause = error.__context__
                self._fail(cause if isinstance(cause, Refusal) else BadUpstream(why=f"the answer is not HTTP: {error}"))
        else:
            # A head still open after this many bytes can be one endless field, which no callback has shown yet.
            if self._framing is None and self._head_bytes > self._bounds.max_head_bytes:
                self._fail(BadUpstream(why="the answer's head is too large"))
        if self._is_complete:
            self._finish()
        elif self._relay is not None and self._stream is None and self._framing is not None:
            self._begin_stream()

    def eof_received(self) -> None:
        """Called by the loop; None lets it close."""
        self._is_in_step = False

    def connection_lost(self, error: Exception | None) -> None:
        """Called by the loop, once."""
        self.is_open = False
        if self._timer is not None:
            self._timer.cancel()
        if self._sending is not None:
            self._sending.stop()
        if self.answer is not None:
            if error is None and self._framing is not None and self._framing.ends_with_connection:
                self._finish()
            elif self._head_bytes == 0:
                self._fail(Vanished("the connection ended before an answer"))
            else:
                self._fail(BadUpstream(why="the connection ended in the middle of an answer"))
        self._owner.lost(self)

    # --- httptools -------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A second message after the final one: what it answers, nobody knows."""
        if self._is_complete:
            self._is_in_step = False
            self._fields = []  # the response has the old list

    def on_header(self, name: bytes, value: bytes) -> None:
        """One field line. Counted when the head is whole; until then the bytes read bound it."""
        self._fields.append((name.lower(), value.strip()))
        if self._framing is not None and len(self._fields) > self._bounds.max_headers:
            raise BadUpstream(why="the answer has too many trailers")

    def on_headers_complete(self) -> None:
        """The head is whole."""
        if self._is_complete:
            return
        status = self._parser.get_status_code()
        if 100 <= status < 200:
            self._is_informational = True
            self._fields = []
            return
        fields, bounds = self._fields, self._bounds
        # The bytes read may hold a body too: only when they are many are the fields themselves measured.
        if len(fields) > bounds.max_headers or (
            self._head_bytes > bounds.max_head_bytes
            and sum(len(name) + len(value) for name, value in fields) > bounds.max_head_bytes
        ):
            raise BadUpstream(why="the answer's head is too large")
        headers = Headers(fields)
        self._fields = []  # for trailers, which are nobody's: what they say came too late to be judged
        self._framing = found = framing(status, headers)
        self._response = Response(status, headers, b"")
        if self._relay is not None and self._relay.is_head:
            self._is_complete = True
            if self._parser.get_http_version() != "1.1" or b"close" in (headers.get(b"connection") or b"").lower():
                self._is_in_step = False
        elif found.is_stream:
            self._begin_stream()
        elif found.length is not None and found.length > bounds.max_answer_bytes:
            raise too_large()

    def on_body(self, data: bytes) -> None:
        """A part of the body."""
        if self._is_complete:
            if self._relay is not None and self._relay.is_head:
                self._is_in_step = False  # an answer to HEAD has none
            return
        if self._stream is not None:
            self._rearm_stream()
            if self._relay is not None and self._framing is not None and not self._framing.is_stream:
                self._count(data)
            self._stream.push(data)
            return
        self._parts.append(data)
        self._count(data)

    def _count(self, data: bytes) -> None:
        self._size_bytes += len(data)
        if self._size_bytes > self._bounds.max_answer_bytes:
            raise too_large()

    def _begin_stream(self) -> None:
        """Hand the answer on with what has come of its body; the rest follows."""
        assert self._response is not None
        self._response.body = self._stream = stream = BodyStream(self)
        self._stream_ends_s = self._clock.monotonic() + self._bounds.stream_total_timeout_s
        self._rearm_stream()
        parts, self._parts = self._parts, []
        for part in parts:
            stream.push(part)
        self._answer(self._response)

    def on_message_complete(self) -> None:
        """The message is whole; whether it ends the exchange is told after the bytes read with it."""
        if self._is_informational:
            self._is_informational = False
            return
        if not self._is_complete:
            self._is_complete = True
            if not self._parser.should_keep_alive():
                self._is_in_step = False

    # --- ends ------------------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        response, stream = self._response, self._stream
        # A server that answers before it has read the request will take the rest of it for the next one.
        is_reusable = self.is_open and self._is_in_step and self._transport.get_write_buffer_size() == 0
        if self._relay is not None:
            is_reusable = self._end_relay(self._relay) and is_reusable
        if stream is not None:
            stream.end()
            if is_reusable:
                self._transport.resume_reading()
        elif response is not None:
            parts = self._parts
            response.body = parts[0] if len(parts) == 1 else b"".join(parts)
            self._answer(response)
        self.answer = None
        if is_reusable:
            self._owner.released(self)
        elif self.is_open:
            self.abort()

    def _end_relay(self, relay: Relay) -> bool:
        """Stop sending; gives whether all was sent."""
        sending, self._sending = self._sending, None
        if sending is not None:
            sending.stop()
        if relay.is_head:
            # The old one waits for a body that the head spoke of: httptools cannot be told that none follows.
            self._parser = httptools.HttpResponseParser(self)
        return sending is None or sending.is_complete

    def _fail(self, error: Exception) -> None:
        answer, self.answer = self.answer, None
        if self._stream is not None:
            self._stream.end(error)
        elif answer is not None and not answer.done():
            answer.set_exception(error)
        if self.is_open:
            self.abort()

    def _answer(self, response: Response) -> None:
        if self.answer is not None and not self.answer.done():
            self.answer.set_result(response)

    # --- time ------------------------------------------------------------------------------------------------------

    def _rearm_stream(self) -> None:
        self._wake_by(min(self._clock.monotonic() + self._bounds.stream_idle_timeout_s, self._stream_ends_s))

    def _wake_by(self, due_s: float) -> None:
        self._due_s = due_s
        if due_s < self._timer_at_s:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at_s = due_s
            self._timer = self._loop.call_later(max(0.0, due_s - self._clock.monotonic()), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._timer_at_s = float("inf")
        now_s = self._clock.monotonic()
        if now_s < self._due_s:
            self._wake_by(self._due_s)
        elif self._stream is not None and self._stream.has_unread and now_s < self._stream_ends_s:
            self._rearm_stream()  # the reader is slow, not the upstream
        elif self.answer is not None:
            self._fail(DeadlineExceeded("The upstream did not answer in time."))
        elif self.is_open:
            self.abort()
