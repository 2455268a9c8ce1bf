"""Bytes to lines: split, merged and endless ones. Pure."""

from mantlet.core.refusal import PayloadTooLarge


class Lines:
    """Cuts at LF; a CR before it goes with it, empty lines are nothing."""

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
        while True:
            end = self._buffer.find(b"\n", self._scanned)
            if end < 0:
                self._scanned = len(self._buffer)
                if self._scanned > self.max_bytes:
                    raise PayloadTooLarge(f"A line is larger than {self.max_bytes} bytes.")
                return None
            if end > self.max_bytes:
                raise PayloadTooLarge(f"A line is larger than {self.max_bytes} bytes.")
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
            self._scanned = 0
            line = line.removesuffix(b"\r")
            if line and not line.isspace():
                return line

    def clear(self) -> None:
        """Forget everything."""
        self._buffer.clear()
        self._scanned = 0
