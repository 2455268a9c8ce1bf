"""Replies as bytes: one block of fields for every answer, whole or streamed, good or bad (HTTP-11)."""

from collections.abc import Sequence
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from mantlet.core.call import Reply

Fields = Sequence[tuple[bytes, bytes]]

_STATUS: Final = {status.value: b"%d %s" % (status.value, status.phrase.encode()) for status in HTTPStatus}
_SECURITY: Final = {
    b"x-content-type-options": b"nosniff",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"referrer-policy": b"no-referrer",
    b"vary": b"Origin",
}
_HSTS: Final = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")
# Framing belongs to the connection, and what software runs here is nobody's business. A `Date` is ours, too.
_OURS: Final = frozenset(
    {
        b"connection",
        b"content-length",
        b"date",
        b"keep-alive",
        b"proxy-connection",
        b"server",
        b"strict-transport-security",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"x-powered-by",
    }
)
_PARTICULAR: Final = _OURS | _SECURITY.keys() | {b"cache-control", b"x-request-id"}
"""Names that need a second look; most replies have none of them."""
_field: Final = b": ".join
_NO_BODY: Final = frozenset({204, 304})
_CLOSE: Final = b"connection: close\r\n"
_KEEP: Final = b"connection: keep-alive\r\n"
_NO_STORE: Final = b"cache-control: no-store\r\n"

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK: Final = b"0\r\n\r\n"


class BrokenPromise(Exception):
    """A stream ended before, or went on after, the length that its head told: what follows would be misread."""


class UnsendableHeader(ValueError):
    """A reply's field holds a line end or NUL; sending it would be response splitting."""


class Constant:
    """The fields that every answer of one listener carries. `refresh` keeps the `Date`."""

    __slots__ = ("_date_s", "_fixed", "block", "relaxed")

    def __init__(self, *, is_tls: bool) -> None:
        fields = [*_SECURITY.items(), *([_HSTS] if is_tls else [])]
        self._fixed = b"".join(b"%b: %b\r\n" % field for field in fields)
        self._date_s = -1
        self.block = b""
        """For most replies."""
        self.relaxed = b""
        """For the node's own pages that bring a content security policy of their own (the console)."""
        self.refresh(0)

    def refresh(self, wall_s: float) -> None:
        """Renew the `Date` field if its second has passed."""
        if int(wall_s) != self._date_s:
            self._date_s = int(wall_s)
            date = b"date: %b\r\n" % formatdate(wall_s, usegmt=True).encode()
            self.block = self._fixed + date
            csp = b"content-security-policy: %b\r\n" % _SECURITY[b"content-security-policy"]
            self.relaxed = self.block.replace(csp, b"")


def has_body(verb: str, status: int) -> bool:
    """Whether an answer to `verb` with `status` carries content (RFC 9110 section 6.4.1)."""
    return verb != "HEAD" and status not in _NO_BODY


def length_without_body(verb: str, reply: Reply) -> int | None:
    """What `Content-Length` says where no content follows: to HEAD, as GET would be told; else there is none."""
    if verb != "HEAD" or not has_body("GET", reply.status):
        return None
    if reply.length is not None or not isinstance(reply.body, bytes):
        return reply.length
    # An upstream's answer to HEAD is empty whatever GET would give.
    return len(reply.body) if reply.body or reply.origin == "node" else None


def check_left(left: int, *, is_over: bool = False) -> None:
    """Raise `BrokenPromise` when a body is longer than its length, or over and shorter. A stream may end early with the
    credential that opened it."""
    if left < 0 or (is_over and left):
        raise BrokenPromise(f"{left} bytes are left of the length that was told")


def head(
    reply: Reply, constant: Constant, framing: bytes, *, request_id: str, extra: Fields, is_http10: bool, closes: bool
) -> bytes:
    """The head of a reply, complete with its empty line.

    The node's fields win over the upstream's, once each; only `Cache-Control`, and for the node's own pages the
    content security policy, are the reply's to choose. Raises `UnsendableHeader`.
    """
    block = constant.block
    is_cacheable = has_id = False
    fields = []
    for field in reply.headers:
        name = field[0]
        if name in _PARTICULAR:
            if name in _OURS:
                if name == b"upgrade" and reply.origin == "node":
                    fields.append(field)  # what a 426 must say; without `Connection: upgrade` it asks for nothing
                continue
            if name == b"cache-control":
                is_cacheable = True
            elif name == b"x-request-id":
                has_id = True
            elif name == b"content-security-policy" and reply.origin == "node":
                block = constant.relaxed
            elif name != b"vary":
                continue
        fields.append(field)
    fields += extra
    # Joined in C: half of what formatting each line costs.
    own = b"\r\n".join(map(_field, fields))
    line_ends = len(fields) - 1 if fields else 0
    if own.count(b"\n") != line_ends or own.count(b"\r") != line_ends or b"\0" in own:
        raise UnsendableHeader
    return b"HTTP/1.1 %b\r\n%b%b%b%b%b%b%b\r\n" % (
        _STATUS.get(reply.status) or b"%d -" % reply.status,
        block,
        own,
        b"\r\n" if fields else b"",
        b"" if is_cacheable else _NO_STORE,
        b"" if has_id else b"x-request-id: %b\r\n" % request_id.encode(),
        framing,
        _CLOSE if closes else (_KEEP if is_http10 else b""),
    )


def switching(reply: Reply, constant: Constant, request_id: str, extra: Fields) -> bytes:
    """The head after which the connection speaks what its client asked for. Raises `UnsendableHeader`."""
    own = b"".join(b"%b: %b\r\n" % field for field in [*reply.headers, *extra])
    if own.count(b"\n") != len(reply.headers) + len(extra) or b"\0" in own:
        raise UnsendableHeader
    return b"HTTP/1.1 %b\r\nconnection: Upgrade\r\n%b%bx-request-id: %b\r\n\r\n" % (
        _STATUS[reply.status],
        constant.block,
        own,
        request_id.encode(),
    )


def bare(status: int, constant: Constant) -> bytes:
    """A whole answer without a request or a body, and the end of its connection."""
    return b"HTTP/1.1 %b\r\n%b%bcontent-length: 0\r\n%b\r\n" % (_STATUS[status], constant.block, _NO_STORE, _CLOSE)
