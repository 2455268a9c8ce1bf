"""A modern answer as a legacy one (2026-07-28, changelog, read backwards). What is not named here keeps its bytes."""

from typing import Final

import msgspec

from mantlet.core.refusal import BadUpstream
from mantlet.wire.mcp.methods import LISTS

Raw = msgspec.Raw
Members = dict[str, Raw]

HEADER_MISMATCH: Final = -32020
_UNSUPPORTED_VERSION: Final = -32022
_INVALID_PARAMS: Final = -32602
_INTERNAL: Final = -32603
_RESOURCE_NOT_FOUND: Final = -32002
_CACHEABLE: Final = frozenset({*LISTS, "resources/read"})
_ASKING: Final = frozenset({"tools/call", "prompts/get", "resources/read"})
"""Requests that may be answered with `InputRequiredResult` (basic/patterns/mrtr, "Supported Requests")."""


class Answer(msgspec.Struct):
    """A JSON-RPC message from a modern server."""

    id: Raw | msgspec.UnsetType = msgspec.UNSET
    method: str | msgspec.UnsetType = msgspec.UNSET
    params: Raw | msgspec.UnsetType = msgspec.UNSET
    result: Members | msgspec.UnsetType = msgspec.UNSET
    error: Raw | msgspec.UnsetType = msgspec.UNSET


class Error(msgspec.Struct, omit_defaults=True):
    """A JSON-RPC error object."""

    code: int
    message: str = ""
    data: Raw | msgspec.UnsetType = msgspec.UNSET


class InputRequired(msgspec.Struct):
    """The server wants to know more before it answers."""

    requests: dict[str, Raw]
    state: Raw | None
    """Its `requestState` as the very bytes that came."""


_ANSWER: Final = msgspec.json.Decoder(Answer)
_ERROR: Final = msgspec.json.Decoder(Error)
_MEMBERS: Final = msgspec.json.Decoder(Members)
_NUMBER: Final = msgspec.json.Decoder(float)
_TOOLS: Final = msgspec.json.Decoder(list[Members])
_encode: Final = msgspec.json.Encoder().encode


def read(data: bytes) -> Answer:
    """The message in `data`; raises `BadUpstream`."""
    try:
        if not data.isascii():
            data.decode()  # msgspec does not look inside `Raw`
        return _ANSWER.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadUpstream(why="its answer is no JSON-RPC message") from error


def hints(answer: Answer) -> tuple[float | None, bool]:
    """For how many milliseconds the server says that it is good (None: it does not say), and whether for all."""
    members = answer.result
    if isinstance(members, msgspec.UnsetType) or "ttlMs" not in members:
        return None, False
    try:
        ttl_ms = _NUMBER.decode(members["ttlMs"])
    except msgspec.MsgspecError:
        ttl_ms = 0.0
    return ttl_ms, bytes(members.get("cacheScope", b"")) == b'"public"'


def error_code(answer: Answer) -> int | None:
    """The code of an error answer; None for any other."""
    return None if answer.error is msgspec.UNSET else _error(answer.error).code


def translated(answer: Answer, method: str, raw_id: bytes) -> bytes | InputRequired:
    """The whole legacy answer to the request `raw_id`, or what the server wants to know first."""
    if answer.error is not msgspec.UNSET:
        return b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (raw_id, _legacy_error(answer.error, method))
    members = answer.result
    if isinstance(members, msgspec.UnsetType):
        raise BadUpstream(why="its answer has neither result nor error")
    kind = members.pop("resultType", None)
    if kind is not None and bytes(kind) != b'"complete"':
        return _unusual(bytes(kind), members, method)
    if method in _CACHEABLE:
        members.pop("ttlMs", None)
        members.pop("cacheScope", None)
        if method == "tools/list" and "tools" in members:
            members["tools"] = _tools(members["tools"])
    elif method == "tools/call":
        # Any JSON value since 2026-07-28, an object before; the text beside it says the same ("Structured Content").
        structured = members.get("structuredContent")
        if structured is not None and bytes(structured)[:1] != b"{":
            del members["structuredContent"]
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (raw_id, _encode(members))


def _unusual(kind: bytes, members: Members, method: str) -> InputRequired:
    if kind != b'"input_required"' or method not in _ASKING:
        raise BadUpstream(why=f"a result of type {kind[:40].decode('utf-8', 'replace')} cannot be told to this client")
    try:
        raw = members.get("inputRequests")
        requests = {} if raw is None else _MEMBERS.decode(raw)
    except msgspec.MsgspecError as error:
        raise BadUpstream(why="its inputRequests are no object") from error
    state = members.get("requestState")
    if not requests and state is None:
        raise BadUpstream(why="it asks for input without a request or a state")
    return InputRequired(requests, state)


def _tools(raw: Raw) -> Raw:
    """A list in which every `outputSchema` describes an object: older clients refuse the whole list for any other."""
    if b'"outputSchema"' not in bytes(raw):
        return raw
    try:
        tools = _TOOLS.decode(raw)
        for tool in tools:
            schema = tool.get("outputSchema")
            if schema is not None and bytes(_MEMBERS.decode(schema).get("type", b"")) != b'"object"':
                del tool["outputSchema"]
    except msgspec.MsgspecError:
        return raw  # no list of tools: the client will say so
    return Raw(_encode(tools))


def _legacy_error(raw: Raw, method: str) -> bytes:
    error = _error(raw)
    if method == "resources/read" and error.code == _INVALID_PARAMS and _names_uri(error):
        return _encode(Error(_RESOURCE_NOT_FOUND, error.message, error.data))
    if error.code in (HEADER_MISMATCH, _UNSUPPORTED_VERSION):
        # About what this node wrote for the client, and nothing that the client could mend.
        return _encode(Error(_INTERNAL, f"The server refused the translated request: {error.message}", error.data))
    return bytes(raw)


def _names_uri(error: Error) -> bool:
    try:
        return error.data is not msgspec.UNSET and "uri" in _MEMBERS.decode(error.data)
    except msgspec.MsgspecError:
        return False


def _error(raw: Raw) -> Error:
    try:
        return _ERROR.decode(raw)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BadUpstream(why="its error is no JSON-RPC error object") from error
