"""From frames to whole messages, and how far the peer is in the middle of one. Pure.

Frames themselves are the `websockets` library's: masks, lengths, reserved bits, control frames, the closing handshake.
"""

from typing import Final

from websockets.frames import Frame, Opcode

MAX_PARTS: Final = 64
"""Fragments kept apart: a message of one-byte fragments would cost some fifty bytes of object a byte."""
MAX_FRAGMENTS: Final = 4096
"""Of one message: frames of one byte would cost more than they are worth."""
MAX_EMPTY: Final = 64
"""Fragments in a row that bring nothing."""
_MASK_BYTES: Final = 4


class WrongKind(Exception):
    """A binary message, where only text is spoken."""


class TooMany(Exception):
    """More fragments than a message needs."""


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
        self.framed_bytes += size + 2 + _MASK_BYTES + (0 if size < 126 else 2 if size < 65536 else 8)
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
