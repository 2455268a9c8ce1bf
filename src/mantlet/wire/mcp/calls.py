"""Calls that the endpoint of all servers makes on a caller's behalf. Pure."""

import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from mantlet.core.call import Call
from mantlet.core.headers import JSON, Headers
from mantlet.wire import jsonrpc
from mantlet.wire.mcp import inbound
from mantlet.wire.mcp.methods import LEGACY_VERSIONS, MODERN_VERSIONS

_ACCEPT: Final = (b"accept", b"application/json, text/event-stream")
_STREAM: Final = (b"accept", b"text/event-stream")
_count: Final = itertools.count(1)


def request(
    call: Call,
    server: str,
    method: str,
    params: Mapping[str, Any],
    *,
    session: str,
    deadline_s: float,
    version: str = "",
) -> Call:
    """A request to `server` in `call`'s era and as its caller, with a trail of its own.

    `version` is the revision that a legacy session was opened for; without it, the one that the caller speaks.
    """
    return _sub(call, server, method, params, _new_id(call), session, deadline_s, version)


def notification(
    call: Call, server: str, method: str, params: Mapping[str, Any], *, session: str, version: str = ""
) -> Call:
    """A legacy notification to `server`."""
    return _sub(call, server, method, params, None, session, call.deadline_s, version)


def response(call: Call, server: str, message: Mapping[str, Any], *, session: str, version: str = "") -> Call:
    """A client's answer to what `server` asked it."""
    sub = _sub(call, server, "", {}, None, session, call.deadline_s, version)
    return replace(sub, kind="response", message=message, body=jsonrpc.encode(message))


def stream(
    call: Call, server: str, *, session: str, deadline_s: float, version: str = "", last_event_id: str = ""
) -> Call:
    """The stream of what `server` says on its own in a legacy session; or the rest of the one with that last event."""
    sub = _sub(call, server, "", {}, None, session, deadline_s, version)
    fields = [_STREAM, (inbound.PROTOCOL_VERSION, sub.arrival.headers.get(inbound.PROTOCOL_VERSION) or b"")]
    if last_event_id:
        fields.append((inbound.LAST_EVENT_ID, last_event_id.encode()))
    arrival = replace(sub.arrival, verb="GET", headers=Headers(fields))
    return replace(sub, kind="stream", body=b"", message={}, arrival=arrival)


def end(call: Call, server: str, session: str, version: str = "") -> Call:
    """The end of the session with `server`."""
    sub = _sub(call, server, "", {}, None, session, call.deadline_s, version)
    return replace(sub, kind="end", body=b"", message={})


def list_params(call: Call, cursor: str | None) -> dict[str, Any]:
    """Params of a list request: the caller's own metadata, without a token for progress that nobody would hear."""
    params: dict[str, Any] = {}
    if call.era == "modern":
        params["_meta"] = {key: value for key, value in call.params["_meta"].items() if key != "progressToken"}
    if cursor is not None:
        params["cursor"] = cursor
    return params


def _new_id(call: Call) -> str:
    """An id that no other request of the session has, whichever worker made that (2025-11-25, basic, "Requests").

    Servers file the streams of a session by id: two at once under one id, and one of them is never answered.
    """
    return f"mantlet-{call.trail.request_id}-{next(_count):x}"


def version_of(call: Call) -> bytes:
    """The revision that the caller speaks; a door without headers says it in the message, or has no need to."""
    said = call.arrival.headers.get(inbound.PROTOCOL_VERSION)
    if said is not None:
        return said
    return (MODERN_VERSIONS if call.era == "modern" else LEGACY_VERSIONS)[0].encode()


def _sub(
    call: Call,
    server: str,
    method: str,
    params: Mapping[str, Any],
    identity: str | None,
    session: str,
    deadline_s: float,
    version: str = "",
) -> Call:
    message: dict[str, Any] = {"jsonrpc": "2.0", "method": method, "params": params}
    raw_id = None
    if identity is not None:
        message["id"] = identity
        raw_id = jsonrpc.raw_identifier(identity)
    fields = [_ACCEPT, JSON]
    if call.era == "modern":
        fields.append((inbound.METHOD, method.encode()))
    if method != "initialize":
        fields.append((inbound.PROTOCOL_VERSION, version.encode() or version_of(call)))
    trail = replace(call.trail, server=server, action=method, object="", notes={}, rpc_id=raw_id)
    return Call(
        arrival=replace(call.arrival, headers=Headers(fields), trail=trail),
        caller=call.caller,
        kind="notification" if raw_id is None else "request",
        era=call.era,
        server=server,
        method=method,
        target="",
        params=params,
        body=jsonrpc.encode(message),
        id=raw_id,
        deadline_s=deadline_s,
        session=session,
        message=message,
    )
