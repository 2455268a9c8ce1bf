"""What an HTTP/1.1 request head may look like, and its one reading (HTTP-01, HTTP-02, HTTP-04, HTTP-06, HTTP-10).

Every line must match one grammar, and what the fields say together must have one reading; nothing is repaired, what is
ambiguous is refused. General parsers are lenient where smuggling lives: llhttp (httptools) takes a folded
`Transfer-Encoding`, a missing or second `Host`, Content-Length beside chunked. A first version ran both, grammar and
llhttp: 13 µs a head of eleven lines, against 5 µs here, since nearly every line of a client is one seen before.
That llhttp reads everything accepted here the same way is a test's business (tests/wire/test_http1.py).
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeVar

from mantlet.core.headers import Headers
from mantlet.core.refusal import HeadersTooLarge, Malformed, TargetTooLong

_T = TypeVar("_T")

_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
# Possessive, so that matching is linear in the bytes of an attacker. No obs-fold: a line starts with a token.
_REQUEST_LINE: Final = re.compile(rb"(" + _TOKEN + rb"{1,32}) ([\x21-\x7e]++) HTTP/1\.([01])")
_FIELD_LINE: Final = re.compile(rb"(" + _TOKEN + rb"++):[ \t]*+([\t\x20-\x7e\x80-\xff]*+)")
_BROKEN: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|(?<!\r)\n|\r(?!\n|\Z)")
_HOST: Final = re.compile(
    rb"(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9](?:[A-Za-z0-9_.\-]{0,252}[A-Za-z0-9.])?)(?::[0-9]{1,5})?"
)
_ABSOLUTE: Final = re.compile(rb"[Hh][Tt][Tt][Pp][Ss]?://([^/?#@]+)(/[^?#]*)?(\?[^#]*)?")
MAX_LENGTH_DIGITS: Final = 15
UNCOMMON: Final = frozenset(
    {b"connection", b"content-encoding", b"expect", b"origin", b"traceparent", b"transfer-encoding", b"x-request-id"}
)
"""Fields that the listener itself acts on, besides Host and Content-Length: most requests have none of them."""
_PATH: Final = re.compile(rb"/(?:[A-Za-z0-9\-._~!$&'()*+,=:@/]|%[0-9A-Fa-f]{2})*")
# Decoded, these say something else to the next reader: separators, the end of the path, a second round of decoding.
_PATH_TRICKS: Final = re.compile(r"[\x00-\x1f\x7f\\;#?%]")
_ENCODED_SLASH: Final = re.compile(rb"%2[Ff]")
_SINGLE: Final = frozenset(
    {b"host", b"content-length", b"transfer-encoding", b"content-type", b"content-encoding", b"origin", b"expect"}
)
_TRACEPARENT: Final = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?"
)
_CLIENT_ID: Final = re.compile(rb"[\x21-\x7e]{1,128}")

CACHED_LINES: Final = 2048
CACHED_LINE_BYTES: Final = 160
"""Bounds of each of the caches of lines and names: less than 1 MB each."""
_CACHED_FIELDS: Final = frozenset(
    {
        b"accept",
        b"accept-encoding",
        b"accept-language",
        b"cache-control",
        b"connection",
        b"content-length",
        b"content-type",
        b"host",
        b"mcp-method",
        b"mcp-name",
        b"mcp-protocol-version",
        b"origin",
        b"sec-fetch-mode",
        b"user-agent",
    }
)
"""What clients repeat. A list of the harmless, so that no credential, session or id is ever kept (AUD-06)."""
_request_lines: dict[bytes, tuple[str, bytes, bool]] = {}
_field_lines: dict[bytes, tuple[bytes, bytes]] = {}
_NOT_PLAIN: Final = bytes([*range(0x20), *range(0x7F, 0x100)])
_names: dict[bytes, bytes] = {}
"""Names of fields whose lines are not kept, as spelt and in lower case."""

CHUNKED: Final = -1
"""`Framing.length` of a body that comes in chunks."""
_REQUEST_LINE_REST: Final = 45
"""The longest method and version, and their spaces."""
_CACHED_PATH_BYTES: Final = 256


@dataclass(slots=True)
class Framing:
    """How a request's body is delimited and what is to become of the connection. `length` is bytes, or `CHUNKED`."""

    length: int
    is_persistent: bool
    expects_continue: bool
    is_plain: bool = False
    """None of the `UNCOMMON` fields stands there."""


