"""What a request's header list may be, and its one reading (RFC 9113 sections 8.2 and 8.3; HTTP-01, HTTP-02, HTTP-06).

The list becomes what an HTTP/1.1 head becomes, with `:authority` as its `Host`, so that everything behind it knows one
kind of request. Nothing is repaired.
"""

import re
from collections.abc import Iterable
from typing import Final

from mantlet.core.headers import Headers
from mantlet.core.refusal import HeadersTooLarge, Malformed, MethodNotAllowed, TargetTooLong
from mantlet.listeners.http.request import ALLOW, Request
from mantlet.wire import http1

OVERHEAD_BYTES: Final = 32
"""Of a field in the size of a header list (RFC 9113 section 10.5.1)."""
_METHOD: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}")
_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_VALUE: Final = re.compile(rb"(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?")
_TARGET: Final = re.compile(rb"[\x21-\x7e]+")
_PSEUDO: Final = frozenset({b":method", b":scheme", b":authority", b":path"})
_OF_CONNECTIONS: Final = frozenset(
    {b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"}
)


def parse(
    fields: Iterable[tuple[bytes, bytes]], *, max_target_bytes: int, max_headers: int, max_header_bytes: int
) -> Request:
    """Read a request's header list. Raises `Malformed`, `TargetTooLong`, `HeadersTooLarge` or `MethodNotAllowed`."""
    pseudo: dict[bytes, bytes] = {}
    regular: list[tuple[bytes, bytes]] = []
    cookies: list[bytes] = []
    size = 0
    for name, value in fields:
        size += len(name) + len(value) + OVERHEAD_BYTES
        if name[:1] == b":":
            if name not in _PSEUDO or name in pseudo or regular or cookies:
                raise Malformed("A pseudo-header field is unknown, repeated or out of place.")
            pseudo[name] = value
            continue
        _check(name, value)
        if name == b"cookie":
            cookies.append(value)
        elif name != b"te":
            regular.append((name, value))
    if size > max_header_bytes or len(regular) + len(cookies) > max_headers:
        raise HeadersTooLarge
    if cookies:
        regular.append((b"cookie", b"; ".join(cookies)))  # they come in crumbs (section 8.2.3)
    return _request(pseudo, regular, max_target_bytes)


def _check(name: bytes, value: bytes) -> None:
    if _NAME.fullmatch(name) is None or _VALUE.fullmatch(value) is None:
        raise Malformed("A header field is not well-formed HTTP/2.")
    if name in _OF_CONNECTIONS or (name == b"te" and value != b"trailers"):
        raise Malformed("A field of HTTP/1.1 connections has no place in HTTP/2.")


def _request(pseudo: dict[bytes, bytes], regular: list[tuple[bytes, bytes]], max_target_bytes: int) -> Request:
    method = pseudo.get(b":method", b"")
    if _METHOD.fullmatch(method) is None:
        raise Malformed("There must be one :method.")
    if method == b"CONNECT":
        raise MethodNotAllowed(ALLOW)
    target = pseudo.get(b":path", b"")
    if len(target) > max_target_bytes:
        raise TargetTooLong
    if pseudo.get(b":scheme") != b"https" or _TARGET.fullmatch(target) is None:
        raise Malformed("There must be one :path, and the :scheme https.")
    if target[:1] != b"/" and (target != b"*" or method != b"OPTIONS"):
        raise Malformed("The :path is no path.")
    _agree(pseudo, regular)
    headers = Headers(regular)
    return Request(method.decode(), target, False, headers, http1.framing(headers, is_http10=False))


def _agree(pseudo: dict[bytes, bytes], regular: list[tuple[bytes, bytes]]) -> None:
    """One authority, said once or twice alike (section 8.3.1); behind this it is the `Host`."""
    authority = pseudo.get(b":authority")
    if authority is None:
        return  # `http1.framing` wants a Host then
    hosts = [value for name, value in regular if name == b"host"]
    if any(host.lower() != authority.lower() for host in hosts) or len(hosts) > 1:
        raise Malformed("The Host header and :authority name different hosts.")
    if not hosts:
        regular.insert(0, (b"host", authority))
