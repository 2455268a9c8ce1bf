"""One WebSocket: frames in, a conversation, frames out, and every deadline it has.

Deadlines are looked at when the listener sweeps. `receive_deadline_s` is the earliest of them, and may be too early:
what has happened since it was set is found out then, and costs a message nothing.
"""

import asyncio
import logging
from typing import Any, Final

from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from mantlet.core.caller import Caller
from mantlet.listeners.http.door import NEVER_S, ConnectionInfo
from mantlet.listeners.http.handover import Handover
from mantlet.listeners.messages import envelope
from mantlet.listeners.messages.carrier import Ending, Gate, Terms
from mantlet.listeners.messages.conversation import Conversation
from mantlet.listeners.websocket.config import WebSocketConfig
from mantlet.listeners.websocket.frames import Assembly, TooMany, WrongKind, text_frame, whole_text

SLICE_BYTES: Final = 16_384
"""Read on at most so much at once, so that what one read of the socket brought cannot all become messages at once."""
CLOSE_S: Final = 2.0
"""How long the client may take to answer a closing handshake, or to end the connection after one."""
MAX_CONTROLS: Final = 250
"""Pings and pongs between two sweeps of the listener (a quarter of a second)."""
_CONTROL: Final = frozenset({Opcode.PING, Opcode.PONG})
LINGER_BYTES: Final = 4 * 1024 * 1024
"""What is thrown away after a last frame, before the connection is cut."""

_CODES: Final = {
    Ending.DONE: CloseCode.NORMAL_CLOSURE,
    Ending.LEAVING: CloseCode.GOING_AWAY,
    Ending.IDLE: CloseCode.GOING_AWAY,
    Ending.SESSION: CloseCode.GOING_AWAY,
    Ending.LAPSED: CloseCode.POLICY_VIOLATION,
    Ending.ABUSE: CloseCode.TRY_AGAIN_LATER,
    Ending.BLOCKED: CloseCode.POLICY_VIOLATION,
    Ending.SLOW: CloseCode.POLICY_VIOLATION,
    Ending.FAILED: CloseCode.INTERNAL_ERROR,
}
# The library logs frames, and with them what was said, at DEBUG; nothing of that is for our log.
_LOG: Final = logging.getLogger("mantlet.websocket.frames")
_LOG.setLevel(logging.WARNING)


