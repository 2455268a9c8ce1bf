"""From an HTTP answer to a tool's result. Pure."""

import base64
import json
from typing import Any

from mantlet.core.headers import Headers
from mantlet.core.refusal import BadUpstream
from mantlet.upstreams.client import media_type

_NEVER_RELAYED = frozenset({401, 407})


def result(status: int, headers: Headers, body: bytes) -> dict[str, Any]:
    """A tool result. Raises `BadUpstream` when the service refuses the node's own credentials (FWD-05): that is no
    word to the caller, and would be read as one."""
    if status in _NEVER_RELAYED:
        raise BadUpstream.answered(f"it answered {status}: the node's own credentials for it are not accepted")
    content, structured = _content(media_type(headers).decode("latin-1"), body)
    if 200 <= status < 300:
        made: dict[str, Any] = {"content": content, "isError": False}
        if structured is not None:
            made["structuredContent"] = structured
        return made
    # A model can often mend what it asked for when it is told; a redirect is told, and never followed.
    return {"content": [{"type": "text", "text": f"HTTP {status}"}, *content], "isError": True}


def failed(message: str) -> dict[str, Any]:
    """The result of a call that was not sent."""
    return {"content": [{"type": "text", "text": message}], "isError": True}


def _content(kind: str, body: bytes) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    if not body:
        return [], None
    if kind.startswith(("image/", "audio/")):
        return [{"type": kind.partition("/")[0], "data": base64.b64encode(body).decode(), "mimeType": kind}], None
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise BadUpstream.answered(f"its answer is {kind or 'of no type'}, and neither text nor a picture") from None
    structured = None
    if kind == "application/json" or kind.endswith("+json"):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            raise BadUpstream(why="its answer is called JSON and is none") from None
        structured = value if type(value) is dict else None
    return [{"type": "text", "text": text}], structured
