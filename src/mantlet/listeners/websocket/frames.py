"""From frames to whole messages, and how far the peer is in the middle of one. Pure.

Frames themselves are the `websockets` library's: masks, lengths, reserved bits, control frames, the closing handshake.
But nearly every message is one whole frame in one segment, which can be read in one way only, and every answer is one:
those two are done here, for 1.5 us each instead of the library's 5 and 3 (`whole_text`, `text_frame`).
"""

import struct
from typing import Final

from websockets.frames import Frame, Opcode

try:
    from websockets.speedups import apply_mask
except ImportError:  # where the library was built without its C part
    from websockets.utils import apply_mask

MAX_PARTS: Final = 64
"""Fragments kept apart: a message of one-byte fragments would cost some fifty bytes of object a byte."""
MAX_FRAGMENTS: Final = 4096
"""Of one message: frames of one byte would cost more than they are worth."""
MAX_EMPTY: Final = 64
"""Fragments in a row that bring nothing."""
_MASK_BYTES: Final = 4
_WHOLE_TEXT: Final = 0x81
_MASKED: Final = 0x80
_IN_16_BITS: Final = 126
_IN_64_BITS: Final = 65_536


class WrongKind(Exception):
    """A binary message, where only text is spoken."""


class TooMany(Exception):
    """More fragments than a message needs."""


def whole_text(data: bytes, max_bytes: int) -> bytes | None:
    """The payload of `data` if it is exactly one whole, masked, unfragmented text frame of at most `max_bytes`.

    None for everything else, which the library then looks at; so nothing is refused here.
    """
    if data[0] != _WHOLE_TEXT or len(data) < 2:
        return None
    size = data[1] - _MASKED
    if size < _IN_16_BITS:
        head = 2
    elif size == _IN_16_BITS and len(data) > 4:
        head, size = 4, data[2] << 8 | data[3]
        if size < _IN_16_BITS:
            return None  # in more bytes than it takes
    else:
        return None
    if size < 0 or size > max_bytes or len(data) != head + _MASK_BYTES + size:
        return None
    start = head + _MASK_BYTES
    return apply_mask(data[start:], data[head:start])


def text_frame(message: bytes) -> bytes:
    """`message` as one frame of a server: whole and unmasked."""
    size = len(message)
    if size < _IN_16_BITS:
        return b"\x81%c%b" % (size, message)
    if size < _IN_64_BITS:
        return struct.pack("!BBH", _WHOLE_TEXT, 126, size) + message
    return struct.pack("!BBQ", _WHOLE_TEXT, 127, size) + message


class Assembly:
    """One message at a time."""

    __slots__ = ("_empty", "_fragments", "_parts", "framed_bytes")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._empty = self._fragments = 0
        self.framed_bytes = 0
        """What whole frames took on the wire."""

    @property
    def is_open(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._parts)

    def add(self, frame: Frame) -> bytes | None:
        """The message that `frame` completes. Raises `WrongKind` or `TooMany`."""
        data = bytes(frame.data)
        size = len(data)
        self.framed_bytes += size + 2 + _MASK_BYTES + (0 if size < _IN_16_BITS else 2 if size < _IN_64_BITS else 8)
        opcode = frame.opcode
        if opcode is Opcode.BINARY:
            raise WrongKind
        if opcode is Opcode.TEXT:
            if frame.fin:
                return data
            self._parts, self._fragments = [data], 1
            return None
        if opcode is not Opcode.CONT:
            return None
        self._empty = 0 if data else self._empty + 1
        if self._empty > MAX_EMPTY:
            raise TooMany
        self._fragments += 1
        if self._fragments > MAX_FRAGMENTS:
            raise TooMany
        self._parts.append(data)
        if frame.fin:
            parts, self._parts, self._empty = self._parts, [], 0
            return b"".join(parts)
        if len(self._parts) >= MAX_PARTS:
            self._parts = [b"".join(self._parts)]
        return None
