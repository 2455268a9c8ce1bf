"""Which header fields an upstream sees: a list of what passes, so what nobody thought of stays out (FWD-01, FWD-03).

The caller's credentials, cookies, forwarding and hop-by-hop fields are not on it. On the legacy era nobody compared
`Mcp-Method` and `Mcp-Name` with the body, so there they do not pass either.
"""

from typing import Final

from mantlet.core.call import Call
from mantlet.core.headers import Headers
from mantlet.upstreams.client import lines
from mantlet.wire.mcp.header_values import PARAM_PREFIX, encode_value
from mantlet.wire.mcp.inbound import LAST_EVENT_ID, METHOD, NAME, PROTOCOL_VERSION
from mantlet.wire.mcp.methods import META_VERSION, NAMED_BY

BOTH: Final = b"application/json, text/event-stream"
STREAM: Final = b"text/event-stream"
TRACE: Final = (b"traceparent", b"tracestate")
_PARAM_PREFIX: Final = PARAM_PREFIX.encode()
_TRACES: Final = frozenset(TRACE)

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
    made = call.arrival.headers.once(_lines_of)
    return lines(modern_fields(call)) if made is None else made


def _lines_of(headers: Headers) -> bytes | None:
    """The lines of a modern POST where the caller's headers alone say them, as those of nearly all tool calls do."""
    version, method, name = headers.get(PROTOCOL_VERSION), headers.get(METHOD), headers.get(NAME)
    if version is None or method is None or name is None:
        return None
    if headers.has_repeats or headers.has_any(_TRACES) or headers.has_prefix(_PARAM_PREFIX):
        return None
    taken = accept(headers, "request")
    return lines([(b"accept", taken), (PROTOCOL_VERSION, version), (METHOD, method), (NAME, name)])


def legacy_lines(call: Call, session: bytes | None) -> bytes:
    """The fields of a legacy POST, GET or DELETE as the lines of a head; `session` is the upstream's own id, which was
    looked at when it was sealed. Raises `Malformed` when another field holds a line end or NUL."""
    headers = call.arrival.headers
    made = headers.once(_stream_lines if call.kind == "stream" else _message_lines)
    return made if session is None else b"%bmcp-session-id: %b\r\n" % (made, session)


def _stream_lines(headers: Headers) -> bytes:
    fields = _legacy_fields(headers, "stream")
    if (last := headers.get(LAST_EVENT_ID)) is not None:
        fields.append((LAST_EVENT_ID, last))
    return lines(fields)


def _message_lines(headers: Headers) -> bytes:
    return lines(_legacy_fields(headers, "request"))


def _legacy_fields(headers: Headers, kind: str) -> list[Field]:
    fields = [(b"accept", accept(headers, kind))]
    if (version := headers.get(PROTOCOL_VERSION)) is not None:
        fields.append((PROTOCOL_VERSION, version))
    return _with_trace(fields, headers)


def _with_trace(fields: list[Field], headers: Headers) -> list[Field]:
    for name in TRACE:
        if (value := headers.get(name)) is not None:
            fields.append((name, value))
    return fields
