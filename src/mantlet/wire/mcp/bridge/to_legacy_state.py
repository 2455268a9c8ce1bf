"""`requestState`: how a call that waits for input is found again, and by whom alone (MCP-06).

It is sealed, and the seal's context names who may open it for what: the principal with its rights, the server, and the
request with all that may not change. Inside stand its end of life, the process that holds the call, and a random id.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from mantlet.core.caller import Caller
from mantlet.wire.mcp.bridge.to_legacy_requests import digest

MAX_CHARACTERS: Final = 4096
"""Of a state that is worth opening; ours have some 200."""


class State(NamedTuple):
    """`holder` is a post address; empty when nothing is held and the request is to be sent again."""

    expires_at_s: float
    holder: str
    ticket: str


def context(caller: Caller, server: str, method: str, params: Mapping[str, Any]) -> bytes:
    """What the seal is bound to, as one value in which no part can pose as two."""
    rights = caller.rights
    parts = ["mcp-request-state", server, *caller.key, rights.tenant, rights.subject, rights.kind]
    said = [parts, sorted(rights.roles), sorted(rights.scopes)]
    return msgspec.json.encode(said) + digest(method, params)


def encode(state: State) -> bytes:
    """What is sealed."""
    return msgspec.json.encode(state)


def decode(plain: bytes) -> State | None:
    """What was sealed; None for anything else."""
    try:
        return _DECODER.decode(plain)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


_DECODER: Final = msgspec.json.Decoder(State)
