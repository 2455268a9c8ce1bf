"""Bytes to lines: split, merged and endless ones. Pure."""

from mantlet.core.refusal import PayloadTooLarge


class Lines:
    """Cuts at LF; a CR before it goes with it, empty lines and white space before a line are nothing."""

    __slots__ = ("_buffer", "_scanned", "max_bytes")

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._buffer = bytearray()
        self._scanned = 0

    def __len__(self) -> int:
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Add what came."""
        self._buffer += data

    def next(self) -> bytes | None:
        """The next whole line without its end, or None. Raises `PayloadTooLarge`, also for one that has no end yet."""
        buffer = self._buffer
        if not self._scanned and buffer and buffer[0] <= 0x20:
            # All at once: a flood of empty lines would cost more than the bytes are worth.
            del buffer[: len(buffer) - len(buffer.lstrip())]
        end = buffer.find(b"\n", self._scanned)
        if max(end, len(buffer) if end < 0 else 0) > self.max_bytes:
            raise PayloadTooLarge(f"A line is larger than {self.max_bytes} bytes.")
        if end < 0:
            self._scanned = len(buffer)
            return None
        line = bytes(buffer[:end])
        del buffer[: end + 1]
        self._scanned = 0
        return line.removesuffix(b"\r")

    def clear(self) -> None:
        """Forget everything."""
        self._buffer.clear()
        self._scanned = 0
