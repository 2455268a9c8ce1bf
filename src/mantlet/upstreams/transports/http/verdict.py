"""What an upstream's whole answer is worth: which status and body may be passed on, which become ours.

An upstream's 401, 403, redirect or error page says nothing about this node and would be read as if it did (FWD-05);
a JSON-RPC error says something to the client, whatever its status.
"""

from typing import Final

import msgspec

from mantlet.core.call import Call
from mantlet.core.headers import Headers
from mantlet.core.refusal import BadUpstream, InvalidRequest, MethodNotAllowed, SessionNotFound
from mantlet.upstreams.client import media_type

JSON: Final = b"application/json"
_NEVER_RELAYED: Final = frozenset({401, 403, 407})


class Message(msgspec.Struct):
    """A JSON-RPC message as far as its kind and id go. UNSET and null differ, as they do for JSON-RPC."""

    jsonrpc: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    id: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    method: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET

    @property
    def is_response(self) -> bool:
        """Exactly one of result and error, and no method."""
        return self.method is msgspec.UNSET and (self.result is msgspec.UNSET) != (self.error is msgspec.UNSET)

    @property
    def is_notification(self) -> bool:
        """A method, and no id, not even null."""
        return self.method is not msgspec.UNSET and self.id is msgspec.UNSET

    @property
    def is_error(self) -> bool:
        """Whether it is an error response."""
        return self.error is not msgspec.UNSET and self.is_response


_DECODER: Final = msgspec.json.Decoder(Message)


def read(data: bytes) -> Message | None:
    """The message in `data`, or None when it is no JSON object."""
    try:
        return _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def same_id(theirs: msgspec.Raw | msgspec.UnsetType, ours: bytes | None) -> bool:
    """Whether two raw ids are one value: equal bytes, or one string escaped in two ways."""
    if isinstance(theirs, msgspec.UnsetType) or ours is None:
        return False
    raw = bytes(theirs)
    return raw == ours or (raw[:1] == ours[:1] == b'"' and msgspec.json.decode(raw) == msgspec.json.decode(ours))


def judge(call: Call, status: int, headers: Headers, body: bytes) -> tuple[int, bytes]:
    """The status and body to pass on; raises the refusal that stands for what may not be."""
    message = read(body) if body and headers.once(media_type) == JSON else None
    if status == 404 and call.era == "legacy" and call.session:
        raise SessionNotFound()
    if 200 <= status < 300:
        return _accepted(call, status, message, body)
    if status in _NEVER_RELAYED:
        raise BadUpstream.answered(f"it answered {status}: the node's own credentials for it are not accepted")
    if status >= 400 and message is not None and message.is_error:
        if _is_null(message.id) or same_id(message.id, call.id):
            return status, body
        raise BadUpstream(why="its error is for another request")
    if status == 405 and call.kind in ("stream", "end"):
        raise MethodNotAllowed(_allow(headers), "This server does not offer that.")
    if status == 400 and (call.era == "legacy" or call.kind != "request"):
        raise InvalidRequest("The upstream server refused the message as a bad request.")
    if 400 <= status < 500:
        raise BadUpstream.answered(f"it answered {status}", "busy" if status == 429 else "no")
    raise BadUpstream(why=f"it answered {status}")


def _accepted(call: Call, status: int, message: Message | None, body: bytes) -> tuple[int, bytes]:
    if call.kind == "end":
        return status if status in (200, 204) else 200, b""
    if call.kind in ("notification", "response"):
        return 202, b""  # some servers say 200 or 204; the protocol knows one word for it
    if call.kind == "stream":
        raise BadUpstream(why="it answered a GET with something that is no event stream")
    if status != 200 or message is None or not message.is_response:
        raise BadUpstream(why="it answered a request with something that is no JSON-RPC response")
    if not same_id(message.id, call.id) and not (message.is_error and _is_null(message.id)):
        raise BadUpstream(why="its answer is for another request")
    return status, body


def _is_null(raw: msgspec.Raw | msgspec.UnsetType) -> bool:
    return isinstance(raw, msgspec.UnsetType) or bytes(raw) == b"null"


def _allow(headers: Headers) -> str:
    known = {b"GET", b"POST", b"DELETE"}
    allowed = [verb.strip() for verb in (headers.get(b"allow") or b"").split(b",")]
    return b", ".join(verb for verb in allowed if verb in known).decode() or "POST"
