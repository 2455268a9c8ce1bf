"""What a legacy server says, in modern words: results, errors, notifications.

Results are not decoded further than their first members, and spliced where that is possible: a big one costs no more
than a copy.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from mantlet.core.refusal import BadUpstream
from mantlet.wire.mcp.bridge.to_legacy_requests import LOG_LEVELS, TASKS
from mantlet.wire.mcp.methods import LISTS, MODERN_VERSIONS
from mantlet.wire.mcp.statuses import status_of

META_SERVER_INFO: Final = "io.modelcontextprotocol/serverInfo"
RESOURCE_NOT_FOUND: Final = -32002
URL_ELICITATION_REQUIRED: Final = -32042
MISSING_CAPABILITY: Final = -32021
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
_OF_THE_SPECIFICATION: Final = range(-32099, -32019)
"""Codes that only the modern specification may give a meaning (basic/index, "Error Codes")."""
_CACHEABLE: Final = frozenset({*LISTS, "resources/read", "server/discover"})
_BEGINS_ID: Final = frozenset({b'"', b"-", *(b"%d" % digit for digit in range(10))})
_MAX_ID_BYTES: Final = 1024
_HINTS: Final = b'"ttlMs":0,"cacheScope":"private"'
"""Nothing is known of how long a legacy result holds, or for whom (server/utilities/caching)."""


class Message(msgspec.Struct):
    """A JSON-RPC message as far as it must be read. UNSET and null differ, as they do for JSON-RPC."""

    id: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    method: str | msgspec.UnsetType = msgspec.UNSET
    params: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class Error(msgspec.Struct):
    """A JSON-RPC error."""

    code: int
    message: str = ""
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Known(msgspec.Struct):
    """The first members of a result that are ours to write."""

    result_type: msgspec.Raw | msgspec.UnsetType = msgspec.field(default=msgspec.UNSET, name="resultType")
    meta: msgspec.Raw | msgspec.UnsetType = msgspec.field(default=msgspec.UNSET, name="_meta")
    ttl_ms: msgspec.Raw | msgspec.UnsetType = msgspec.field(default=msgspec.UNSET, name="ttlMs")
    cache_scope: msgspec.Raw | msgspec.UnsetType = msgspec.field(default=msgspec.UNSET, name="cacheScope")


class _Flag(msgspec.Struct):
    is_error: bool = msgspec.field(default=False, name="isError")


class _Level(msgspec.Struct):
    level: str = ""


class _Token(msgspec.Struct):
    token: msgspec.Raw | msgspec.UnsetType = msgspec.field(default=msgspec.UNSET, name="progressToken")


_MESSAGE: Final = msgspec.json.Decoder(Message)
_ERROR: Final = msgspec.json.Decoder(Error)
_KNOWN: Final = msgspec.json.Decoder(_Known)
_FLAG: Final = msgspec.json.Decoder(_Flag)
_LEVEL: Final = msgspec.json.Decoder(_Level)
_TOKEN: Final = msgspec.json.Decoder(_Token)
_MEMBERS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ENCODE: Final = msgspec.json.Encoder().encode
_FAULTS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def identity_of(message: Message) -> bytes | None:
    """The raw id of a request or response; None for a notification, and for an id that no JSON-RPC peer may use."""
    raw = message.id
    if isinstance(raw, msgspec.UnsetType):
        return None
    identity = bytes(raw)
    return identity if identity[:1] in _BEGINS_ID and len(identity) <= _MAX_ID_BYTES else None


def read(data: bytes) -> Message | None:
    """The message in `data`, or None when it is no JSON object."""
    try:
        return _MESSAGE.decode(data)
    except _FAULTS:
        return None


def complete(raw_id: bytes, result: bytes, method: str, server_info: bytes) -> bytes:
    """The response that carries a legacy `result`. `server_info` is raw JSON, or empty. Raises `BadUpstream`."""
    hints = _HINTS if method in _CACHEABLE else b""
    try:
        known = _KNOWN.decode(result)
        is_plain = (
            known.meta is msgspec.UNSET
            and known.result_type is msgspec.UNSET
            and (not hints or (known.ttl_ms is msgspec.UNSET and known.cache_scope is msgspec.UNSET))
        )
        if is_plain:
            return _spliced(raw_id, result, hints, server_info)
        members = _MEMBERS.decode(result)
    except _FAULTS as error:
        raise BadUpstream(why="its result is not a JSON object") from error
    # What is `input_required` to a modern client would be none of ours: a legacy result is always complete.
    members["resultType"] = msgspec.Raw(b'"complete"')
    if hints:
        members["ttlMs"], members["cacheScope"] = msgspec.Raw(b"0"), msgspec.Raw(b'"private"')
    if server_info:
        members["_meta"] = _with_server(members.get("_meta"), server_info)
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (raw_id, _ENCODE(members))


def _spliced(raw_id: bytes, result: bytes, hints: bytes, server_info: bytes) -> bytes:
    rest = result[1:]
    own = b'"resultType":"complete"'
    if hints:
        own += b"," + hints
    if server_info:
        own += b',"_meta":{"%b":%b}' % (META_SERVER_INFO.encode(), server_info)
    # Behind the brace stands a member's quote or the other brace, and seldom some space.
    comma = b"" if rest[:256].lstrip()[:1] == b"}" else b","
    return b'{"jsonrpc":"2.0","id":%b,"result":{%b%b%b}' % (raw_id, own, comma, rest)


def _with_server(meta: msgspec.Raw | None, server_info: bytes) -> msgspec.Raw:
    try:
        members = {} if meta is None else _MEMBERS.decode(meta)
    except _FAULTS:
        members = {}
    members[META_SERVER_INFO] = msgspec.Raw(server_info)
    return msgspec.Raw(_ENCODE(members))


def read_error(raw: bytes) -> Error:
    """A JSON-RPC error; raises `BadUpstream` for what is none."""
    try:
        return _ERROR.decode(raw)
    except _FAULTS as fault:
        raise BadUpstream(why="its error is no JSON-RPC error") from fault


def failed(raw_id: bytes, error: Error) -> tuple[int, bytes]:
    """HTTP status and response for a legacy error. A code that means something else to a modern client is not passed
    on; the server's own stands in the data then."""
    code, message = error.code, error.message
    data = None if isinstance(error.data, msgspec.UnsetType) else error.data
    if code == RESOURCE_NOT_FOUND:
        code = INVALID_PARAMS
    elif code in _OF_THE_SPECIFICATION:  # -32042 too, where it asks for nothing that could be asked
        data = msgspec.Raw(_ENCODE({"code": code} if data is None else {"code": code, "data": data}))
        code = INTERNAL_ERROR
    body: dict[str, Any] = {"code": code, "message": message}
    if data is not None:
        body["data"] = data
    return status_of(code), b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (raw_id, _ENCODE(body))


