"""Looking at frames before `h2` does: what it would ignore, buffer or take for the end.

`h2` raises events for some frames and swallows others (any number of them on closed streams); it keeps header blocks of
64 frames; and at a GOAWAY it stops working altogether, though the answers under way are still owed. So frames are
counted here by their nine bytes, header blocks are measured as they grow, and GOAWAY is kept from it.
"""

from collections.abc import Callable
from typing import Final

from mantlet.wire.http2 import abuse, codes
from mantlet.wire.http2.abuse import Abuse, Points

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MAX_FRAME_BYTES: Final = 16_384
"""What every endpoint takes (RFC 9113 section 4.2); we never offer more."""
_HEAD_BYTES: Final = 9
_GOAWAY_BYTES: Final = 8

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM = ACK = 0x1
END_HEADERS: Final = 0x4


class Gate:
    """Bytes in, bytes for `h2` out. Holds no more than a frame's head and an unfinished GOAWAY."""

    def __init__(
        self,
        points: Points,
        *,
        max_block_bytes: int,
        is_server: bool = True,
        on_goaway: Callable[[int, int], None] = lambda last_stream, code: None,
    ) -> None:
        """`max_block_bytes` bounds a header block as it is sent, compressed; `on_goaway` gets last stream and code.

        A server's events are small by nature: crumbs are counted in what clients send.
        """
        self._points = points
        self._max_block_bytes = max_block_bytes
        self._on_goaway = on_goaway
        self._is_server = is_server
        self._preface = PREFACE if is_server else b""
        self._rest = b""
        """The beginning of a frame's head."""
        self._payload = 0
        """Bytes of the current frame that are to come."""
        self._goaway: bytes | None = None
        self._is_first = True
        self._block_bytes = 0
        self.is_in_block = False
        """A header block has begun and not ended: nothing else may come, and it has a deadline."""

    @property
    def is_begun(self) -> bool:
        """Whether the peer's preface is complete: it has said what it speaks."""
        return not self._preface and not self._is_first

    def feed(self, data: bytes, now_s: float) -> bytes:
        """What of `data` is for `h2`. Raises `Abuse`."""
        if self._rest:
            data, self._rest = self._rest + data, b""
        at = start = 0
        parts: list[bytes] = []
        if self._preface:
            at = min(len(self._preface), len(data))
            if not self._preface.startswith(data[:at]):
                raise Abuse(codes.PROTOCOL_ERROR, "no HTTP/2 preface")
            self._preface = self._preface[at:]
        end = len(data)
        while at < end:
            if self._payload:
                begin, at = at, min(end, at + self._payload)
                self._payload -= at - begin
                if self._goaway is not None:
                    self._goaway += data[begin:at]
                    start = at
                    if not self._payload:
                        self._end_goaway()
            elif end - at < _HEAD_BYTES:
                self._rest = data[at:]
                break
            else:
                self._begin(data, at, now_s)
                if self._goaway is not None:
                    parts.append(data[start:at])
                    start = at + _HEAD_BYTES
                at += _HEAD_BYTES
        if not parts and not start and at == end:
            return data
        parts.append(data[start:at])
        return b"".join(parts)

    def _begin(self, data: bytes, at: int, now_s: float) -> None:
        """A frame begins at `at`."""
        length = int.from_bytes(data[at : at + 3], "big")
        kind, flags = data[at + 3], data[at + 4]
        if length > MAX_FRAME_BYTES:
            raise Abuse(codes.FRAME_SIZE_ERROR, "an overlong frame")
        if self._is_first:
            if kind != SETTINGS or flags & ACK:
                raise Abuse(codes.PROTOCOL_ERROR, "the first frame is not SETTINGS")
            self._is_first = False
        self._payload = length
        if kind == DATA:
            if self._is_server and length < abuse.SMALL_BYTES and not flags & END_STREAM:
                self._points.spend(abuse.SMALL_DATA if length else abuse.EMPTY_DATA, "small DATA", now_s)
        elif kind == HEADERS:
            self._block(length, flags, begins=True)
        elif kind == CONTINUATION:
            self._points.spend(abuse.CONTINUATION, "CONTINUATION", now_s)
            self._block(length, flags, begins=False)
        elif kind == WINDOW_UPDATE:
            self._points.window_update(now_s)
        elif kind == SETTINGS:
            if not flags & ACK:
                self._points.spend(abuse.SETTINGS, "SETTINGS", now_s)
        elif kind == RST_STREAM:
            # A server refuses what it has no room for, and that is a stream of ours each time.
            self._points.spend(abuse.RESET if self._is_server else abuse.REFUSED_BY_SERVER, "RST_STREAM", now_s)
        elif kind == PING:
            if not flags & ACK:
                self._points.spend(abuse.PING, "PING", now_s)
        elif kind == GOAWAY:
            self._points.spend(abuse.GOAWAY, "GOAWAY", now_s)
            if length < _GOAWAY_BYTES or self.is_in_block:
                raise Abuse(codes.PROTOCOL_ERROR, "a broken GOAWAY")
            self._goaway = b""
        else:
            self._points.spend(abuse.PRIORITY if kind == PRIORITY else abuse.UNKNOWN, "frames of no use", now_s)

    def _block(self, length: int, flags: int, *, begins: bool) -> None:
        self._block_bytes = length if begins else self._block_bytes + length
        if self._block_bytes > self._max_block_bytes:
            raise Abuse(codes.ENHANCE_YOUR_CALM, "a header block that is too large")
        self.is_in_block = not flags & END_HEADERS

    def _end_goaway(self) -> None:
        frame, self._goaway = self._goaway or b"", None
        last_stream, code = int.from_bytes(frame[:4], "big") & 0x7FFFFFFF, int.from_bytes(frame[4:8], "big")
        self._on_goaway(last_stream, code)


def goaway(last_stream: int, code: int) -> bytes:
    """A GOAWAY frame. Not `h2`'s: it takes saying goodbye for having left."""
    return bytes((0, 0, _GOAWAY_BYTES, GOAWAY, 0)) + bytes(4) + last_stream.to_bytes(4, "big") + code.to_bytes(4, "big")