def read(block: bytes, *, max_target_bytes: int, max_headers: int) -> tuple[str, bytes, bool, Headers]:
    """Method, target, whether it is HTTP/1.0, and fields, of a whole head; `block` ends in the first empty line.

    Raises `Malformed`, `TargetTooLong` or `HeadersTooLarge`.
    """
    lines = block.split(b"\r\n")
    del lines[-2:]
    method, target, is_http10 = _request_lines.get(lines[0]) or _read_request_line(lines[0])
    if len(target) > max_target_bytes:
        raise TargetTooLong
    del lines[0]
    if len(lines) > max_headers:
        raise HeadersTooLarge
    return method, target, is_http10, Headers(fields(lines))


def fields(lines: list[bytes]) -> list[tuple[bytes, bytes]]:
    """Names, in lower case, and values of the field lines of any head. Raises `Malformed`."""
    known = _field_lines.get
    return [known(line) or _read_field_line(line) for line in lines]


def _read_request_line(line: bytes) -> tuple[str, bytes, bool]:
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise Malformed("The request head is not well-formed HTTP/1.1.")
    read = match[1].decode(), match[2], match[3] == b"0"
    # A query may hold anything, also what should not be kept.
    if len(line) <= CACHED_LINE_BYTES and b"?" not in line:
        _keep(_request_lines, line, read)
    return read


def _read_field_line(line: bytes) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(b":")
    if colon and (lower := _names.get(name)) is not None and len(value.translate(None, _NOT_PLAIN)) == len(value):
        # A known name and nothing but printable ASCII: the pattern would agree, at many times the cost.
        return lower, value.strip(b" ")
    match = _FIELD_LINE.fullmatch(line)
    if match is None:
        raise Malformed("The request head is not well-formed HTTP/1.1.")
    read = match[1].lower(), match[2].rstrip(b" \t")
    if read[0] in _CACHED_FIELDS:
        if len(line) <= CACHED_LINE_BYTES:
            _keep(_field_lines, line, read)
    elif len(name) <= CACHED_LINE_BYTES:
        _keep(_names, name, read[0])
    return read


def _keep(cache: dict[bytes, _T], line: bytes, read: _T) -> None:
    if len(cache) >= CACHED_LINES:
        # Somebody makes up lines. Starting over costs the honest a microsecond each, and an LRU would cost it always.
        cache.clear()
    cache[line] = read


def check_partial(buffer: bytes | bytearray, start: int, *, max_header_bytes: int, max_target_bytes: int) -> None:
    """Refuse early a head that can no longer become whole. `start` is where the bytes not yet looked at begin.

    Without it a head with bare line feeds would never end, and only its deadline would notice.
    """
    # One byte back: a CR at the end of the last segment is judged with what follows it.
    if _BROKEN.search(buffer, max(0, start - 1)) is not None or (start == 0 and buffer[:1] in (b"\r", b"\n")):
        raise Malformed("The request head is not well-formed HTTP/1.1.")
    if len(buffer) > max_target_bytes + _REQUEST_LINE_REST and buffer.find(b"\r\n", 0, max_target_bytes + 64) < 0:
        raise TargetTooLong
    if len(buffer) > max_header_bytes:
        raise HeadersTooLarge


def framing(headers: Headers, *, is_http10: bool) -> Framing:
    """Where the body ends (RFC 9112 section 6), when that has exactly one answer. Raises `Malformed`.

    Also holds what must stand exactly once: `Host` (RFC 9112 section 3.2), and the fields that decide something.
    """
    if headers.has_repeats and (name := headers.repeated(_SINGLE)) is not None:
        raise Malformed(f"The header {name.decode()} stands more than once.")
    host = headers.get(b"host")
    if host is None or not is_host(host):
        raise Malformed("There must be one well-formed Host header.")
    length = _length(headers, is_http10)
    is_persistent = not is_http10
    if not headers.has_any(UNCOMMON):
        return Framing(length, is_persistent, False, True)
    if (connection := headers.get(b"connection")) is not None:
        is_persistent = _is_persistent(headers if headers.has_repeats else connection, is_http10)
    expects = False
    if (expect := headers.get(b"expect")) is not None:
        if expect.lower() != b"100-continue":
            raise Malformed("Only 100-continue can be expected.")
        expects = not is_http10  # RFC 9110 section 10.1.1: ignored in HTTP/1.0
    return Framing(length, is_persistent, expects)


