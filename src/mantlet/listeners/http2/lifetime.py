"""How an HTTP/2 connection comes, waits and goes: its seat, its deadlines, whom it gives way to, and a clean end.

What ends it: the client's end; a broken or abusive frame (GOAWAY, then closed); silence past a deadline; the node's
leaving (GOAWAY first for streams not yet begun, closed when those that have are answered); a newcomer, while nobody is
known on it.
"""

import asyncio
from typing import Final, cast

from mantlet.core.caller import Caller
from mantlet.core.record import Trail
from mantlet.core.refusal import Malformed
from mantlet.listeners.accept import RESTED_S, Accepted
from mantlet.listeners.http.door import NEVER_S, ConnectionInfo, Door
from mantlet.listeners.http2.engine import RECEIVE_BYTES, STREAM_BYTES
from mantlet.listeners.http2.flow import Flow
from mantlet.listeners.http2.stream import Stream
from mantlet.wire.http2 import codes
from mantlet.wire.http2.frames import goaway

LINGER_S: Final = 0.5
LINGER_BYTES: Final = 1_048_576
"""As in `http.lifetime`, and less: only a client that is abusive is read so, for a body is refused by its stream."""
LEAVE_S: Final = 1.0
"""How long a client may take to hear that the node leaves, before streams it has just begun are turned away."""
_LAST_POSSIBLE: Final = 2**31 - 1


class Lifetime(Flow):
    """What is under way on one connection, and until when."""

    def __init__(self, door: Door, accepted: Accepted) -> None:
        super().__init__(door, accepted)
        self.peer = accepted.peer
        self.certificate = accepted.certificate
        self.is_trusted = accepted.seat.is_trusted
        self.caller: Caller | None = None
        """Of the last request that was answered."""
        self.id = 0
        self.receive_deadline_s = self.write_deadline_s = NEVER_S
        self._seat = accepted.seat
        self._accepted_s = accepted.at_s
        self._opening_deadline_s = accepted.at_s + door.config.header_timeout
        """Of the client's preface, later of a header block that has begun."""
        self._idle_deadline_s = self._leave_deadline_s = NEVER_S
        self._streams: dict[int, Stream] = {}
        self._is_leaving = self._has_left = self._is_held = False
        self._requests = self._bytes_in = self._lingered = 0

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

    # --- being held ---------------------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        """See `Flow`; and it has a deadline."""
        super().pause_writing()
        self.reckon()

    def resume_writing(self) -> None:
        """See `Flow`."""
        super().resume_writing()
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

    def _throw_away(self, count: int) -> None:
        """Bytes that nobody reads any more."""
        self._lingered += count
        if self._lingered > LINGER_BYTES:
            self.abort()


async def _record(door: Door, trail: Trail, why: str) -> None:
    await door.refuse(trail, Malformed(why=why))
