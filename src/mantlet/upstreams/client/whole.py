"""Answers that came whole in one read, as nearly all do: 2 us less of 11 than by llhttp and its callbacks.

Only a plain 200 with a length that is exactly what came; whatever is anything else is not judged here but left to the
general way, which has words for what is wrong. The grammar of the lines is the listener's own, stricter than llhttp's.
A server repeats its heads, but for the length and, every second, the date: the last one is known by its bytes.
"""

from typing import Final

from mantlet.core.headers import Headers
from mantlet.core.refusal import Malformed
from mantlet.upstreams.client.config import Bounds
from mantlet.wire import http1
from mantlet.wire.sse import CONTENT_TYPE as EVENT_STREAM

_OK: Final = b"HTTP/1.1 200 OK\r\n"
_LENGTH: Final = b"ength: "
_FIELD: Final = b"content-length"
_STARTS: Final = (b"\ncontent-l", b"\nContent-L")
_NOT_PLAIN: Final = frozenset(
    {b"connection", b"content-encoding", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade"}
)


class WholeAnswers:
    """Those of one connection."""

    __slots__ = ("_after", "_before", "_bounds", "_headers")

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._before = self._after = b""
        self._headers = Headers()

    def read(self, data: bytes) -> tuple[Headers, bytes] | None:
        """Fields and body of `data` if it is exactly one plain answer, else None. A known head's length is left out."""
        bounds = self._bounds
        end = data.find(b"\r\n\r\n")
        if not 0 < end <= bounds.max_head_bytes:
            return None
        before, _, rest = data[:end].partition(_LENGTH)
        length, _, after = rest.partition(b"\r\n")
        body = data[end + 4 :]
        if not length.isdigit() or len(length) > http1.MAX_LENGTH_DIGITS or int(length) != len(body):
            return None
        if len(body) > bounds.max_answer_bytes:
            return None
        if before != self._before or after != self._after:
            headers = _read_head(data[:end], bounds)
            # The digits must be the whole value of that field, not of one whose name or value ends like it.
            if headers is None or headers.get(_FIELD) != length or not before.endswith(_STARTS):
                return None
            self._headers = Headers([field for field in headers.fields if field[0] != _FIELD])
            self._before, self._after = before, after
        return self._headers, body


def _read_head(head: bytes, bounds: Bounds) -> Headers | None:
    if not head.startswith(_OK):
        return None
    lines = head[len(_OK) :].split(b"\r\n")
    if len(lines) > bounds.max_headers:
        return None
    try:
        headers = Headers(http1.fields(lines))
    except Malformed:
        return None
    if headers.has_repeats or headers.has_any(_NOT_PLAIN):
        return None
    kind = headers.get(b"content-type")
    return None if kind is not None and EVENT_STREAM in kind.lower() else headers
