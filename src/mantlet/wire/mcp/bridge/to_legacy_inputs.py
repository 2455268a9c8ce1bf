"""What a legacy server asks its client in the middle of a call, as modern input requests, and the way back
(2026-07-28, basic/patterns/mrtr; 2025-11-25, client/*).
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from mantlet.core.refusal import InvalidParams
from mantlet.wire.mcp.bridge.to_legacy_answers import Error

ELICITATION: Final = "elicitation/create"
SAMPLING: Final = "sampling/createMessage"
ROOTS: Final = "roots/list"
ASKS: Final = frozenset({ELICITATION, SAMPLING, ROOTS})
PING: Final = "ping"
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603

Responses = Mapping[str, Mapping[str, Any]]
"""A client's answers by the keys of `inputRequests`."""

_ACTIONS: Final = ("accept", "decline", "cancel")  # a tuple: what is compared may be anything
_MAX_URL_ELICITATIONS: Final = 16
_ENCODE: Final = msgspec.json.Encoder().encode


class _Cancelled(msgspec.Struct):
    request_id: msgspec.Raw | msgspec.UnsetType = msgspec.field(default=msgspec.UNSET, name="requestId")


_CANCELLED: Final = msgspec.json.Decoder(_Cancelled)


class Asked(NamedTuple):
    """One request of the server: its raw id, or empty for one that came as an error's data, and what is asked."""

    raw_id: bytes
    method: str
    params: Mapping[str, Any]

    @property
    def request(self) -> dict[str, Any]:
        """As it stands in `inputRequests`."""
        return {"method": self.method, "params": self.params} if self.params else {"method": self.method}


def read(raw_id: bytes, method: str, params: msgspec.Raw | msgspec.UnsetType) -> Asked:
    """What the server asks, without what means nothing to a modern client: tasks, and ids for notifications that are
    no more. Its progress token goes too, because the answer comes at once or never."""
    try:
        said = {} if isinstance(params, msgspec.UnsetType) else msgspec.json.decode(params)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        said = {}
    if type(said) is not dict:
        said = {}
    return Asked(raw_id, method, _translated(said))


def _translated(said: Mapping[str, Any]) -> dict[str, Any]:
    params = {name: value for name, value in said.items() if name not in ("task", "elicitationId")}
    meta = params.pop("_meta", None)
    if type(meta) is dict:
        meta = {name: value for name, value in meta.items() if name not in ("progressToken", _RELATED_TASK)}
        if meta:
            params["_meta"] = meta
    return params


_RELATED_TASK: Final = "io.modelcontextprotocol/related-task"


def lacking(asked: Asked, capabilities: Mapping[str, Any]) -> dict[str, Any]:
    """The capabilities that the client would need for `asked` and did not declare; empty when it has them all."""
    if asked.method == ELICITATION:
        mode = "url" if asked.params.get("mode") == "url" else "form"
        return {} if mode in _modes(capabilities.get("elicitation")) else {"elicitation": {mode: {}}}
    if asked.method == SAMPLING:
        sampling = capabilities.get("sampling")
        if "tools" in asked.params or "toolChoice" in asked.params:
            return {} if type(sampling) is dict and "tools" in sampling else {"sampling": {"tools": {}}}
        return {} if type(sampling) is dict else {"sampling": {}}
    return {} if type(capabilities.get("roots")) is dict else {"roots": {}}


def _modes(elicitation: Any) -> frozenset[str]:
    if type(elicitation) is not dict:
        return frozenset()
    modes = frozenset(elicitation) & {"form", "url"}
    return modes or frozenset({"form"})  # an empty object means form mode alone (client/elicitation, "Capabilities")


def refused(asked: Asked, capabilities: Mapping[str, Any]) -> bytes:
    """What the server hears that asked for something the client did not declare."""
    name = asked.method.partition("/")[0]
    if type(capabilities.get(name)) is dict:
        return failed(asked.raw_id, INVALID_PARAMS, "The client did not declare support for that.")
    return failed(asked.raw_id, METHOD_NOT_FOUND, f"Method not found: {asked.method}")


def answer_to(raw_id: bytes, method: str) -> bytes | None:
    """The response to a request that no client is needed for: a ping, or what nobody knows. None for all others."""
    if method == PING:
        return answered(raw_id, {})
    return None if method in ASKS else failed(raw_id, METHOD_NOT_FOUND, f"Method not found: {method[:100]}")


def withdrawn(params: bytes) -> bytes:
    """The raw id of the request that a server's `notifications/cancelled` takes back; empty when it names none."""
    try:
        raw = _CANCELLED.decode(params).request_id
        return b"" if isinstance(raw, msgspec.UnsetType) else bytes(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return b""


def are_accepted(responses: Responses) -> bool:
    """Whether the client went where it was sent; none at all says nothing against it."""
    return all(response.get("action") == "accept" for response in responses.values())


def failed(raw_id: bytes, code: int, message: str) -> bytes:
    """An error response to the server."""
    return b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (raw_id, _ENCODE({"code": code, "message": message}))


def answered(raw_id: bytes, result: Mapping[str, Any]) -> bytes:
    """A response to the server. Modern results name their type, legacy ones have none."""
    bare = {name: value for name, value in result.items() if name != "resultType"}
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (raw_id, _ENCODE(bare))


def required(raw_id: bytes, asked: Mapping[str, Asked], state: str, server_meta: Mapping[str, Any]) -> bytes:
    """The interim result that asks the client for all of `asked`."""
    result: dict[str, Any] = {
        "resultType": "input_required",
        "inputRequests": {key: one.request for key, one in asked.items()},
        "requestState": state,
    }
    if server_meta:
        result["_meta"] = server_meta
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (raw_id, _ENCODE(result))


def responses_of(params: Mapping[str, Any]) -> Responses:
    """The responses that a retry carries; none when it has none. Raises `InvalidParams` for any other shape."""
    responses = params.get("inputResponses")
    if responses is None:
        return {}
    if type(responses) is not dict or any(type(response) is not dict for response in responses.values()):
        raise InvalidParams('"inputResponses" must be an object of objects.')
    return responses


def check(key: str, asked: Asked, response: Mapping[str, Any]) -> None:
    """Raise `InvalidParams` for a response that is no answer to what was asked."""
    if asked.method == ELICITATION:
        content = response.get("content")
        is_answer = response.get("action") in _ACTIONS and (content is None or type(content) is dict)
    elif asked.method == SAMPLING:
        is_answer = response.get("role") in ("assistant", "user") and type(response.get("content")) in (dict, list)
        is_answer = is_answer and type(response.get("model")) is str
    else:
        is_answer = type(response.get("roots")) is list
    if not is_answer:
        raise InvalidParams(f"The response {key[:100]!r} is not one to {asked.method}.")


def url_elicitations(error: Error) -> list[Asked]:
    """What an error -32042 asks for (2025-11-25, client/elicitation, "URL Elicitation Required Error")."""
    try:
        data = {} if isinstance(error.data, msgspec.UnsetType) else msgspec.json.decode(error.data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
    listed = data.get("elicitations") if type(data) is dict else None
    if type(listed) is not list or len(listed) > _MAX_URL_ELICITATIONS:
        return []
    pages = [page for page in listed if type(page) is dict and type(page.get("url")) is str]
    return [Asked(b"", ELICITATION, {**_translated(page), "mode": "url"}) for page in pages]
