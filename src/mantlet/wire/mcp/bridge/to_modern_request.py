"""A legacy request as a modern one: the same params with what the handshake once said in `_meta`.

Arguments keep their bytes: only the members around them are written anew (VAL-02).
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from mantlet.core.refusal import InvalidParams
from mantlet.wire.mcp.methods import META_CAPABILITIES, META_CLIENT_INFO, META_VERSION, MODERN_VERSIONS

Raw = msgspec.Raw
Members = dict[str, Raw]

META_LOG_LEVEL: Final = "io.modelcontextprotocol/logLevel"
LOG_LEVELS: Final = frozenset({"debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"})
VERSION: Final = MODERN_VERSIONS[0]
NOT_LEGACY: Final = frozenset({"inputResponses", "requestState", "task"})
"""Members of params that a legacy client has no business with here: two continue a modern call that is not its own to
continue, the third asks for a task, and a receiver without tasks of 2025-11-25 ignores it."""


class _Request(msgspec.Struct):
    params: Raw = Raw(b"{}")


_REQUEST: Final = msgspec.json.Decoder(_Request)
_MEMBERS: Final = msgspec.json.Decoder(Members)
_encode: Final = msgspec.json.Encoder().encode


class Meta(NamedTuple):
    """What each modern request says of its client: decoded, and as raw members without the braces."""

    values: dict[str, Any]
    raw: bytes


def meta_of(info: Mapping[str, Any], capabilities: Mapping[str, Any], level: str = "") -> Meta:
    """The members of `_meta` that stand for the handshake, and for `logging/setLevel`."""
    values: dict[str, Any] = {META_VERSION: VERSION, META_CLIENT_INFO: info, META_CAPABILITIES: capabilities}
    if level:
        values[META_LOG_LEVEL] = level
    return Meta(values, _encode(values)[1:-1])


def members_of(body: bytes) -> Members:
    """The members of the params in a request's `body`, each as it came."""
    return _MEMBERS.decode(_REQUEST.decode(body).params)


def plain_body(raw_id: bytes, method: bytes, body: bytes, meta: Meta) -> bytes:
    """The request for params without `_meta`; `method` is raw JSON. Nothing of them is read: this is the usual case."""
    rest = bytes(_REQUEST.decode(body).params)[1:].lstrip()
    comma = b"" if rest[:1] == b"}" else b","
    return b'{"jsonrpc":"2.0","id":%b,"method":%b,"params":{"_meta":{%b}%b%b}' % (raw_id, method, meta.raw, comma, rest)


def full_body(raw_id: bytes, method: bytes, members: Members, meta: Meta, more: Mapping[str, bytes] = {}) -> bytes:
    """The request for params with these members, `more` of them set; `_meta` keeps what the client wrote there."""
    whole = {name: value for name, value in members.items() if name not in NOT_LEGACY}
    whole["_meta"] = Raw(_merged(members.get("_meta"), meta))
    for name, value in more.items():
        whole[name] = Raw(value)
    return b'{"jsonrpc":"2.0","id":%b,"method":%b,"params":%b}' % (raw_id, method, _encode(whole))


def params_of(params: Mapping[str, Any], meta: Meta) -> dict[str, Any]:
    """The decoded params as a modern server sees them."""
    told = {name: value for name, value in params.items() if name not in NOT_LEGACY}
    own = params.get("_meta")
    if own is None:
        told["_meta"] = meta.values
    elif type(own) is dict:
        told["_meta"] = {**own, **meta.values}
    else:
        raise InvalidParams('"_meta" must be an object.')
    return told


def _merged(own: Raw | None, meta: Meta) -> bytes:
    if own is None:
        return b"{%b}" % meta.raw
    try:
        members = _MEMBERS.decode(own)
    except msgspec.MsgspecError as error:
        raise InvalidParams('"_meta" must be an object.') from error
    kept = {name: value for name, value in members.items() if name not in meta.values}
    if not kept:
        return b"{%b}" % meta.raw
    return b"{%b,%b" % (meta.raw, _encode(kept)[1:])
