"""One HTTP/2 connection: bytes in, streams out, everything that a client can send for nothing under a bound.

What ends it: the client's end; a broken or abusive frame (GOAWAY, then closed); silence past a deadline; the node's
leaving (GOAWAY first for streams not yet begun, closed when those that have are answered).
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from h2 import events
from h2.exceptions import ProtocolError, StreamClosedError

from mantlet.core.caller import Caller
from mantlet.core.record import Trail
from mantlet.core.refusal import Malformed
from mantlet.listeners.accept import RESTED_S, Accepted
from mantlet.listeners.http.door import NEVER_S, ConnectionInfo, Door
from mantlet.listeners.http2.engine import RECEIVE_BYTES, STREAM_BYTES, TABLE_BYTES, engine
from mantlet.listeners.http2.stream import Stream
from mantlet.wire.http2 import abuse, codes
from mantlet.wire.http2.abuse import Abuse, Points
from mantlet.wire.http2.frames import Gate, goaway

MAX_REQUESTS: Final = 10_000
"""On one connection, before the client is asked to make another: what is kept of ended streams stays small."""
GATHERED_BYTES: Final = 32_768
"""Of answers, before they are written in the middle of a turn: only writing tells that a client does not keep up."""
LINGER_S: Final = 0.5
LINGER_BYTES: Final = 1_048_576
"""As in `http.connection`, and less: only a client that is abusive is read so, for a body is refused by its stream."""
LEAVE_S: Final = 1.0
"""How long a client may take to hear that the node leaves, before streams it has just begun are turned away."""
_LAST_POSSIBLE: Final = 2**31 - 1


class Http2Connection(asyncio.Protocol):
    """The protocol of one connection that agreed on `h2`. All methods run on the listener's loop."""

    def __init__(self, door: Door, accepted: Accepted) -> None:
        self.door = door
        self.peer = accepted.peer
        self._seat = accepted.seat
        self.certificate = accepted.certificate
        self.is_trusted = accepted.seat.is_trusted
        self.caller: Caller | None = None
        self.id = 0
        self.is_write_paused = False
        self.receive_deadline_s = self.write_deadline_s = NEVER_S
        self._accepted_s = accepted.at_s
        self._opening_deadline_s = accepted.at_s + door.config.header_timeout
        """Of the client's preface, later of a header block that has begun."""
        self._idle_deadline_s = self._leave_deadline_s = self._paused_deadline_s = NEVER_S
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._points = Points(accepted.at_s)
        config = door.config
        self._gate = Gate(self._points, max_block_bytes=config.max_header_bytes, on_goaway=self._client_leaves)
        self._h2 = engine(config.max_streams, config.max_header_bytes)
        self._streams: dict[int, Stream] = {}
        self._can_write = asyncio.Event()
        self._can_write.set()
        self._is_closing = self._is_lost = self._is_leaving = self._has_left = self._is_held = False
        self._is_flushing = False
        self._unflushed = self._lingered = 0
        self._loop = asyncio.get_running_loop()
        self._requests = self._bytes_in = self._bytes_out = 0

    # --- coming and going ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say what we take."""
        self._transport = cast(asyncio.Transport, transport)
        self._seat.holder = self
        self.door.served += 1
        self.id = self.door.served
        self.door.guests.add(self)
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(RECEIVE_BYTES - STREAM_BYTES)
        self.flush()
        self.reckon()
        if self.door.is_leaving:
            self.leave()  # its handshake began before

    def connection_lost(self, error: Exception | None) -> None:
        """The client is gone: the work for it stops (MCP-07)."""
        self._is_lost = self._is_closing = True
        self.door.guests.discard(self)
        self._seat.leave()
        self._stop_all()
        self._can_write.set()

    def eof_received(self) -> bool:
        """A client that has closed its side has gone."""
        self._stop_all()
        self._close()
        return False

    def leave(self, linger_s: float = 0.0, /) -> None:
        """Take no new streams, in two steps: what the client began before it heard of it is still served."""
        if self._is_closing or self._is_leaving:
            return
        self._is_leaving = True
        self._leave_deadline_s = self.door.clock.monotonic() + LEAVE_S
        # The ping first: clients on `h2` understand nothing that comes behind a GOAWAY.
        self._h2.ping(b"leaving.")
        self.flush()
        self._write(goaway(_LAST_POSSIBLE, codes.NO_ERROR))
        self.reckon()

    def _leave_now(self) -> None:
        if self._has_left or self._is_closing:
            return
        self._has_left = True
        self._leave_deadline_s = NEVER_S
        self.flush()
        self._write(goaway(self._h2.highest_inbound_stream_id, codes.NO_ERROR))
        if not self._streams:
            self._close()

    def _client_leaves(self, last_stream: int, code: int) -> None:
        """It will begin no more streams; those it has begun are answered."""
        self._is_leaving = self._has_left = True

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
            requests=self._requests,
            bytes_in=self._bytes_in,
            bytes_out=self._bytes_out,
            in_flight=bool(self._streams),
            caller="" if self.caller is None else self.caller.name,
        )

    # --- frames in ----------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Frames, or parts of them."""
        self._bytes_in += len(data)
        if self._is_closing:
            self._lingered += len(data)
            if self._lingered > LINGER_BYTES:
                self.abort()
            return
        now_s = self.door.clock.monotonic()
        was_in_block, was_begun = self._gate.is_in_block, self._gate.is_begun
        try:
            for event in self._h2.receive_data(self._gate.feed(data, now_s)):
                act = _ACTS.get(type(event))
                if act is not None:
                    act(self, event, now_s)
        except Abuse as broken:
            self._end(broken.code, broken.why)
            return
        except ProtocolError as error:
            self._end(None, str(error))  # `h2` has written the GOAWAY
            return
        except Exception as error:  # the root of all that a frame sets in motion
            self.door.on_error(error, None)
            self.abort()
            return
        if self._gate.is_in_block and not was_in_block:
            self._opening_deadline_s = now_s + self.door.config.header_timeout
        elif self._gate.is_begun and not self._gate.is_in_block:
            self._opening_deadline_s = NEVER_S
            if not was_begun and not self._streams:
                self._idle_deadline_s = now_s + self.door.config.idle_timeout
        self.flush()
        if self._has_left and not self._streams:
            self._close()
            return
        self.reckon()

    def _on_request(self, event: events.RequestReceived, now_s: float) -> None:
        stream_id = event.stream_id
        if self._has_left or len(self._streams) >= self.door.config.max_streams:
            # Also those whose client has taken them back and whose work is not yet cleaned up: counting only what the
            # client keeps open is what made rapid resets so cheap.
            self._h2.reset_stream(stream_id, codes.REFUSED_STREAM)
            self._points.spend(abuse.REFUSED, "refused streams", now_s)
            return
        self._requests += 1
        self._idle_deadline_s = NEVER_S
        door = self.door
        stream = Stream(self, stream_id, Trail(door.new_id(), door.name, self.peer, door.clock.wall()))
        self._streams[stream_id] = stream
        stream.begin(cast(Any, event.headers), now_s, has_ended=event.stream_ended is not None)
        if self._requests >= MAX_REQUESTS:
            self.leave()

    def _on_data(self, event: events.DataReceived, now_s: float) -> None:
        flow_bytes = event.flow_controlled_length
        stream = self._streams.get(event.stream_id)
        if stream is None:
            # Answered: the rest may come as far as its window goes, and no farther.
            if flow_bytes:
                self._h2.increment_flow_control_window(flow_bytes)
        else:
            stream.feed(bytes(event.data or b""), flow_bytes)

    def _on_ended(self, event: events.StreamEnded, now_s: float) -> None:
        stream = self._streams.get(event.stream_id)
        if stream is not None:
            stream.end()

    def _on_trailers(self, event: events.TrailersReceived, now_s: float) -> None:
        stream = self._streams.get(event.stream_id)
        if stream is not None:
            stream.spoil()

    def _on_reset(self, event: events.StreamReset, now_s: float) -> None:
        if not event.remote_reset:
            # `h2` had to, for a frame that broke its stream: as cheap for the client as taking a request back.
            self._points.spend(abuse.RESET, "broken streams", now_s)
        stream = self._streams.get(event.stream_id)
        if stream is not None:
            stream.stop(None)

    def _on_window(self, event: events.WindowUpdated, now_s: float) -> None:
        stream_id = event.stream_id
        for stream in [self._streams.get(stream_id)] if stream_id else list(self._streams.values()):
            if stream is not None:
                stream.make_room()

    def _on_settings(self, event: events.RemoteSettingsChanged, now_s: float) -> None:
        # The client says how much memory our answers' tables may take; we say how much they do.
        self._h2.encoder.header_table_size = min(self._h2.encoder.header_table_size, TABLE_BYTES)
        for stream in list(self._streams.values()):
            stream.make_room()  # another initial window moves that of every open stream

    def _on_ping_ack(self, event: events.PingAckReceived, now_s: float) -> None:
        if self._is_leaving:
            self._leave_now()

    # --- what streams ask for -----------------------------------------------------------------------------------

    def send_head(self, stream_id: int, fields: Sequence[tuple[bytes, bytes]], *, ends: bool) -> None:
        """A header list; nothing else is waited for when it `ends` the stream."""
        self._h2.send_headers(stream_id, cast(Any, fields), end_stream=ends)
        self._flush_soon()

    def send_data(self, stream_id: int, data: bytes | memoryview, *, ends: bool) -> None:
        """One frame; `room` says how much it may hold."""
        self._h2.send_data(stream_id, bytes(data), end_stream=ends)
        self._points.sent_data()
        self._unflushed += len(data)
        if self._unflushed >= GATHERED_BYTES:
            self.flush()
        else:
            self._flush_soon()

    def room(self, stream_id: int) -> int:
        """How many bytes of an answer may be sent now."""
        return min(self._h2.local_flow_control_window(stream_id), self._h2.max_outbound_frame_size)

    def acknowledge(self, stream_id: int, count: int) -> None:
        """`count` bytes of a body have been taken."""
        if not self._is_closing:
            self._h2.acknowledge_received_data(count, stream_id)
            self._flush_soon()

    def reset(self, stream_id: int, code: int) -> None:
        """End a stream without an answer, or without the rest of it."""
        if self._is_closing:
            return
        try:
            self._h2.reset_stream(stream_id, code)
        except StreamClosedError:
            return  # both sides have ended it
        self.flush()

    def charge(self, points: float, what: str, now_s: float) -> None:
        """Count what a client did for nothing. Raises `Abuse`; only within what its frames set in motion."""
        self._points.spend(points, what, now_s)

    def done(self, stream: Stream) -> None:
        """A stream's task has ended."""
        stream.release()
        if self._streams.pop(stream.id, None) is None or self._is_closing:
            return
        if stream.is_answered:
            self._points.answered()
        if not self._streams:
            if self._has_left:
                self._close()
                return
            self._idle_deadline_s = self.door.now_s + self.door.config.idle_timeout
            if self.caller is None:
                self._seat.lend(self)
        self.reckon()

    # --- giving way ---------------------------------------------------------------------------------------------

    @property
    def rests_since_s(self) -> float:
        """When the last request of who is known was answered; infinite while anything is under way."""
        if (
            self.caller is None
            or self._streams
            or self._is_closing
            or self.is_trusted
            or self._transport.get_write_buffer_size()
        ):
            return NEVER_S
        return self._idle_deadline_s - self.door.config.idle_timeout

    def make_room(self) -> bool:
        """Leave for a newcomer: while nobody is known here, or when who is has rested (RATE-06)."""
        if any(stream.is_at_work for stream in self._streams.values()):
            return False
        if self.caller is not None and not (
            (self._is_closing and not self._transport.get_write_buffer_size())
            or self.rests_since_s + RESTED_S <= self.door.now_s
        ):
            return False
        self.door.guests.discard(self)
        self._seat.leave()
        self.abort()
        return True

    # --- deadlines and the end ----------------------------------------------------------------------------------

    def reckon(self) -> None:
        """Work out which deadline is next; the door looks at no others."""
        if self._is_closing:
            return
        streams = self._streams.values()
        self.receive_deadline_s = min(
            self._opening_deadline_s,
            self._idle_deadline_s,
            self._leave_deadline_s,
            min((stream.body_deadline_s for stream in streams), default=NEVER_S),
        )
        self.write_deadline_s = min(
            self._paused_deadline_s, min((stream.write_deadline_s for stream in streams), default=NEVER_S)
        )

    def expire(self, now_s: float) -> None:
        """A deadline has passed (HTTP-05)."""
        if self._is_closing or self._paused_deadline_s <= now_s:
            self.abort()
        elif self._opening_deadline_s <= now_s:
            self._end(codes.ENHANCE_YOUR_CALM, "a preface or header block that does not end")
        elif self._idle_deadline_s <= now_s:
            self._leave_now()
        else:
            if self._leave_deadline_s <= now_s:
                self._leave_now()
            for stream in list(self._streams.values()):
                stream.expire(now_s)
            self.reckon()

    def _end(self, code: int | None, why: str) -> None:
        """End the connection for what its client did, and record it."""
        self.flush()
        if code is not None:
            self._write(goaway(self._h2.highest_inbound_stream_id, code))
        door = self.door
        trail = Trail(door.new_id(), door.name, self.peer, door.clock.wall())
        door.tasks.start(_record(door, trail, f"HTTP/2: {why}"), "http2 abuse")
        self._is_closing = True
        self._stop_all()
        # The client may still be sending: closing at once would reset the connection, and it might never see why.
        self.receive_deadline_s = door.clock.monotonic() + LINGER_S
        self.write_deadline_s = NEVER_S
        self._transport.resume_reading()

    def _close(self) -> None:
        """End the connection after what is written."""
        self.flush()
        self._is_closing = True
        config = self.door.config
        flush_s = config.write_timeout if self._transport.get_write_buffer_size() else LINGER_S
        self.receive_deadline_s = self.door.clock.monotonic() + flush_s
        self.write_deadline_s = NEVER_S
        self._seat.lend(self)
        self._transport.close()

    def _stop_all(self) -> None:
        for stream in list(self._streams.values()):
            stream.stop(None)

    # --- flow ---------------------------------------------------------------------------------------------------

    def _flush_soon(self) -> None:
        """Send it when this turn of the loop is over: head and body, and the answers of other streams, in one record
        of TLS (40 us each)."""
        if not self._is_flushing:
            self._is_flushing = True
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Send what `h2` has made."""
        self._is_flushing = False
        self._unflushed = 0
        if data := self._h2.data_to_send():
            self._write(data)

    def _write(self, data: bytes) -> None:
        if not self._is_lost:
            self._bytes_out += len(data)
            self._transport.write(data)

    def pause_writing(self) -> None:
        """The client does not keep up: no answers for it, and no more work from it."""
        self.is_write_paused = True
        self._can_write.clear()
        self._transport.pause_reading()
        self._paused_deadline_s = self.door.clock.monotonic() + self.door.config.write_timeout
        self.reckon()

    def resume_writing(self) -> None:
        """It has read on."""
        self.is_write_paused = False
        self._can_write.set()
        self._paused_deadline_s = NEVER_S
        self.reckon()
        if not self._is_closing and not self._is_held:
            self._transport.resume_reading()

    def hold(self) -> None:
        """Read nothing more of this client for a while; see `http.connection`."""
        if self.is_trusted or self._is_held or self._is_closing:
            return
        self._is_held = True
        self._transport.pause_reading()
        self.door.hold(self, False)

    def release(self, closes: bool) -> None:
        """The while is over."""
        self._is_held = False
        if not self._is_closing and not self.is_write_paused:
            self._transport.resume_reading()

    async def writable(self) -> None:
        """Wait until the client has read enough of what was sent."""
        await self._can_write.wait()


_ACTS: Final[dict[type, Callable[[Http2Connection, Any, float], None]]] = {
    events.RequestReceived: Http2Connection._on_request,
    events.DataReceived: Http2Connection._on_data,
    events.StreamEnded: Http2Connection._on_ended,
    events.TrailersReceived: Http2Connection._on_trailers,
    events.StreamReset: Http2Connection._on_reset,
    events.WindowUpdated: Http2Connection._on_window,
    events.RemoteSettingsChanged: Http2Connection._on_settings,
    events.PingAckReceived: Http2Connection._on_ping_ack,
}


async def _record(door: Door, trail: Trail, why: str) -> None:
    await door.refuse(trail, Malformed(why=why))