def _length(headers: Headers, is_http10: bool) -> int:
    length = headers.get(b"content-length")
    coding = headers.get(b"transfer-encoding")
    if coding is not None:
        if length is not None:
            raise Malformed("Content-Length and Transfer-Encoding stand together.")
        if is_http10:
            raise Malformed("HTTP/1.0 knows no Transfer-Encoding.")
        # Exactly so: `Chunked`, `chunked,` or `identity, chunked` are read differently by different proxies.
        if coding != b"chunked":
            raise Malformed("Transfer-Encoding must be exactly chunked.")
        return CHUNKED
    if length is None:
        return 0
    if not length.isdigit() or len(length) > MAX_LENGTH_DIGITS:  # bytes: ASCII digits only
        raise Malformed("Content-Length must be one decimal number.")
    return int(length)


def _is_persistent(connection: bytes | Headers, is_http10: bool) -> bool:
    value = connection if isinstance(connection, bytes) else b",".join(connection.all(b"connection"))
    options = {option.strip(b" \t") for option in value.lower().split(b",")}
    if b"close" in options:
        return False
    return not is_http10 or b"keep-alive" in options


@lru_cache(maxsize=256)
def is_host(value: bytes) -> bool:
    """Whether a `Host` value is well-formed: a name or an address literal, and perhaps a port; never empty."""
    if _HOST.fullmatch(value) is None or b".." in value:
        return False
    _, colon, port = value.rpartition(b":")
    return not colon or value.endswith(b"]") or int(port) <= 65535


def path_of(target: bytes, host: bytes | None) -> tuple[str, bytes]:
    """Path, decoded once, and raw query of a request target; `host` must agree with an absolute one.

    Raises `Malformed` for every spelling that two readers could decode differently (HTTP-10).
    """
    raw, _, query = target.partition(b"?")
    if raw[:1] != b"/":
        if target == b"*":
            return "*", b""
        raw, query = _from_absolute(target, host)
    if b"#" in query:
        raise Malformed("A request target has no fragment.")
    return (_cached_path if len(raw) <= _CACHED_PATH_BYTES else decode_path)(raw), query


def _from_absolute(target: bytes, host: bytes | None) -> tuple[bytes, bytes]:
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        raise Malformed("The request target is neither a path nor a URL of this service.")
    authority, path, query = match.groups()
    if host is None or authority.lower() != host.lower():
        raise Malformed("The request target names another host than the Host header.")
    return path or b"/", (query or b"?")[1:]


def decode_path(raw: bytes) -> str:
    """The path with its percent-encoding taken away once. Raises `Malformed` (HTTP-10)."""
    if _PATH.fullmatch(raw) is None or b"//" in raw or _ENCODED_SLASH.search(raw) is not None:
        raise Malformed("The path is not one that has a single reading.")
    path = raw.decode("ascii")
    if "%" in path:
        try:
            path = re.sub(rb"%(..)", lambda found: bytes([int(found[1], 16)]), raw).decode()
        except UnicodeDecodeError:
            raise Malformed("The path is not UTF-8.") from None
    if _PATH_TRICKS.search(path) is not None or not {".", ".."}.isdisjoint(path.split("/")):
        raise Malformed("The path is not one that has a single reading.")
    return path


_cached_path = lru_cache(maxsize=1024)(decode_path)


def trace_id(headers: Headers) -> str:
    """The trace id of a valid `traceparent` (W3C Trace Context section 3.2), or empty."""
    value = headers.get(b"traceparent")
    if value is None or len(value) > 128 or (match := _TRACEPARENT.fullmatch(value)) is None:
        return ""
    # Version 00 has exactly four members.
    return "" if value[:2] == b"00" and len(value) != 55 else match[1].decode()


def client_request_id(headers: Headers) -> str:
    """The client's own word for its request, printable and at most 128 bytes, or empty."""
    value = headers.get(b"x-request-id")
    return "" if value is None or _CLIENT_ID.fullmatch(value) is None else value.decode()
