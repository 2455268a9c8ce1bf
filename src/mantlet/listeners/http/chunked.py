"""The chunked transfer coding, read strictly (RFC 9112 section 7.1; HTTP-04).

Two readers that disagree about where a chunk ends disagree about where the next request begins. So: hexadecimal
sizes of bounded length, CRLF and nothing else, chunk extensions refused (nobody needs them; CVE-2025-43859 and its
kin live in them), trailers refused (a field after the body would pass every check made on the head).
"""

import re
from typing import Final

from mantlet.core.refusal import Malformed

_SIZE: Final = re.compile(rb"[0-9A-Fa-f]{1,8}")
_MAX_SIZE_LINE: Final = 8 + 2


class ChunkReader:
    """Takes bytes as they come, gives the payload. Holds at most one unfinished size line."""

    __slots__ = ("_expects_end", "_line", "_remaining", "is_done")

    def __init__(self) -> None:
        self._line = b""
        self._remaining = 0
        self._expects_end = False
        """A chunk's data is read, its CRLF is not."""
        self.is_done = False

    def feed(self, data: bytes) -> tuple[list[bytes], bytes]:
        """The payload in `data`, and what stands after the end of the body. Raises `Malformed`."""
        parts: list[bytes] = []
        if self._line:
            data = self._line + data
            self._line = b""
        at = 0
        while not self.is_done and at < len(data):
            if self._remaining > 0:
                part = data[at : at + self._remaining]
                parts.append(part)
                at += len(part)
                self._remaining -= len(part)
                self._expects_end = True
                continue
            end = data.find(b"\r\n", at, at + _MAX_SIZE_LINE)
            if end < 0:
                self._keep_partial(data[at:])
                return parts, b""
            at = self._read_line(data[at:end], end + 2)
        return parts, data[at:] if self.is_done else b""

    def _read_line(self, line: bytes, after: int) -> int:
        if self._expects_end:
            if line:
                raise Malformed("A chunk does not end where its size says.")
            self._expects_end = False
        elif self._remaining < 0:
            if line:
                raise Malformed("Trailer fields are not accepted.")
            self.is_done = True
        else:
            if _SIZE.fullmatch(line) is None:
                raise Malformed("A chunk's size must be a hexadecimal number, without extensions.")
            # -1: the last chunk was seen, the empty line after the trailers was not.
            self._remaining = int(line, 16) or -1
        return after

    def _keep_partial(self, rest: bytes) -> None:
        # What is kept must be the beginning of a good line, or no deadline of ours should wait for more of it.
        bare = rest.removesuffix(b"\r")
        wants_line = not self._expects_end and self._remaining >= 0
        if len(rest) >= _MAX_SIZE_LINE or (bare and not (wants_line and _SIZE.fullmatch(bare))):
            raise Malformed("A chunk's size must be a hexadecimal number, without extensions.")
        if rest == b"\r" and wants_line:
            raise Malformed("A chunk without a size.")
        self._line = rest
