"""One HTTP/2 connection to an upstream: many requests at once, each under its own deadline.

A server that says goodbye (GOAWAY) still answers what it has begun; what it has not is `Unprocessed`. It pushes
nothing: that is refused in the first frame. What it sends for nothing is counted as that of clients is.
"""

import asyncio
import select
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Protocol, cast

from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import ProtocolError, StreamClosedError
from h2.settings import SettingCodes, Settings

from mantlet.core.clock import Clock
from mantlet.core.refusal import BadUpstream, Refusal
from mantlet.upstreams.client.config import Bounds
from mantlet.upstreams.client.connection import DOUBTFUL_AFTER_S, Vanished
from mantlet.upstreams.client.http2.exchange import NEVER_S, Exchange, Unprocessed
from mantlet.upstreams.client.http2.message import split
from mantlet.wire.http2 import codes
from mantlet.wire.http2.abuse import Abuse, Points
from mantlet.wire.http2.frames import Gate

STREAM_BYTES: Final = 262_144
"""What a server may send ahead on one stream whose reader does not keep up."""
RECEIVE_BYTES: Final = 1_048_576
"""The same of the connection; given back as it comes, since every stream has a bound of its own."""
TABLE_BYTES: Final = 4096
MAX_REQUESTS: Final = 10_000
"""On one connection, before another is made: what is kept of ended streams stays small."""
_CONFIG: Final = H2Configuration(
    client_side=True,
    header_encoding=None,
    validate_outbound_headers=False,
    normalize_outbound_headers=False,
    normalize_inbound_headers=False,
)


class Owner(Protocol):
    """Who keeps connections."""

    def freed(self) -> None:
        """A stream has ended, or there is room for more."""
        ...

    def lost(self, connection: "Http2Connection") -> None:
        """`connection` is gone, or takes no new requests."""
        ...