def lacking(raw_id: bytes, capabilities: Mapping[str, Any]) -> tuple[int, bytes]:
    """The answer to a call that failed because its server asked for what the client did not declare."""
    error = {
        "code": MISSING_CAPABILITY,
        "message": f"The server needs {', '.join(capabilities)} of the client for this request.",
        "data": {"requiredCapabilities": capabilities},
    }
    return 400, b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (raw_id, _ENCODE(error))


def is_failure(result: bytes) -> bool:
    """Whether a tool's result says that it failed."""
    try:
        return _FLAG.decode(result).is_error
    except _FAULTS:
        return False


def level_of(params: bytes) -> int:
    """The level of a log message; an unknown one counts as the least."""
    try:
        return LOG_LEVELS.get(_LEVEL.decode(params).level, 0)
    except _FAULTS:
        return 0


def token_of(params: bytes) -> bytes:
    """The progress token of a notification, as raw JSON in one spelling."""
    try:
        raw = _TOKEN.decode(params).token
        return b"" if isinstance(raw, msgspec.UnsetType) else _ENCODE(msgspec.json.decode(raw))
    except _FAULTS:
        return b""


def with_token(data: bytes, token: bytes) -> bytes:
    """A progress notification under the client's own token."""
    message = _MEMBERS.decode(data)
    params = _MEMBERS.decode(message["params"])
    params["progressToken"] = msgspec.Raw(token)
    message["params"] = msgspec.Raw(_ENCODE(params))
    return _ENCODE(message)


def discovered(initialized: Mapping[str, Any]) -> dict[str, Any]:
    """The result of `server/discover`, from what the server said to `initialize`."""
    result: dict[str, Any] = {
        "resultType": "complete",
        "supportedVersions": list(MODERN_VERSIONS),
        "capabilities": _capabilities(initialized.get("capabilities")),
        "ttlMs": 0,
        "cacheScope": "private",
    }
    if type(instructions := initialized.get("instructions")) is str:
        result["instructions"] = instructions
    meta = initialized.get("_meta")
    meta = dict(meta) if type(meta) is dict else {}
    if type(info := initialized.get("serverInfo")) is dict:
        meta[META_SERVER_INFO] = info
    if meta:
        result["_meta"] = meta
    return result


def _capabilities(offered: Any) -> dict[str, Any]:
    """Without tasks, which the eras understand differently; all else means the same to both."""
    if type(offered) is not dict:
        return {}
    capabilities = {name: value for name, value in offered.items() if name != "tasks"}
    extensions = capabilities.get("extensions")
    if type(extensions) is dict and TASKS in extensions:
        capabilities["extensions"] = {name: value for name, value in extensions.items() if name != TASKS}
    return capabilities
