"""What servers ask a legacy client on their own, under ids that lead the answer back (MCP-05). Pure.

Two servers may give their requests the same id. So an id (a progress token, an event id) of a server reaches the client
as `SERVER~ID~CODE`: the code is keyed with the secret of the client's own session. Nothing is remembered: any worker
reads it, it is the same each time the server repeats the id (to cancel its request), and one that was made up, altered
or given in another session says nothing.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, Final, Literal

from mantlet.core.refusal import InvalidJson, InvalidRequest
from mantlet.policies.aggregate.session import Session
from mantlet.wire import jsonrpc

Use = Literal["request", "progress", "event"]

MAX_CHARACTERS: Final = 4_096
_CODE_BYTES: Final = 15
_BOUNDS: Final = jsonrpc.Bounds(max_depth=64, max_keys=1_000_000)
NEEDS: Final[Mapping[str, str]] = {
    "elicitation/create": "elicitation",
    "sampling/createMessage": "sampling",
    "roots/list": "roots",
}
"""What a client must have declared before it may be asked (2025-11-25, "Capability Negotiation")."""


def shown(session: Session, server: str, use: Use, own: bytes) -> str:
    """The word for a server's `own` one, given as raw JSON (an event id: as it came)."""
    text = f"{server}~{base64.urlsafe_b64encode(own).rstrip(b'=').decode()}"
    return f"{text}~{_code(session, use, text)}"


def read(session: Session, use: Use, word: object) -> tuple[str, bytes] | None:
    """Server and own word, or None for anything that was not given for this use in this session."""
    if type(word) is not str or len(word) > MAX_CHARACTERS:
        return None
    text, _, code = word.rpartition("~")
    server, _, own = text.rpartition("~")
    if not server or not hmac.compare_digest(code.encode(), _code(session, use, text).encode()):
        return None
    return server, base64.urlsafe_b64decode(own + "=" * (-len(own) % 4))


def for_client(session: Session, server: str, data: bytes) -> bytes | None:
    """One message of a server as the client gets it: the same bytes, unless it bears an id of the server's own.

    None for a request that the client did not say it can answer: it is `refused` in its stead.
    """
    if b'"method"' not in data:
        return data
    try:
        message = jsonrpc.decode(data, _BOUNDS)
        if type(message) is not dict or type(message.get("method")) is not str:
            return data
        if "id" in message:
            needed = NEEDS.get(message["method"])
            if needed is not None and needed not in session.capabilities:
                return None
            message["id"] = shown(session, server, "request", jsonrpc.raw_identifier(message["id"]))
            _show_token(session, server, message)
        elif message["method"] == "notifications/cancelled":
            params = message.get("params")
            if type(params) is not dict or "requestId" not in params:
                return data
            own = jsonrpc.raw_identifier(params["requestId"])
            message["params"] = {**params, "requestId": shown(session, server, "request", own)}
        else:
            return data
    except (InvalidJson, InvalidRequest):
        return data  # not readable here, so it is no request with an id; what the client makes of it is as without us
    return jsonrpc.encode(message)


def refusal(data: bytes) -> dict[str, Any]:
    """The answer to a request that the client cannot be asked."""
    message = jsonrpc.decode(data, _BOUNDS)
    error = {"code": -32601, "message": f"The client has not declared that it can answer {message['method'][:100]}."}
    return {"jsonrpc": "2.0", "id": message["id"], "error": error}


def _show_token(session: Session, server: str, message: dict[str, Any]) -> None:
    params = message.get("params")
    meta = params.get("_meta") if type(params) is dict else None
    if type(params) is dict and type(meta) is dict and "progressToken" in meta:
        own = jsonrpc.raw_identifier(meta["progressToken"])
        message["params"] = {**params, "_meta": {**meta, "progressToken": shown(session, server, "progress", own)}}


def _code(session: Session, use: Use, text: str) -> str:
    digest = hmac.digest(session.secret, f"{use}\0{text}".encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest[:_CODE_BYTES]).decode()
