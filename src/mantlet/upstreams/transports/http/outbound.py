"""Which header fields an upstream sees: a list of what passes, so what nobody thought of stays out (FWD-01, FWD-03).

The caller's credentials, cookies, forwarding and hop-by-hop fields are not on it. On the legacy era nobody compared
`Mcp-Method` and `Mcp-Name` with the body, so there they do not pass either.
"""

from typing import Final

from mantlet.core.call import Call
from mantlet.core.headers import Headers
from mantlet.upstreams.client import lines
from mantlet.wire.mcp.header_values import PARAM_PREFIX, encode_value
from mantlet.wire.mcp.inbound import LAST_EVENT_ID, METHOD, NAME, PROTOCOL_VERSION, SESSION_ID
from mantlet.wire.mcp.methods import META_VERSION, NAMED_BY

BOTH: Final = b"application/json, text/event-stream"
STREAM: Final = b"text/event-stream"
TRACE: Final = (b"traceparent", b"tracestate")
_PARAM_PREFIX: Final = PARAM_PREFIX.encode()
_TRACES: Final = frozenset(TRACE)
_KEPT: Final = 1024
_KEPT_BYTES: Final = 512
_known_lines: dict[tuple[bytes | str | None, ...], bytes] = {}

Field = tuple[bytes, bytes]


def accept(headers: Headers, kind: str) -> bytes:
    """What the caller takes, or, where it did not restrict that, what the protocol wants a client to list.

    A caller that takes less than both is told so by the server: we cannot turn one form into the other for it.
    """
    needed = STREAM if kind == "stream" else BOTH
    if headers.get(b"accept") is None:
        return needed
    wanted = b", ".join(headers.all(b"accept")) if headers.has_repeats else headers.get(b"accept") or b""
    return needed if b"*/*" in wanted else wanted


def modern_fields(call: Call) -> list[Field]:
    """The fields of a modern POST. Those that mirror the body are made from it when the door has no headers."""
    headers = call.arrival.headers
    fields = [(b"accept", accept(headers, call.kind))]
    version = headers.get(PROTOCOL_VERSION)
    if version is None:
        meta = call.params.get("_meta")
        version = encode_value(str(meta.get(META_VERSION, ""))) if type(meta) is dict else b""
    fields.append((PROTOCOL_VERSION, version))
    fields.append((METHOD, headers.get(METHOD) or encode_value(call.method)))
    if (name := headers.get(NAME)) is not None:
        fields.append((NAME, name))
    elif call.method in NAMED_BY:
        fields.append((NAME, encode_value(call.target)))
    if call.method == "tools/call" and headers.has_prefix(_PARAM_PREFIX):
        fields += [field for field in headers.fields if field[0].startswith(_PARAM_PREFIX)]
    return _with_trace(fields, headers)


def modern_lines(call: Call) -> bytes:
    """`modern_fields` as the lines of a head. Raises `Malformed` when a field holds a line end or NUL."""
    headers = call.arrival.headers
    get = headers.get
    # What a caller says of a tool is the same every time: looking it up takes 6 us, making it 9.5.
    key = (call.kind, get(b"accept"), get(PROTOCOL_VERSION), get(METHOD), get(NAME))
    if None in key or headers.has_repeats or headers.has_any(_TRACES) or headers.has_prefix(_PARAM_PREFIX):
        return lines(modern_fields(call))
    if (known := _known_lines.get(key)) is None:
        known = lines(modern_fields(call))
        if len(known) <= _KEPT_BYTES:
            if len(_known_lines) >= _KEPT:
                _known_lines.clear()  # somebody makes up names; those in use are soon back
            _known_lines[key] = known
    return known


def legacy_fields(call: Call, session: bytes | None) -> list[Field]:
    """The fields of a legacy POST, GET or DELETE; `session` is the upstream's own id."""
    headers = call.arrival.headers
    fields = [(b"accept", accept(headers, call.kind))]
    if (version := headers.get(PROTOCOL_VERSION)) is not None:
        fields.append((PROTOCOL_VERSION, version))
    if session is not None:
        fields.append((SESSION_ID, session))
    if call.kind == "stream" and (last := headers.get(LAST_EVENT_ID)) is not None:
        fields.append((LAST_EVENT_ID, last))
    return _with_trace(fields, headers)


def _with_trace(fields: list[Field], headers: Headers) -> list[Field]:
    for name in TRACE:
        if (value := headers.get(name)) is not None:
            fields.append((name, value))
    return fields
