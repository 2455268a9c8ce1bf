"""JSON-RPC lines with one thing in them changed: the id, the progress token or the subscription id.

What is not changed keeps its bytes: arguments and results pass as `msgspec.Raw` (VAL-02). The envelope is always
ours, so a member that stands twice in a child's line cannot reach a client.
"""

from typing import Any, Final

import msgspec

from mantlet.wire.mcp.methods import META_SUBSCRIPTION

Raw = msgspec.Raw
_NONE: Final = Raw(b"")


class _Outgoing(msgspec.Struct):
    method: Raw
    params: Raw = _NONE


class Incoming(msgspec.Struct):
    """A message from a child. `id` and `method` are UNSET, `params`, `result` and `error` empty when absent."""

    id: int | str | float | msgspec.UnsetType | None = msgspec.UNSET
    method: str | msgspec.UnsetType = msgspec.UNSET
    params: Raw = _NONE
    result: Raw = _NONE
    error: Raw = _NONE


class _Error(msgspec.Struct):
    code: int
    message: str


_OUTGOING: Final = msgspec.json.Decoder(_Outgoing)
_INCOMING: Final = msgspec.json.Decoder(Incoming)
_ERROR: Final = msgspec.json.Decoder(_Error)
_MEMBERS: Final = msgspec.json.Decoder(dict[str, Raw])
_VALUE: Final = msgspec.json.Decoder()
_encode: Final = msgspec.json.Encoder().encode


def one_line(body: bytes) -> bytes:
    """`body`, a valid JSON text, without line ends: in valid JSON they stand between tokens only."""
    if b"\n" in body or b"\r" in body:
        return body.replace(b"\r", b" ").replace(b"\n", b" ")
    return body


def request_line(body: bytes, hop_id: int, *, has_token: bool) -> bytes:
    """The request `body` as a line under the id of this hop; so its progress token, if it has one."""
    message = _OUTGOING.decode(one_line(body))
    params: Raw | bytes = message.params
    if not params:
        return b'{"jsonrpc":"2.0","id":%d,"method":%b}\n' % (hop_id, message.method)
    if has_token:
        params = with_meta(message.params, "progressToken", b"%d" % hop_id)
    return b'{"jsonrpc":"2.0","id":%d,"method":%b,"params":%b}\n' % (hop_id, message.method, params)


def incoming(line: bytes) -> Incoming | None:
    """Read a line of a child, or None when it is no JSON-RPC message."""
    try:
        if not line.isascii():
            line.decode()  # msgspec does not look inside `Raw`
        return _INCOMING.decode(line)
    except (ValueError, RecursionError):
        return None


def error_code(error: Raw) -> int | None:
    """The code of a JSON-RPC error object, or None when it is none."""
    try:
        return _ERROR.decode(error).code
    except ValueError:
        return None


def with_member(params: Raw, key: str, value: bytes) -> bytes:
    """The object `params` with `key` set to the raw JSON `value`. Raises `ValueError` if it is no object."""
    members = _MEMBERS.decode(params)
    members[key] = Raw(value)
    return _encode(members)


def with_meta(params: Raw, key: str, value: bytes) -> bytes:
    """The object `params` with `_meta[key]` set to the raw JSON `value`. Raises `ValueError` if there is no `_meta`."""
    members = _MEMBERS.decode(params)
    meta = members.get("_meta")
    if meta is None:
        raise ValueError("no _meta")
    members["_meta"] = Raw(with_member(meta, key, value))
    return _encode(members)


def member(params: Raw, key: str) -> Any:
    """The value of `key` in the object `params`, or None when there is none."""
    try:
        value = _MEMBERS.decode(params).get(key)
        return None if value is None else _VALUE.decode(value)
    except (ValueError, RecursionError):
        return None


def subscription_of(params: Raw) -> int | None:
    """The subscription that a notification or result says it belongs to, if it is one of our ids."""
    if META_SUBSCRIPTION.encode() not in bytes(params):
        return None
    meta = member(params, "_meta")
    value = meta.get(META_SUBSCRIPTION) if type(meta) is dict else None
    return value if type(value) is int else None
