"""Calls that the endpoint of all servers makes on a caller's behalf. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from mantlet.core.call import Call
from mantlet.core.headers import Headers
from mantlet.wire import jsonrpc
from mantlet.wire.mcp import inbound
from mantlet.wire.mcp.methods import LATEST_LEGACY

_ACCEPT: Final = (b"accept", b"application/json, text/event-stream")
_TYPE: Final = (b"content-type", b"application/json")
ID: Final = b'"mantlet"'
"""One id for all: every one of these calls has its own exchange, and a shared channel mints its own ids."""


def request(
    call: Call, server: str, method: str, params: Mapping[str, Any], *, session: str, deadline_s: float
) -> Call:
    """A request to `server` in `call`'s era and as its caller, with a trail of its own."""
    return _sub(call, server, method, params, ID, session, deadline_s)


def notification(call: Call, server: str, method: str, params: Mapping[str, Any], *, session: str) -> Call:
    """A legacy notification to `server`."""
    return _sub(call, server, method, params, None, session, call.deadline_s)


def end(call: Call, server: str, session: str) -> Call:
    """The end of the session with `server`."""
    sub = _sub(call, server, "", {}, None, session, call.deadline_s)
    return replace(sub, kind="end", body=b"", message={})


def list_params(call: Call, cursor: str | None) -> dict[str, Any]:
    """Params of a list request: the caller's own metadata, without a token for progress that nobody would hear."""
    params: dict[str, Any] = {}
    if call.era == "modern":
        params["_meta"] = {key: value for key, value in call.params["_meta"].items() if key != "progressToken"}
    if cursor is not None:
        params["cursor"] = cursor
    return params


def _sub(
    call: Call,
    server: str,
    method: str,
    params: Mapping[str, Any],
    raw_id: bytes | None,
    session: str,
    deadline_s: float,
) -> Call:
    message: dict[str, Any] = {"jsonrpc": "2.0", "method": method, "params": params}
    if raw_id is not None:
        message["id"] = ID.decode().strip('"')
    version = call.arrival.headers.get(inbound.PROTOCOL_VERSION)
    fields = [_ACCEPT, _TYPE]
    if call.era == "modern":
        fields.append((inbound.METHOD, method.encode()))
    if method != "initialize":
        fields.append((inbound.PROTOCOL_VERSION, version or LATEST_LEGACY.encode()))
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
