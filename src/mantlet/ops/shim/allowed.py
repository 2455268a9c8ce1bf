"""Which messages of a client a shim lets through. Pure.

The four words are coarse on purpose: who wants rules for each tool puts the server behind a node.
"""

from collections.abc import Mapping
from typing import Final

from mantlet.core.refusal import Refusal
from mantlet.wire import jsonrpc

_ACTIONS: Final[Mapping[str, str]] = {
    "ping": "health",
    "server/discover": "health",
    "tools/list": "tools",
    "prompts/list": "list",
    "resources/list": "list",
    "resources/templates/list": "list",
    "tools/call": "call",
    "prompts/get": "call",
    "resources/read": "call",
    "completion/complete": "call",
}
_ALWAYS: Final = frozenset({"initialize", "logging/setLevel"})
"""The handshake, and what changes nothing but the talk."""

DENIED: Final = 4403


def refusal_of(line: bytes, allow: frozenset[str]) -> bytes | None:
    """The answer that refuses the message in `line`; None to let it through, empty to drop it in silence.

    Notifications and answers to the server pass: they ask for nothing. What cannot be read does not pass.
    """
    try:
        envelope = jsonrpc.envelope(jsonrpc.decode(line))
    except Refusal as refusal:
        return jsonrpc.error(None, -32700, refusal.detail)
    if envelope.is_response or envelope.method in _ALWAYS:
        return None
    if envelope.id is None:
        return None if envelope.method.startswith("notifications/") else b""
    action = _ACTIONS.get(envelope.method)
    if action is not None and action in allow:
        return None
    said = f"This shim does not allow {envelope.method[:100]}."
    return jsonrpc.error(envelope.id, DENIED, said, {"reason": "denied", "allowed": sorted(allow)})
