"""What the head of a response says of its body, and which heads are not to be believed.

llhttp alone takes a Content-Length beside a Transfer-Encoding, and codings other than chunked: two parsers might then
end the message in two places, so such an answer is refused.
"""

from typing import Final, NamedTuple

from mantlet.core.headers import Headers
from mantlet.core.refusal import BadUpstream
from mantlet.wire.sse import CONTENT_TYPE as EVENT_STREAM

_ONCE: Final = frozenset(
    {b"content-length", b"transfer-encoding", b"content-type", b"content-encoding", b"mcp-session-id"}
)


class Framing(NamedTuple):
    """A tuple, because making a frozen dataclass costs 1 µs a call. `length` is None when the head does not tell it."""

    length: int | None
    is_stream: bool
    ends_with_connection: bool


def media_type(headers: Headers) -> bytes:
    """The type of `Content-Type` in lower case, without its parameters; empty when there is none."""
    value = headers.get(b"content-type")
    return b"" if value is None else value.partition(b";")[0].strip().lower()


def framing(status: int, headers: Headers) -> Framing:
    """Read the framing of a final response; raises `BadUpstream`."""
    if (repeated := headers.repeated(_ONCE)) is not None:
        raise BadUpstream(why=f"the answer has {repeated.decode('latin-1')} twice")
    length = headers.get(b"content-length")
    coding = headers.get(b"transfer-encoding")
    if coding is not None and (length is not None or coding.lower() != b"chunked"):
        raise BadUpstream(why="the answer has an ambiguous length")
    if length is not None and not (length.isdigit() and len(length) < 16):
        raise BadUpstream(why="the answer has a length that is no number")
    if headers.get(b"content-encoding") not in (None, b"identity"):
        # None was asked for; a coding could also inflate beyond every bound (EGR-04).
        raise BadUpstream(why="the answer is encoded")
    has_body = status not in (204, 304)
    return Framing(
        length=None if length is None else int(length),
        is_stream=status == 200 and media_type(headers) == EVENT_STREAM,
        ends_with_connection=has_body and length is None and coding is None,
    )


def too_large() -> BadUpstream:
    """The refusal of an answer above `max_answer_bytes`: it is the caller who asked for so much."""
    return BadUpstream.answered("the answer is too large", detail="The server's answer is too large.")
