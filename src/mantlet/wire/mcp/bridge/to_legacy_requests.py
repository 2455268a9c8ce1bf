"""A modern request in legacy words: what it says of its client is taken out, all the rest stays as it came.

What a modern request repeats each time (2026-07-28, basic/index, "Per-request protocol fields"), a legacy session says
once when it begins; so it also tells which session a request belongs to.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final, NamedTuple

import msgspec

from mantlet.core.caller import Caller
from mantlet.core.refusal import InvalidParams
from mantlet.wire.mcp.methods import LATEST_LEGACY, META_CAPABILITIES, META_CLIENT_INFO, META_VERSION

META_LOG_LEVEL: Final = "io.modelcontextprotocol/logLevel"
TASKS: Final = "io.modelcontextprotocol/tasks"
LOG_LEVELS: Final[Mapping[str, int]] = {
    name: index
    for index, name in enumerate(
        ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")  # RFC 5424 section 6.2.1
    )
}
ROUND_TRIP: Final = frozenset({"tools/call", "prompts/get", "resources/read"})
"""The requests that may be answered with `input_required` (2026-07-28, basic/patterns/mrtr, "Supported Requests")."""

_OF_THE_CLIENT: Final = (META_VERSION, META_CLIENT_INFO, META_CAPABILITIES, META_LOG_LEVEL)
_OF_A_RETRY: Final = ("inputResponses", "requestState")
_UNNAMED: Final[Mapping[str, Any]] = {"name": "unknown", "version": "0"}
_MAX_TOKEN_CHARACTERS: Final = 1024


class Wishes(NamedTuple):
    """What a modern request says of its client. `level` is -1 without a log level, `token` raw JSON or empty."""

    capabilities: Mapping[str, Any]
    client: Mapping[str, Any]
    level: int
    token: bytes


class _Body(msgspec.Struct):
    params: dict[str, msgspec.Raw] = {}


_BODY: Final = msgspec.json.Decoder(_Body)
_MEMBERS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ENCODE: Final = msgspec.json.Encoder().encode
_CANONICAL: Final = msgspec.json.Encoder(order="deterministic").encode


def wishes(params: Mapping[str, Any]) -> Wishes:
    """Read them from `_meta`. Raises `InvalidParams` for a level or token that is none."""
    meta = params.get("_meta")
    if type(meta) is not dict:
        return Wishes({}, _UNNAMED, -1, b"")
    level = -1
    if META_LOG_LEVEL in meta:
        named = meta[META_LOG_LEVEL]
        level = LOG_LEVELS.get(named, -1) if type(named) is str else -1
        if level < 0:
            raise InvalidParams(f"params._meta {META_LOG_LEVEL} is no log level.")
    token = b""
    if "progressToken" in meta:
        value = meta["progressToken"]
        if type(value) is not int and (type(value) is not str or len(value) > _MAX_TOKEN_CHARACTERS):
            raise InvalidParams("params._meta progressToken must be a short string or an integer.")
        token = _ENCODE(value)
    capabilities, client = meta.get(META_CAPABILITIES), meta.get(META_CLIENT_INFO)
    return Wishes(
        capabilities if type(capabilities) is dict else {}, client if type(client) is dict else _UNNAMED, level, token
    )


def session_key(caller: Caller, said: Wishes) -> tuple[Any, ...]:
    """Who may share a session: one principal with one set of rights, and a client that says the same of itself."""
    return caller.key, caller.rights, _CANONICAL(said.capabilities), _CANONICAL(said.client)


def body(method: str, raw: bytes, identity: int, token: bytes) -> bytes:
    """`raw`, a modern request, as a legacy one with another id; `token` is the progress token it shall carry, if any.

    Members that nobody knows stay, byte for byte.
    """
    params = _BODY.decode(raw).params
    for name in _OF_A_RETRY:
        params.pop(name, None)
    if (raw_meta := params.get("_meta")) is not None:
        meta = _MEMBERS.decode(raw_meta)
        for name in _OF_THE_CLIENT:
            meta.pop(name, None)
        if token:
            meta["progressToken"] = msgspec.Raw(token)
        if meta:
            params["_meta"] = msgspec.Raw(_ENCODE(meta))
        else:
            del params["_meta"]
    return b'{"jsonrpc":"2.0","id":%d,"method":%b,"params":%b}' % (identity, _ENCODE(method), _ENCODE(params))


def legacy_params(params: Mapping[str, Any], token: bytes) -> dict[str, Any]:
    """What `body` says of these params, decoded: for who must look inside. Only the outer members are copied."""
    made = {name: value for name, value in params.items() if name not in _OF_A_RETRY}
    meta = made.pop("_meta", None)
    if type(meta) is dict:
        meta = {name: value for name, value in meta.items() if name not in _OF_THE_CLIENT}
        if token:
            meta["progressToken"] = msgspec.json.decode(token)
        if meta:
            made["_meta"] = meta
    return made


def initialize_params(said: Wishes) -> dict[str, Any]:
    """Params of the `initialize` that opens a session for such a client.

    Not offered: tasks, which the eras understand differently, and telling that roots changed, which modern clients
    do not.
    """
    capabilities = {name: value for name, value in said.capabilities.items() if name != "tasks"}
    roots = capabilities.get("roots")
    if type(roots) is dict and "listChanged" in roots:
        capabilities["roots"] = {name: value for name, value in roots.items() if name != "listChanged"}
    extensions = capabilities.get("extensions")
    if type(extensions) is dict and TASKS in extensions:
        capabilities["extensions"] = {name: value for name, value in extensions.items() if name != TASKS}
    return {"protocolVersion": LATEST_LEGACY, "capabilities": capabilities, "clientInfo": dict(said.client)}


def is_askable(capabilities: Mapping[str, Any]) -> bool:
    """Whether a server may ask a client with these capabilities for anything."""
    return "elicitation" in capabilities or "sampling" in capabilities or "roots" in capabilities


def digest(method: str, params: Mapping[str, Any]) -> bytes:
    """What of a request may not change when it is tried again with input (basic/patterns/mrtr): all but the input."""
    fixed = {name: value for name, value in params.items() if name != "_meta" and name not in _OF_A_RETRY}
    return sha256(_CANONICAL([method, fixed])).digest()
