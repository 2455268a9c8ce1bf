"""From the bytes of a head to what the listener needs to know of a request, or a refusal."""

from dataclasses import dataclass, field
from typing import Final

from mantlet.core.headers import Headers
from mantlet.core.record import Trail
from mantlet.core.refusal import MethodNotAllowed, PayloadTooLarge, UnsupportedMediaType
from mantlet.listeners.http.door import Door
from mantlet.listeners.http.origin import Fields, Names, check_host, check_origin, cors_fields
from mantlet.listeners.peer import first_untrusted
from mantlet.wire import http1

ALLOW: Final = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
_NO_EFFECT: Final = frozenset({"TRACE", "CONNECT"})


@dataclass(slots=True)
class Request:
    """A head that has one reading. `extra` are the CORS fields of its answer, once its origin is accepted."""

    verb: str
    target: bytes
    is_http10: bool
    headers: Headers
    framing: http1.Framing
    extra: Fields = field(default_factory=list)


def parse(block: bytes, *, max_target_bytes: int, max_headers: int) -> Request:
    """Read a whole head. Raises `Malformed`, `TargetTooLong` or `HeadersTooLarge`."""
    method, target, is_http10, headers = http1.read(block, max_target_bytes=max_target_bytes, max_headers=max_headers)
    return Request(method, target, is_http10, headers, http1.framing(headers, is_http10=is_http10))


def admit(request: Request, names: Names, *, max_body_bytes: int) -> None:
    """Refuse what may not come in, cheapest and most telling first; fills `request.extra`.

    Raises `MisdirectedHost`, `ForbiddenOrigin`, `MethodNotAllowed`, `UnsupportedMediaType` or `PayloadTooLarge`.
    """
    headers = request.headers
    check_host(headers.get(b"host") or b"", names)
    if not request.framing.is_plain:
        if (origin := headers.get(b"origin")) is not None:
            check_origin(origin, names)
            request.extra = cors_fields(origin, names)
        coding = headers.get(b"content-encoding")
        if coding is not None and coding.lower() != b"identity":
            raise UnsupportedMediaType("Request bodies must not be encoded (Content-Encoding).")
    if request.verb in _NO_EFFECT:
        raise MethodNotAllowed(ALLOW)
    if request.framing.length > max_body_bytes:
        raise PayloadTooLarge(f"The body is larger than {max_body_bytes} bytes.")


def trace(request: Request, trail: Trail, door: Door, *, is_trusted: bool) -> None:
    """Note whom a trusted proxy brings, and what the client calls its request."""
    headers = request.headers
    if is_trusted:
        trail.peer = first_untrusted(trail.peer, headers.all(door.forwarded), door.trusted, door.forwarded)
    if not request.framing.is_plain:
        trail.client_request_id = http1.client_request_id(headers)
        trail.trace_id = http1.trace_id(headers)