class Http2Connection(asyncio.Protocol):
    """A protocol of the loop; `exchange` is its one act."""

    def __init__(self, owner: Owner, bounds: Bounds, clock: Clock) -> None:
        self._owner, self._bounds, self._clock = owner, bounds, clock
        self._loop = asyncio.get_running_loop()
        now_s = clock.monotonic()
        self._points = Points(now_s)
        self._gate = Gate(
            self._points, max_block_bytes=bounds.max_head_bytes, is_server=False, on_goaway=self._server_leaves
        )
        self._h2 = _engine(bounds.max_head_bytes)
        self._transport: Any = None
        self._exchanges: dict[int, Exchange] = {}
        self._is_write_paused = False
        self._poll: select.poll | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at_s = NEVER_S
        self._idle_since_s = now_s
        self.is_open = False
        self.is_leaving = False
        self.uses = 0

    # --- what the client does -----------------------------------------------------------------------------------

    @property
    def alpn(self) -> str | None:
        """What TLS agreed on."""
        tls = self._transport.get_extra_info("ssl_object")
        return None if tls is None else cast("str | None", tls.selected_alpn_protocol())

    def peer_certificate(self) -> bytes | None:
        """The server's own certificate (DER), or None without TLS."""
        tls = self._transport.get_extra_info("ssl_object")
        return None if tls is None else cast("bytes | None", tls.getpeercert(binary_form=True))

    def begin(self) -> None:
        """Speak HTTP/2, now that TLS has agreed on it and the pins fit."""
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(RECEIVE_BYTES - 65_535)
        self._flush()
        self._arm()

    @property
    def room(self) -> int:
        """How many requests more it takes now."""
        if not self.is_open or self.is_leaving:
            return 0
        return min(self._h2.remote_settings.max_concurrent_streams, 1000) - len(self._exchanges)

    @property
    def under_way(self) -> int:
        """Requests whose answer has not ended."""
        return len(self._exchanges)

    def is_stale(self) -> bool:
        """Whether a rested connection shows something to read that the loop has not come to: perhaps its end."""
        if self._exchanges or self._clock.monotonic() - self._idle_since_s < DOUBTFUL_AFTER_S:
            return False
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(self._poll.poll(0))

    def exchange(self, message: bytes, deadline_s: float) -> Exchange:
        """Write `message`. The answer fails with `BadUpstream`, `Vanished`, `Unprocessed` or `DeadlineExceeded`."""
        fields, body = split(message)
        self.uses += 1
        stream_id = self._h2.get_next_available_stream_id()
        exchange = Exchange(self, self._bounds, stream_id, body, deadline_s)
        self._exchanges[stream_id] = exchange
        self._h2.send_headers(stream_id, cast(Any, fields), end_stream=not body)
        self._write_body(exchange)
        self._flush()
        self.wake_by(deadline_s)
        if self.uses >= MAX_REQUESTS:
            self.leave()
        return exchange

    def give_up(self, exchange: Exchange, error: Exception | None) -> None:
        """Tell the server that nobody waits; `error` is for whoever does."""
        if self._exchanges.get(exchange.id) is not exchange:
            return
        if error is not None:
            exchange.fail(error)
        exchange.is_over = True
        with suppress(StreamClosedError, ProtocolError):
            self._h2.reset_stream(exchange.id, codes.CANCEL)
        self._done(exchange)
        self._flush()

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        self.is_open = False
        if self._transport is not None:
            self._transport.abort()

    def release(self, stream_id: int, count: int) -> None:
        """`count` bytes were taken: the server may send as many more, on the stream too unless it is 0."""
        if not count or not self.is_open:
            return
        if stream_id:
            self._h2.acknowledge_received_data(count, stream_id)
        else:
            self._h2.increment_flow_control_window(count)

    def reopen(self, stream_id: int, count: int) -> None:
        """A reader that was slow has taken `count` bytes."""
        if count and self.is_open:
            try:
                self._h2.increment_flow_control_window(count, stream_id)
            except (StreamClosedError, ProtocolError):
                return
            self._flush()

    # --- asyncio.Protocol ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport = transport
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        if not self.is_open:
            return
        now_s = self._clock.monotonic()
        try:
            for event in self._h2.receive_data(self._gate.feed(data, now_s)):
                act = _ACTS.get(type(event))
                if act is not None:
                    act(self, event, now_s)
        except (Abuse, ProtocolError) as error:
            self._fail_all(BadUpstream(why=f"the answer is not HTTP/2: {error}"))
            self._flush()
            self.abort()
            return
        self._flush()
        self._close_if_done()

    def connection_lost(self, error: Exception | None) -> None:
        """Called by the loop, once."""
        self.is_open = False
        if self._timer is not None:
            self._timer.cancel()
        for exchange in list(self._exchanges.values()):
            if exchange.has_begun:
                exchange.fail(BadUpstream(why="the connection ended in the middle of an answer"))
            else:
                exchange.fail(Vanished("the connection ended before an answer"))
        self._exchanges.clear()
        self._owner.lost(self)

    def pause_writing(self) -> None:
        """Called by the loop: the server does not keep up."""
        self._is_write_paused = True

    def resume_writing(self) -> None:
        """Called by the loop."""
        self._is_write_paused = False
        self._write_bodies()

    # --- events -------------------------------------------------------------------------------------------------

    def _on_head(self, event: events.ResponseReceived, now_s: float) -> None:
        if (exchange := self._exchanges.get(event.stream_id)) is not None:
            self._guarded(exchange, lambda: exchange.head(cast(Any, event.headers), now_s))

    def _on_data(self, event: events.DataReceived, now_s: float) -> None:
        exchange = self._exchanges.get(event.stream_id)
        if exchange is None:
            self.release(event.stream_id, event.flow_controlled_length)
            return
        self._guarded(exchange, lambda: exchange.data(bytes(event.data or b""), event.flow_controlled_length, now_s))

    def _on_ended(self, event: events.StreamEnded, now_s: float) -> None:
        if (exchange := self._exchanges.get(event.stream_id)) is None:
            return
        self._guarded(exchange, exchange.end)
        if exchange.unsent:
            # It has answered without hearing us out: the rest is of no use to it (section 8.1).
            self.give_up(exchange, None)
        else:
            self._done(exchange)

    def _on_reset(self, event: events.StreamReset, now_s: float) -> None:
        if (exchange := self._exchanges.get(event.stream_id)) is not None:
            if event.error_code == codes.REFUSED_STREAM and not exchange.has_begun:
                exchange.fail(Unprocessed("the server refused the stream"))
            else:
                exchange.fail(BadUpstream(why=f"the server reset the stream ({int(event.error_code or 0)})"))
            self._done(exchange)

    def _on_window(self, event: Any, now_s: float) -> None:
        self._write_bodies()

    def _on_settings(self, event: events.RemoteSettingsChanged, now_s: float) -> None:
        # The server's offer of memory is not ours to take.
        self._h2.encoder.header_table_size = min(self._h2.encoder.header_table_size, TABLE_BYTES)
        self._write_bodies()
        self._owner.freed()

    def _server_leaves(self, last_stream: int, code: int) -> None:
        for exchange in list(self._exchanges.values()):
            if exchange.id > last_stream:
                exchange.fail(Unprocessed("the server is leaving"))
                self._exchanges.pop(exchange.id, None)
        self.leave()

    def _guarded(self, exchange: Exchange, act: Callable[[], None]) -> None:
        try:
            act()
        except Refusal as refusal:
            self.give_up(exchange, refusal)

    # --- ends ---------------------------------------------------------------------------------------------------

    def leave(self) -> None:
        """Take no new request, and close when those under way have their answers."""
        if not self.is_leaving:
            self.is_leaving = True
            self._owner.lost(self)
        self._loop.call_soon(self._close_if_done)

    def _done(self, exchange: Exchange) -> None:
        self._exchanges.pop(exchange.id, None)
        if not self._exchanges:
            self._idle_since_s = self._clock.monotonic()
            self._arm()
        self._owner.freed()
        if self.is_leaving:
            self._loop.call_soon(self._close_if_done)

    def _close_if_done(self) -> None:
        if self.is_leaving and not self._exchanges and self.is_open:
            self.is_open = False
            self._transport.close()

    def _fail_all(self, error: Exception) -> None:
        for exchange in list(self._exchanges.values()):
            exchange.fail(error)
        self._exchanges.clear()

    # --- what goes out ------------------------------------------------------------------------------------------

    def _write_bodies(self) -> None:
        for exchange in list(self._exchanges.values()):
            if exchange.unsent:
                self._write_body(exchange)
        self._flush()

    def _write_body(self, exchange: Exchange) -> None:
        engine = self._h2
        while exchange.unsent and not self._is_write_paused:
            room = min(engine.local_flow_control_window(exchange.id), engine.max_outbound_frame_size)
            if room <= 0:
                return
            part, exchange.unsent = exchange.unsent[:room], exchange.unsent[room:]
            engine.send_data(exchange.id, bytes(part), end_stream=not exchange.unsent)
            self._points.sent_data()
            self._flush()

    def _flush(self) -> None:
        if (data := self._h2.data_to_send()) and self.is_open:
            self._transport.write(data)

    # --- time ---------------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        """Have the timer go off at the next deadline."""
        if self._exchanges:
            self.wake_by(min(exchange.due_s for exchange in self._exchanges.values()))
        else:
            self.wake_by(self._idle_since_s + self._bounds.idle_timeout_s)

    def wake_by(self, due_s: float) -> None:
        """Have the timer go off at `due_s`, if not before."""
        if due_s < self._timer_at_s:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at_s = due_s
            self._timer = self._loop.call_later(max(0.0, due_s - self._clock.monotonic()), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._timer_at_s = NEVER_S
        now_s = self._clock.monotonic()
        for exchange in list(self._exchanges.values()):
            if exchange.due_s <= now_s:
                exchange.expire(now_s)
        if not self._exchanges and now_s >= self._idle_since_s + self._bounds.idle_timeout_s:
            self.leave()
        elif self.is_open:
            self._arm()


_ACTS: Final[dict[type, Callable[[Http2Connection, Any, float], None]]] = {
    events.ResponseReceived: Http2Connection._on_head,
    events.DataReceived: Http2Connection._on_data,
    events.StreamEnded: Http2Connection._on_ended,
    events.StreamReset: Http2Connection._on_reset,
    events.WindowUpdated: Http2Connection._on_window,
    events.RemoteSettingsChanged: Http2Connection._on_settings,
}


def _engine(max_head_bytes: int) -> H2Connection:
    engine = H2Connection(_CONFIG)
    engine.local_settings = Settings(
        client=True,
        initial_values={
            SettingCodes.ENABLE_PUSH: 0,
            SettingCodes.MAX_HEADER_LIST_SIZE: max_head_bytes,
            SettingCodes.INITIAL_WINDOW_SIZE: STREAM_BYTES,
        },
    )
    engine.decoder.max_header_list_size = max_head_bytes
    return engine
