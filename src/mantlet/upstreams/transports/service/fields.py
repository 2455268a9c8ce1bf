"""Which header fields pass, each way: lists of what does, so what nobody thought of stays out (FWD-03, HTTP-09).

Names are matched as they are spelt: `X_Forwarded_For` is not on the list either. What credentials, addresses, framing
or the node's own answers are made of can not be put on the lists.
"""

import re
from collections.abc import Iterable
from typing import Final

from mantlet.core.headers import Headers
from mantlet.upstreams.client import lines

Field = tuple[bytes, bytes]

REQUEST: Final = frozenset(
    {
        b"accept",
        b"accept-language",
        b"idempotency-key",
        b"if-match",
        b"if-modified-since",
        b"if-none-match",
        b"if-range",
        b"if-unmodified-since",
        b"last-event-id",
        b"prefer",
        b"range",
        b"traceparent",
        b"tracestate",
    }
)
RESPONSE: Final = frozenset(
    {
        b"accept-ranges",
        b"allow",
        b"content-disposition",
        b"content-language",
        b"content-range",
        b"content-type",
        b"etag",
        b"last-modified",
        b"preference-applied",
        b"retry-after",
        b"x-accel-buffering",
    }
)
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")
_NEVER: Final = frozenset(
    # Credentials and who somebody is.
    {"authorization", "cookie", "cookie2", "set-cookie", "set-cookie2", "www-authenticate", "authentication-info"}
    | {"x-api-key", "dpop", "from", "forwarded", "via", "x-real-ip", "x-client-ip", "true-client-ip", "x-client-cert"}
    | {"cf-connecting-ip", "x-remote-user", "remote-user", "x-user", "x-user-id", "x-original-url", "x-rewrite-url"}
    | {"x-http-method", "x-http-method-override", "x-method-override", "client-cert", "client-cert-chain"}
    # Framing, hops, and what a body is.
    | {"host", "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "expect", "http2-settings"}
    | {"content-length", "content-encoding", "content-type", "accept-encoding", "max-forwards", "origin"}
    # What the node itself says to browsers and callers.
    | {"server", "date", "location", "refresh", "clear-site-data", "content-security-policy", "alt-svc", "sourcemap"}
    | {"content-security-policy-report-only", "strict-transport-security", "x-content-type-options", "referrer-policy"}
    # What a proxy before the node would obey.
    | {"x-accel-redirect", "x-sendfile", "x-lighttpd-send-file", "x-reproxy-url"}
    | {"service-worker-allowed", "x-request-id", "ratelimit", "ratelimit-policy", "x-powered-by", "x-frame-options"}
)
_NEVER_BEGINS: Final = (
    "access-control-", "mcp-", "proxy-", "sec-", "x-auth", "x-forwarded", "x-original-", "x-ratelimit-", "x-remote-",
    "x-envoy-", "x-amzn-", "x-ssl-", "ssl-",
)  # fmt: skip


def check_passed(request: Iterable[str], response: Iterable[str]) -> None:
    """Raise `ValueError` for a field that may not pass whatever the configuration says."""
    for key, names in (("request_headers", request), ("response_headers", response)):
        for name in names:
            lower = name.lower()
            if not _NAME.fullmatch(name) or lower in _NEVER or lower.startswith(_NEVER_BEGINS):
                raise ValueError(f"{key}: {name!r} is never passed on")


class Passed:
    """The lists of one service. What its methods find depends on nothing but the fields (see `Headers.once`)."""

    __slots__ = ("_request", "_response")

    def __init__(self, request: Iterable[str] = (), response: Iterable[str] = (), own: Iterable[str] = ()) -> None:
        """`own` are fields that the node sends with values of its own: a caller's does not stand beside them."""
        self._request = (REQUEST | {name.lower().encode() for name in request}) - {
            name.lower().encode() for name in own
        }
        self._response = RESPONSE | {name.lower().encode() for name in response}

    def request_lines(self, headers: Headers) -> bytes:
        """What the service sees, as the lines of a head. Raises `Malformed` for a line end within one (FWD-03)."""
        listed = self._request
        return lines([field for field in headers.fields if field[0] in listed])

    def response_fields(self, headers: Headers) -> list[Field]:
        """What the caller sees."""
        listed = self._response
        return [field for field in headers.fields if field[0] in listed]
