"""Answers that came whole in one read, as nearly all do: 2 us less of 11 than by llhttp and its callbacks.

Only a plain 200 with a length that is exactly what came; whatever is anything else is not judged here but left to the
general way, which has words for what is wrong. The grammar of the lines is the listener's own, stricter than llhttp's.
"""

from typing import Final

from mantlet.core.headers import Headers
from mantlet.core.refusal import Malformed
from mantlet.upstreams.client.config import Bounds
from mantlet.wire import http1
from mantlet.wire.sse import CONTENT_TYPE as EVENT_STREAM

_OK: Final = b"HTTP/1.1 200 OK\r\n"
_NOT_PLAIN: Final = frozenset(
    {b"connection", b"content-encoding", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade"}
)


def read_whole(data: bytes, bounds: Bounds) -> tuple[Headers, bytes] | None:
    """Fields and body of `data` if it is exactly one plain answer, else None."""
    if not data.startswith(_OK):
        return None
    end = data.find(b"\r\n\r\n")
    if not 0 < end <= bounds.max_head_bytes:
        return None
    lines = data[len(_OK) : end].split(b"\r\n")
    if len(lines) > bounds.max_headers:
        return None
    try:
        headers = Headers(http1.fields(lines))
    except Malformed:
        return None
    length = headers.get(b"content-length")
    if length is None or headers.has_repeats or headers.has_any(_NOT_PLAIN) or not length.isdigit():
        return None
    body = data[end + 4 :]
    if len(length) > http1.MAX_LENGTH_DIGITS or int(length) != len(body) or len(body) > bounds.max_answer_bytes:
        return None
    kind = headers.get(b"content-type")
    return None if kind is not None and EVENT_STREAM in kind.lower() else (headers, body)
