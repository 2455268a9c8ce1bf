"""One HTTP/2 connection as it is served: frames in, streams begun, everything that a client can send for nothing under
a bound. How it waits and ends is `lifetime`, what goes out `flow`.
"""

from collections.abc import Callable
from typing import Any, Final, cast

from h2 import events
from h2.exceptions import ProtocolError

from mantlet.core.record import Trail
from mantlet.listeners.accept import Accepted
from mantlet.listeners.http.door import NEVER_S, Door
from mantlet.listeners.http2.engine import TABLE_BYTES
from mantlet.listeners.http2.lifetime import Lifetime
from mantlet.listeners.http2.stream import Stream
from mantlet.wire.http2 import abuse, codes
from mantlet.wire.http2.abuse import Abuse
from mantlet.wire.http2.frames import Gate

MAX_REQUESTS: Final = 10_000
"""On one connection, before the client is asked to make another: what is kept of ended streams stays small."""


class Http2Connection(Lifetime):
    """The protocol of one connection that agreed on `h2`. All methods run on the listener's loop."""

    def __init__(self, door: Door, accepted: Accepted) -> None:
        super().__init__(door, accepted)
        header_bytes = door.config.max_header_bytes
        self._gate = Gate(self._points, max_block_bytes=header_bytes, on_goaway=self._client_leaves)

    # --- frames in ----------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Frames, or parts of them."""
        self._bytes_in += len(data)
        if self._is_closing:
            self._throw_away(len(data))
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

    # --- streams out --------------------------------------------------------------------------------------------

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
