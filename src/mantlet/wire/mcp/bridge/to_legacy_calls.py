"""Legacy calls that the node makes for a modern client: they carry the client's principal and nothing of its head."""

from typing import Any, Final

import msgspec

from mantlet.core.call import Arrival, Call, Kind
from mantlet.core.caller import Caller
from mantlet.core.headers import JSON, Headers
from mantlet.core.record import Trail
from mantlet.wire.mcp.bridge.to_legacy_requests import legacy_params
from mantlet.wire.mcp.inbound import LAST_EVENT_ID, PROTOCOL_VERSION
from mantlet.wire.mcp.methods import LEGACY_VERSIONS

_BOTH: Final = (b"accept", b"application/json, text/event-stream")
_STREAM: Final = (b"accept", b"text/event-stream")
_TRACE: Final = frozenset({b"traceparent", b"tracestate"})
_VERBS: Final[dict[str, str]] = {"stream": "GET", "end": "DELETE"}


def _headers(version: str) -> Headers:
    fields = [_BOTH, JSON]
    if version:
        fields.append((PROTOCOL_VERSION, version.encode()))
    return Headers(fields)


_PLAIN: Final = {version: _headers(version) for version in ("", *LEGACY_VERSIONS)}
"""One object for all that are equal: what is worked out from it is worked out once (`Headers.once`)."""


async def _nothing() -> bytes:
    return b""


def own_trail(server: str, caller: Caller) -> Trail:
    """The notes of what the node does on a caller's behalf, where no call of the caller's is under way."""
    return Trail(request_id="bridge", door="bridge", peer="", at_s=0.0, server=server, principal=caller.subject)


def request(
    call: Call, body: bytes, identity: int, token: bytes, session: str, version: str, deadline_s: float
) -> Call:
    """`call`, told in legacy words: `body` with the id `identity`."""
    params = legacy_params(call.params, token)
    return _make(
        "request", call.caller, call.server, call.method, call.target, body, b"%d" % identity, session, version,
        deadline_s, trail=call.arrival.trail, trace=call.arrival.headers, params=params,
        message={"jsonrpc": "2.0", "id": identity, "method": call.method, "params": params},
    )  # fmt: skip


def own_request(
    caller: Caller, server: str, method: str, params: Any, identity: int, session: str, version: str, deadline_s: float
) -> Call:
    """A request of the node's own."""
    message = {"jsonrpc": "2.0", "id": identity, "method": method, "params": params}
    body = msgspec.json.encode(message)
    target = str(params.get("uri", ""))
    return _make(
        "request", caller, server, method, target, body, b"%d" % identity, session, version, deadline_s,
        params=params, message=message,
    )  # fmt: skip


def notification(
    caller: Caller, server: str, method: str, params: Any, session: str, version: str, deadline_s: float
) -> Call:
    """A notification of the node's own."""
    message = {"jsonrpc": "2.0", "method": method, **({"params": params} if params else {})}
    body = msgspec.json.encode(message)
    return _make(
        "notification", caller, server, method, "", body, None, session, version, deadline_s,
        params=params, message=message,
    )  # fmt: skip


def response(caller: Caller, server: str, body: bytes, session: str, version: str, deadline_s: float) -> Call:
    """The client's answer to what the server asked."""
    message = msgspec.json.decode(body)
    return _make("response", caller, server, "", "", body, None, session, version, deadline_s, message=message)


def stream(caller: Caller, server: str, session: str, version: str, deadline_s: float, last_event: bytes = b"") -> Call:
    """The GET of a session's own stream, or with `last_event` of what is left of another."""
    return _make("stream", caller, server, "", "", b"", None, session, version, deadline_s, last_event=last_event)


def end(caller: Caller, server: str, session: str, version: str, deadline_s: float) -> Call:
    """The end of a session."""
    return _make("end", caller, server, "", "", b"", None, session, version, deadline_s)


def _make(
    kind: Kind,
    caller: Caller,
    server: str,
    method: str,
    target: str,
    body: bytes,
    raw_id: bytes | None,
    session: str,
    version: str,
    deadline_s: float,
    *,
    trail: Trail | None = None,
    trace: Headers | None = None,
    params: Any = None,
    message: Any = None,
    last_event: bytes = b"",
) -> Call:
    if kind != "stream" and (trace is None or not trace.has_any(_TRACE)):
        headers = _PLAIN.get(version) or _headers(version)
    else:
        fields = [_STREAM] if kind == "stream" else [_BOTH, JSON]
        if version:
            fields.append((PROTOCOL_VERSION, version.encode()))
        if last_event:
            fields.append((LAST_EVENT_ID, last_event))
        if trace is not None:
            fields += [field for field in trace if field[0] in _TRACE]
        headers = Headers(fields)
    return Call(
        arrival=Arrival(
            verb=_VERBS.get(kind, "POST"),
            path="",
            query=b"",
            headers=headers,
            peer="",
            read=_nothing,
            deadline_s=deadline_s,
            trail=own_trail(server, caller) if trail is None else trail,
            caller=caller,
        ),
        caller=caller,
        kind=kind,
        era="legacy",
        server=server,
        method=method,
        target=target,
        params=params or {},
        body=body,
        id=raw_id,
        deadline_s=deadline_s,
        session=session,
        message=message or {},
    )
