"""Modern calls on behalf of a legacy client: its identity and its words, in the form that the server knows."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec

from mantlet.core.call import Arrival, Call
from mantlet.core.caller import Caller
from mantlet.core.headers import JSON, Headers
from mantlet.wire.mcp.bridge.to_modern_request import (
    NOT_LEGACY,
    VERSION,
    Members,
    Meta,
    full_body,
    members_of,
    params_of,
    plain_body,
)
from mantlet.wire.mcp.header_values import ParamPaths, encode_value, param_fields
from mantlet.wire.mcp.inbound import METHOD, NAME, PROTOCOL_VERSION
from mantlet.wire.mcp.methods import NAMED_BY

_ACCEPT: Final = (b"accept", b"application/json, text/event-stream")
_VERSION: Final = (PROTOCOL_VERSION, VERSION.encode())
_TRACES: Final = frozenset({b"traceparent", b"tracestate"})
_USUAL: Final = frozenset({"_meta", *NOT_LEGACY})
_encode: Final = msgspec.json.Encoder().encode

Field = tuple[bytes, bytes]


def translated(call: Call, meta: Meta, paths: ParamPaths) -> Call:
    """The legacy request `call` as a modern one, under its own id."""
    assert call.id is not None
    method = _encode(call.method)
    if _USUAL.isdisjoint(call.params):
        body = plain_body(call.id, method, call.body, meta)
    else:
        body = full_body(call.id, method, members_of(call.body), meta)
    return _call(call, call.id, params_of(call.params, meta), body, _param_fields(call, paths))


def retried(
    call: Call, meta: Meta, paths: ParamPaths, number: int, more: Mapping[str, bytes], deadline_s: float
) -> Call:
    """The same once more with `more` in its params, under an id that the server has not seen (basic/patterns/mrtr)."""
    raw_id = b'"mantlet-%d"' % number
    members: Members = members_of(call.body)
    body = full_body(raw_id, _encode(call.method), members, meta, more)
    params = params_of(call.params, meta)
    for name, value in more.items():
        params[name] = msgspec.json.decode(value)
    made = _call(call, raw_id, params, body, _param_fields(call, paths))
    made.deadline_s = deadline_s
    return made


def own(call: Call, method: str, params: Mapping[str, Any], meta: Meta, deadline_s: float) -> Call:
    """A request of the node's own as `call`'s caller, with a trail of its own."""
    whole = {**params, "_meta": meta.values}
    body = _encode({"jsonrpc": "2.0", "id": "mantlet", "method": method, "params": whole})
    trail = replace(call.trail, server=call.server, action=method, object="", notes={}, rpc_id=b'"mantlet"')
    source = replace(call, method=method, target="", arrival=replace(call.arrival, trail=trail), kind="request")
    made = _call(source, b'"mantlet"', whole, body, [])
    made.deadline_s = deadline_s
    return made


def as_caller(call: Call, caller: Caller) -> Call:
    """`call` in another caller's name."""
    return replace(call, caller=caller, arrival=replace(call.arrival, caller=caller))


def _param_fields(call: Call, paths: ParamPaths) -> list[Field]:
    arguments = call.params.get("arguments")
    return param_fields(paths, arguments) if paths and type(arguments) is dict else []


def _call(call: Call, raw_id: bytes, params: Mapping[str, Any], body: bytes, more: list[Field]) -> Call:
    fields = [_ACCEPT, JSON, _VERSION, (METHOD, encode_value(call.method))]
    if call.method in NAMED_BY:
        fields.append((NAME, encode_value(call.target)))
    if more:
        fields += more
    arrival = call.arrival
    if arrival.headers.has_any(_TRACES):
        fields += [field for field in arrival.headers.fields if field[0] in _TRACES]
    # Made by hand: `dataclasses.replace` on the two takes 6 us.
    return Call(
        arrival=Arrival(
            verb="POST",
            path=arrival.path,
            query=b"",
            headers=Headers(fields),
            peer=arrival.peer,
            read=arrival.read,
            deadline_s=arrival.deadline_s,
            trail=arrival.trail,
            is_tls=arrival.is_tls,
            caller=call.caller,
        ),
        caller=call.caller,
        kind="request",
        era="modern",
        server=call.server,
        method=call.method,
        target=call.target,
        params=params,
        body=body,
        id=raw_id,
        deadline_s=call.deadline_s,
        message={"jsonrpc": "2.0", "id": msgspec.json.decode(raw_id), "method": call.method, "params": params},
    )
