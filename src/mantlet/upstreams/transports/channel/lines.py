"""Cut a byte stream into lines of bounded length."""

from typing import Final

HEAD_BYTES: Final = 256
"""How much of a line that is too long is kept: enough to read whose answer it was."""


class LineSplitter:
    """Chunks in, whole lines out, without their line end. A longer line than `max_line_bytes` gives only its head,
    in `oversized`, and is skipped up to its end. A line still open when the stream ends is no line."""

    __slots__ = ("_is_skipping", "_max_line_bytes", "_parts", "_size", "oversized")

    def __init__(self, max_line_bytes: int) -> None:
        self._max_line_bytes = max_line_bytes
        self._parts: list[bytes] = []
        self._size = 0
        self._is_skipping = False
        self.oversized: list[bytes] = []
        """Heads of lines that were too long; whoever reads them clears the list."""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that `chunk` completes."""
        lines = chunk.split(b"\n")
        rest = lines.pop()
        if lines:
            if self._is_skipping:
                self._is_skipping = False
                del lines[0]
            elif self._parts:
                self._parts.append(lines[0])
                lines[0] = b"".join(self._parts)
                self._parts.clear()
            self._size = 0
            if len(chunk) + self._max_seen(lines) > self._max_line_bytes:
                lines = [line for line in lines if self._fits(line)]
        if rest and not self._is_skipping:
            self._parts.append(rest)
            self._size += len(rest)
            if self._size > self._max_line_bytes:
                self.oversized.append(b"".join(self._parts)[:HEAD_BYTES])
                self._parts.clear()
                self._is_skipping = True
        return lines

    def _max_seen(self, lines: list[bytes]) -> int:
        # Only the first line can be longer than the chunk: it alone began in earlier ones.
        return len(lines[0]) if lines else 0

    def _fits(self, line: bytes) -> bool:
        if len(line) <= self._max_line_bytes:
            return True
        self.oversized.append(line[:HEAD_BYTES])
        return False
