"""A WebSocket as a channel of messages (RFC 6455). The protocol itself is the `websockets` library's, without its IO.

No extension is offered, so nothing is ever decompressed. A message longer than `max_line_bytes` ends the connection
with 1009, a binary one with 1003, text that is not UTF-8 with 1007, and everything else out of order with 1002.
"""

import asyncio
from typing import Final

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI

from mantlet.core.refusal import UpstreamUnavailable
from mantlet.upstreams.transports.channel.channel import LineReader
from mantlet.upstreams.transports.channel.envelope import one_line
from mantlet.upstreams.transports.channel.socket import ABORT_GRACE_S, SocketChannel
from mantlet.upstreams.transports.websocket.config import WebSocketServerConfig

MAX_EMPTY_FRAMES: Final = 10_000
"""Frames between two of our pings that bring no message: the work for two bytes is 10 us."""
SLICE_BYTES: Final = 4_096
"""What is parsed before anybody looks at it: one read can hold a hundred thousand empty frames, a second of work."""
_NO_GOODBYE: Final = "the server closed the connection without a goodbye"
_NOWHERE: Final = WebSocketURI(False, "", 0, "", "")  # the library's request is not used: ours is bytes already


class WebSocketChannel(SocketChannel):
    """An `OwnedChannel`, once `open` has come back."""

    def __init__(self, config: WebSocketServerConfig, reader: LineReader) -> None:
        super().__init__(config.max_unsent_bytes)
        self._config = config
        self._reader = reader
        self._protocol = ClientProtocol(_NOWHERE, subprotocols=[Subprotocol("mcp")], max_size=config.max_line_bytes)
        self._begun = bytearray()
        """The parts of a message in pieces. The library bounds their sum."""
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._is_heard = False
        self._empty_frames = 0
        self._beat: asyncio.TimerHandle | None = None

    def account(self) -> str:
        """Which it was; how it ended has been said already."""
        return self._config.url.partition("?")[0]

    # --- what the owner does

    async def open(self, head: bytes) -> None:
        """Shake hands: `head` is the request but for its key. Raises `UpstreamUnavailable`."""
        self._transport.write(b"%bsec-websocket-key: %b\r\n\r\n" % (head, self._protocol.key.encode()))
        await self._opened
        self._ask()

    def write_line(self, line: bytes) -> bool:
        """As `LineChannel` says; the line end is not sent."""
        # Asked first: masking a message that finds no room would be for nothing.
        if self._why or self._writer.size + len(line) > self._config.max_unsent_bytes:
            return False
        if self._protocol.state is not State.OPEN:
            return False  # a close came in the same read, behind what we are about to answer
        self._protocol.send_text(line.removesuffix(b"\n"))
        return self._send()

    async def stop(self, timeout_s: float) -> None:
        """Say goodbye, and hang up when the server has not done so within `timeout_s`."""
        try:
            if self._protocol.state is State.OPEN and not self._ended.is_set():
                self._protocol.send_close(CloseCode.NORMAL_CLOSURE)
                self._send()
            await self._ends_within(timeout_s)
        finally:
            self.abort()
        await self._ends_within(ABORT_GRACE_S)

    # --- asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        """Bytes become frames, frames messages."""
        self._is_heard = True
        if len(data) <= SLICE_BYTES:
            self._protocol.receive_data(data)
            self._advance()
            return
        for start in range(0, len(data), SLICE_BYTES):
            self._protocol.receive_data(data[start : start + SLICE_BYTES])
            self._advance()
            if self._why:
                return

    def eof_received(self) -> None:
        """Nothing comes any more; None lets the loop close."""
        self._protocol.receive_eof()
        self._advance()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._close(f"the connection ended: {exc}" if exc else _NO_GOODBYE)
        self._writer.close()
        self._ended.set()

    # --- frames

    def _advance(self) -> None:
        protocol = self._protocol
        for event in protocol.events_received():
            if self._why:
                break
            if isinstance(event, Frame):
                self._empty_frames += 1
                self._frame(event)
            elif isinstance(event, Response) and protocol.handshake_exc is None and not self._opened.done():
                self._opened.set_result(None)
        if self._empty_frames > MAX_EMPTY_FRAMES:
            self._fail(CloseCode.POLICY_VIOLATION, "the server sends frames and no messages")
        self._send()
        if protocol.handshake_exc is not None:
            self._close(_refused(protocol.handshake_exc))
        elif isinstance(protocol.parser_exc, EOFError):
            self._close(_NO_GOODBYE)
        elif protocol.parser_exc is not None:
            self._close(f"the server broke the protocol: {protocol.parser_exc}")

    def _frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.TEXT and frame.fin:
            self._message(bytes(frame.data))
        elif frame.opcode in (Opcode.TEXT, Opcode.CONT):
            self._begun += frame.data
            if frame.fin:
                whole = bytes(self._begun)
                self._begun.clear()
                self._message(whole)
        elif frame.opcode is Opcode.BINARY:
            self._fail(CloseCode.UNSUPPORTED_DATA, "the server sent a binary message")
        elif frame.opcode is Opcode.CLOSE:
            said = self._protocol.close_rcvd
            self._close(f"the server closed the WebSocket: {said}")

    def _message(self, message: bytes) -> None:
        self._empty_frames = 0
        try:
            if not message.isascii():
                message.decode()
        except UnicodeDecodeError:
            self._fail(CloseCode.INVALID_DATA, "the server sent text that is not UTF-8")
        else:
            self._reader.on_line(one_line(message))

    def _fail(self, code: CloseCode, why: str) -> None:
        self._protocol.fail(code, why)
        self._send()
        self._close(why)

    def _close(self, why: str) -> None:
        # Said to whoever listens as soon as it is known: the socket may take its time.
        if self._why:
            return
        self._why = why
        if self._beat is not None:
            self._beat.cancel()
        self._begun.clear()
        if not self._opened.done():
            self._opened.set_exception(UpstreamUnavailable(why=why))
            self._opened.exception()  # nobody may have begun to wait
        else:
            self._reader.on_closed(why)

    def _send(self) -> bool:
        """Write what the protocol wants to say; False when there is no room: who does not read loses its pongs."""
        chunks = self._protocol.data_to_send()
        if not chunks:
            return True
        is_over = not chunks[-1]  # the library's word for: hang up
        is_sent = self._writer.write(b"".join(chunks)) if chunks[0] else True
        if is_over:
            self._transport.close()
        return is_sent

    # --- is anybody there?

    def _ask(self) -> None:
        if self._why:
            return
        self._is_heard = False
        self._empty_frames = 0
        self._protocol.send_ping(b"")
        self._send()
        self._beat = self._loop.call_later(self._config.ping_timeout, self._judge)

    def _judge(self) -> None:
        # Any byte counts: in the middle of a long message no pong can come.
        if self._is_heard:
            self._beat = self._loop.call_later(self._config.ping_interval, self._ask)
            return
        self._close(f"the server said nothing for {self._config.ping_timeout:g} s")
        self._transport.abort()


def _refused(error: Exception) -> str:
    if isinstance(error, InvalidStatus):
        return f"the server answered {error.response.status_code} instead of opening a WebSocket"
    return f"the server opened no WebSocket: {error}"