class WebSocketConnection(asyncio.Protocol):
    """`listeners.http.handover.Successor` and `listeners.messages.carrier.Carrier`."""

    __slots__ = (
        "_assembly",
        "_config",
        "_controls",
        "_controls_s",
        "_conversation",
        "_fed_bytes",
        "_gate",
        "_handover",
        "_heard_s",
        "_held",
        "_is_ending",
        "_is_lost",
        "_is_read_paused",
        "_lingered",
        "_message_by_s",
        "_pinged_s",
        "_protocol",
        "_transport",
        "bytes_in",
        "bytes_out",
        "receive_deadline_s",
        "write_deadline_s",
    )

    def __init__(
        self, handover: Handover, config: WebSocketConfig, terms: Terms, caller: Caller, path: str, peer: str
    ) -> None:
        """`peer` is whom the connection is for, which behind a trusted proxy is not who holds its other end."""
        self._handover, self._config = handover, config
        self._transport = handover.transport
        self._protocol = ServerProtocol(state=State.OPEN, max_size=config.max_message_bytes, logger=_LOG)
        self._assembly = Assembly()
        self._gate = Gate()
        self._conversation = Conversation(terms, self, caller, path, peer)
        self._held = bytearray()
        self._is_ending = self._is_lost = self._is_read_paused = False
        self._controls = self._fed_bytes = self._lingered = self.bytes_in = self.bytes_out = 0
        self._controls_s = 0.0
        self._heard_s = handover.door.now_s
        self._pinged_s = handover.door.now_s
        self._message_by_s = NEVER_S
        self.write_deadline_s = NEVER_S
        self.receive_deadline_s = self._next_s()

    # --- the listener's side ------------------------------------------------------------------------------------

    def begin(self) -> None:
        """The client may speak."""
        if self._handover.rest:
            self.data_received(self._handover.rest)

    def connection_lost(self, error: Exception | None) -> None:
        """The client is gone: the work for it stops, its session ends (MCP-07)."""
        self._is_lost = True
        self._held.clear()
        self._conversation.end()
        self._gate.open()
        self._handover.left(self)

    def eof_received(self) -> bool:
        """It has closed its side, cleanly or not."""
        self._protocol.receive_eof()
        self._conversation.end()
        return False

    def leave(self, linger_s: float = 0.0, /) -> None:
        """Close once what is under way is answered."""
        if self._protocol.state is State.OPEN:
            self._conversation.leave()

    def abort(self) -> None:
        """Close now, with as much courtesy as costs no time."""
        if self._is_lost:
            return
        self.close(Ending.LEAVING)
        if not self._is_lost and self._transport.get_write_buffer_size():
            self._transport.abort()
        elif not self._is_lost:
            self._transport.close()

    def info(self, now_s: float) -> ConnectionInfo:
        """Tell about it."""
        return ConnectionInfo(
            id=self._handover.id,
            peer=self._conversation.peer,
            age_s=now_s - self._handover.accepted_s,
            requests=self._conversation.messages,
            bytes_in=self.bytes_in,
            bytes_out=self.bytes_out,
            in_flight=self._conversation.is_busy,
            caller=self._conversation.caller.name,
        )

    rests_since_s = NEVER_S
    """It holds a conversation, which is not cut off for a newcomer."""

    def make_room(self) -> bool:
        """Its seat is its own."""
        return False

    def expire(self, now_s: float) -> None:
        """A deadline may have passed: see which."""
        if self._protocol.state is not State.OPEN or self.write_deadline_s <= now_s:
            self._conversation.end()
            if not self._is_lost:
                self._transport.abort()
            return
        if self._message_by_s <= now_s:
            self.close(Ending.SLOW)
        elif self._pinged_s > self._heard_s and now_s >= self._pinged_s + self._config.ping_timeout:
            self.close(Ending.FAILED)
            self.receive_deadline_s = now_s  # who answers no ping answers no close either: it goes with the next sweep
        elif not self._conversation.is_busy and now_s >= self._conversation.last_s + self._config.idle_timeout:
            self.close(Ending.IDLE)
        else:
            if now_s >= self._pinged_s + self._config.ping_interval and self._pinged_s <= self._heard_s:
                self._pinged_s = now_s
                self._protocol.send_ping(b"")
                self._flush()
            self.receive_deadline_s = max(self._next_s(), now_s)

    def _next_s(self) -> float:
        config = self._config
        wait_s = config.ping_timeout if self._pinged_s > self._heard_s else config.ping_interval
        # While a request is under way nothing is idle, but when that ends is not known here.
        busy_s = self._handover.door.now_s if self._conversation.is_busy else self._conversation.last_s
        return min(self._message_by_s, self._pinged_s + wait_s, busy_s + config.idle_timeout)

    # --- frames in ----------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Bytes of frames."""
        self.bytes_in += len(data)
        self._heard_s = self._handover.door.now_s
        if self._held or self._is_read_paused:
            self._held += data
        elif len(data) <= SLICE_BYTES:
            self._feed(data)
        else:
            self._held += data
            self._feed_held()

    def _hold(self, data: bytes) -> None:
        self._held += data
        if not self._is_read_paused:
            self._is_read_paused = True
            self._transport.pause_reading()

    def _feed_held(self) -> None:
        while self._held and not (self._is_waiting or self._is_lost):
            part = bytes(self._held[:SLICE_BYTES])
            del self._held[:SLICE_BYTES]
            self._feed(part)
        if self._held and not self._is_lost:
            self._hold(b"")
        else:
            self._read_on()

    @property
    def _is_waiting(self) -> bool:
        return self._gate.is_shut or self._conversation.is_full

    def room(self) -> None:
        """The conversation takes messages again."""
        if self._is_lost or self._is_waiting:
            return
        if self._held:
            self._feed_held()
        else:
            self._read_on()

    def _read_on(self) -> None:
        if self._is_read_paused and not (self._is_waiting or self._is_lost):
            self._is_read_paused = False
            self._transport.resume_reading()

    def _feed(self, data: bytes) -> None:
        protocol = self._protocol
        if protocol.eof_sent:
            self._lingered += len(data)
            if self._lingered > LINGER_BYTES:
                self._transport.abort()
            return
        assembly = self._assembly
        if self._fed_bytes == assembly.framed_bytes and not assembly.is_open and protocol.state is State.OPEN:
            text = whole_text(data, self._config.max_message_bytes)
            if text is not None:
                self._message(text)
                if protocol.close_sent is not None:
                    self._ended()
                self._fed()
                return
        self._fed_bytes += len(data)
        protocol.receive_data(data)
        try:
            for frame in protocol.events_received():
                message = assembly.add(frame)  # type: ignore[arg-type]  # after the handshake all are frames
                if message is None:
                    self._count_control(frame)  # type: ignore[arg-type]
                elif protocol.close_sent is None:
                    self._message(message)
        except WrongKind:
            self._fail(CloseCode.UNSUPPORTED_DATA, "messages are text")
        except TooMany:
            self._fail(CloseCode.POLICY_VIOLATION, "too many fragments or control frames")
        if protocol.state is not State.OPEN:
            self._ended()
        elif self._fed_bytes != assembly.framed_bytes or assembly.is_open:
            self._in_the_middle()
        else:
            self._message_by_s = NEVER_S
        self._fed()

    def _fed(self) -> None:
        if self._protocol.writes:
            self._flush()
        if self._conversation.is_full and not self._is_lost:
            self._hold(b"")

    def _count_control(self, frame: Frame) -> None:
        # Each ping costs an answer, and no limit of the caller's sees it.
        if frame.opcode in _CONTROL:
            if self._controls_s != self._handover.door.now_s:
                self._controls_s, self._controls = self._handover.door.now_s, 0
            self._controls += 1
            if self._controls > MAX_CONTROLS:
                raise TooMany

    def _message(self, message: bytes) -> None:
        if envelope.is_text(message):
            self._conversation.receive(message)
        else:
            self._fail(CloseCode.INVALID_DATA, "not UTF-8")

    def _in_the_middle(self) -> None:
        """Some of a message is here: the rest has to follow in time."""
        if self._fed_bytes != self._assembly.framed_bytes and _is_between_frames(self._protocol):
            # The library lets it pass: a length in more bytes than it takes (RFC 6455 section 5.2, "MUST be minimal").
            self._fail(CloseCode.PROTOCOL_ERROR, "length not minimal")
            self._ended()
        elif self._message_by_s == NEVER_S:
            self._message_by_s = self._handover.door.clock.monotonic() + self._config.message_timeout
            self.receive_deadline_s = min(self.receive_deadline_s, self._message_by_s)

    # --- frames out ---------------------------------------------------------------------------------------------

    @property
    def is_write_paused(self) -> bool:
        """Whether the client does not keep up."""
        return self._gate.is_shut

    def send(self, message: bytes) -> None:
        """One text message."""
        if self._protocol.state is State.OPEN and not self._is_lost:
            data = text_frame(message)
            self.bytes_out += len(data)
            self._transport.write(data)

    async def writable(self) -> None:
        """Wait until the client has read on."""
        await self._gate.passed()

    def pause_writing(self) -> None:
        """The client does not keep up: nothing more is read of it, or its pings alone would fill the memory."""
        self._gate.shut()
        self.write_deadline_s = self._handover.door.clock.monotonic() + self._config.write_timeout
        self._hold(b"")

    def resume_writing(self) -> None:
        """It has read on."""
        self.write_deadline_s = NEVER_S
        self._gate.open()
        self.room()

    def close(self, ending: Ending) -> None:
        """Say so and wait a little for the client's word."""
        if self._protocol.state is State.OPEN and not self._is_lost:
            self._protocol.send_close(_CODES[ending], ending.value)
            self._flush()
            self._ended()

    def _fail(self, code: CloseCode, why: str) -> None:
        if self._protocol.state is State.OPEN:
            self._protocol.fail(code, why[:100])

    def _ended(self) -> None:
        """The closing handshake has begun: nothing more is done for this client."""
        if self._is_ending:
            return
        self._is_ending = True
        self._conversation.end()
        self._held.clear()
        self._message_by_s = NEVER_S
        self.receive_deadline_s = self._handover.door.clock.monotonic() + CLOSE_S
        if self._is_read_paused and not self._is_lost:
            self._is_read_paused = False
            self._transport.resume_reading()

    def _flush(self) -> None:
        writes = self._protocol.data_to_send()
        if self._is_lost:
            return
        has_ended = bool(writes) and writes[-1] == b""
        data = writes[0] if len(writes) == 1 else b"".join(writes)
        if data:
            self.bytes_out += len(data)
            self._transport.write(data)
        if has_ended:
            # Half, where that can be: a reset for what is still unread here could overtake the last frame.
            if self._transport.can_write_eof():
                self._transport.write_eof()
            else:
                self._transport.close()


def _is_between_frames(protocol: ServerProtocol) -> bool:
    """Whether the library's parser waits for a frame to begin, and not for more of one: it has no word for that."""
    waits_for: Any = protocol.parser
    while waits_for.gi_yieldfrom is not None:
        waits_for = waits_for.gi_yieldfrom
    return bool(waits_for.__name__ == "at_eof")
