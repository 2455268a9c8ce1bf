"""The frames that the node sends on one connection: gathered, counted, and no faster than the client takes them."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final, cast

from h2.exceptions import StreamClosedError

from mantlet.listeners.accept import Accepted
from mantlet.listeners.http.door import NEVER_S, Door
from mantlet.listeners.http2.engine import engine
from mantlet.wire.http2.abuse import Points

GATHERED_BYTES: Final = 32_768
"""Of answers, before they are written in the middle of a turn: only writing tells that a client does not keep up."""


class Flow(asyncio.Protocol):
    """What streams ask for. What the client's frames mean is for those who build on it."""

    def __init__(self, door: Door, accepted: Accepted) -> None:
        self.door = door
        self.is_write_paused = False
        self._paused_deadline_s = NEVER_S
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._points = Points(accepted.at_s)
        self._h2 = engine(door.config.max_streams, door.config.max_header_bytes)
        self._can_write = asyncio.Event()
        self._can_write.set()
        self._is_closing = self._is_lost = self._is_flushing = False
        self._unflushed = self._bytes_out = 0
        self._loop = asyncio.get_running_loop()

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

    async def writable(self) -> None:
        """Wait until the client has read enough of what was sent."""
        await self._can_write.wait()

    # --- what goes out ------------------------------------------------------------------------------------------

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

    def resume_writing(self) -> None:
        """It has read on."""
        self.is_write_paused = False
        self._can_write.set()
        self._paused_deadline_s = NEVER_S
