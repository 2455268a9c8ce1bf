"""What a modern server wants to know in mid-call, as requests of the kind that older servers send.

2026-07-28, basic/patterns/mrtr; 2025-11-25, client/{elicitation,sampling,roots}.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from mantlet.core.refusal import BadUpstream

Raw = msgspec.Raw
Members = dict[str, Raw]

CAPABILITY_OF: Final[Mapping[str, str]] = {
    "elicitation/create": "elicitation",
    "sampling/createMessage": "sampling",
    "roots/list": "roots",
}
MISSING_CAPABILITY: Final = -32021
MAX_REQUESTS: Final = 32
"""Questions of one round."""

_EMPTY: Final = Raw(b"{}")


class _Request(msgspec.Struct):
    method: str
    params: Members = {}


class _Response(msgspec.Struct):
    result: Raw | msgspec.UnsetType = msgspec.UNSET
    error: Raw | msgspec.UnsetType = msgspec.UNSET


class Question(NamedTuple):
    """One of a round: the server's own key for it, and what the client is asked."""

    key: str
    method: str
    params: Members


_REQUEST: Final = msgspec.json.Decoder(_Request)
_RESPONSE: Final = msgspec.json.Decoder(_Response)
_VALUE: Final = msgspec.json.Decoder()
_encode: Final = msgspec.json.Encoder().encode


def questions(requests: Mapping[str, Raw]) -> list[Question]:
    """What a round asks; raises `BadUpstream` for what may not stand there."""
    if len(requests) > MAX_REQUESTS:
        raise BadUpstream(why=f"it asks for more than {MAX_REQUESTS} inputs at once")
    found = []
    for key, raw in requests.items():
        try:
            request = _REQUEST.decode(raw)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise BadUpstream(why="an input request is no request") from error
        if request.method not in CAPABILITY_OF:
            raise BadUpstream(why=f"it asks the client for {request.method[:60]!r}")
        found.append(Question(key, request.method, request.params))
    return found


def missing(asked: list[Question], capabilities: Mapping[str, Any]) -> dict[str, Any]:
    """The capabilities that a client needs for this and did not declare, in the shape of -32021's data."""
    lacking: dict[str, Any] = {}
    for question in asked:
        name = CAPABILITY_OF[question.method]
        declared = capabilities.get(name)
        part = _part(question)
        if type(declared) is not dict or (part and not _has(declared, part)):
            lacking.setdefault(name, {}).update({part: {}} if part else {})
    return lacking


def request(question: Question, identity: str) -> bytes:
    """The question as a request to the client, under our own id."""
    params = question.params
    if question.method == "elicitation/create" and _mode(params) == "url" and "elicitationId" not in params:
        # 2025-11-25 wants one, 2026-07-28 knows none; ours is as good as any, for nobody completes it.
        params = {**params, "elicitationId": Raw(_encode(identity))}
    message: dict[str, Any] = {"jsonrpc": "2.0", "id": identity, "method": question.method}
    if params or question.method != "roots/list":
        message["params"] = params
    return _encode(message)


def withdrawn(identity: str, reason: str) -> bytes:
    """The notification that a question needs no answer any more."""
    params = {"requestId": identity, "reason": reason}
    return _encode({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params})


def response(body: bytes) -> tuple[Raw | None, Raw | None]:
    """Result and error of a client's response; a result that is no object counts as no answer."""
    try:
        message = _RESPONSE.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        return None, None
    if not isinstance(message.result, msgspec.UnsetType) and bytes(message.result)[:1] == b"{":
        return message.result, None
    return None, None if isinstance(message.error, msgspec.UnsetType) else message.error


def retry_members(answers: Mapping[str, Raw], state: Raw | None) -> dict[str, bytes]:
    """The params that the retry has besides the original ones."""
    more: dict[str, bytes] = {}
    if answers:
        more["inputResponses"] = _encode(answers)
    if state is not None:
        more["requestState"] = bytes(state)
    return more


def _part(question: Question) -> str:
    """The part of a capability that a question needs, beyond the capability itself."""
    if question.method == "elicitation/create":
        return "url" if _mode(question.params) == "url" else "form"
    if question.method == "sampling/createMessage" and ("tools" in question.params or "toolChoice" in question.params):
        return "tools"
    return ""


def _has(declared: Mapping[str, Any], part: str) -> bool:
    if part == "form":
        return "form" in declared or "url" not in declared  # an empty one means forms (client/elicitation)
    return part in declared


def _mode(params: Members) -> str:
    raw = params.get("mode")
    return "form" if raw is None else str(_VALUE.decode(raw))
