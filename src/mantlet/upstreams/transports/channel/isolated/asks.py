"""What a server may ask of its client, and what it has asked and not been answered."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from mantlet.upstreams.transports.channel import envelope
from mantlet.upstreams.transports.channel.mux import Pending

METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
MAX_OPEN: Final = 64
"""Requests of one session's server that wait for its client."""

_NEEDS: Final[Mapping[str, str]] = {
    "elicitation/create": "elicitation",
    "sampling/createMessage": "sampling",
    "roots/list": "roots",
    "tasks/get": "tasks",
    "tasks/result": "tasks",
    "tasks/list": "tasks",
    "tasks/cancel": "tasks",
}
"""What a client declares to be asked so (2025-11-25, basic/lifecycle, "Capability Negotiation")."""


def objection(method: str, params: msgspec.Raw, capabilities: Mapping[str, Any]) -> tuple[int, str] | None:
    """Why a client of `capabilities` is not asked, as code and text for the server; None when it is."""
    if method == "ping":
        return None
    name = _NEEDS.get(method)
    if name is None:
        return METHOD_NOT_FOUND, "Method not found: no client is asked this."
    declared = capabilities.get(name)
    if type(declared) is not dict:
        return METHOD_NOT_FOUND, f"Method not found: the client did not declare the capability {name}."
    if method == "elicitation/create":
        mode = str(envelope.member(params, "mode") or "form")
        # Who names no mode means forms: earlier revisions knew no other (client/elicitation, "Capabilities").
        if mode not in declared and (mode != "form" or "url" in declared):
            return INVALID_PARAMS, f"The client did not declare the elicitation mode {mode[:20]}."
    if method == "sampling/createMessage" and "tools" not in declared and envelope.member(params, "tools") is not None:
        return INVALID_PARAMS, "The client did not declare sampling with tools."
    return None


@dataclass(slots=True)
class Ask:
    """One open request: the server's own id, and until when (monotonic) its client may answer."""

    raw_id: bytes
    method: str
    until_s: float
    pending: Pending | None = None
    """The call on whose stream the client was asked."""


class Asks:
    """The open requests of one session, under ids of this hop: what was not asked cannot be answered (MCP-05)."""

    def __init__(self) -> None:
        self._next_id = 1
        self._open: dict[int, Ask] = {}

    def __len__(self) -> int:
        return len(self._open)

    def open(self, ask: Ask) -> int | None:
        """The id that the client knows it by, or None when too many are open."""
        if len(self._open) >= MAX_OPEN:
            return None
        hop_id, self._next_id = self._next_id, self._next_id + 1
        self._open[hop_id] = ask
        return hop_id

    def close(self, hop_id: object) -> None:
        """Take out the request that is answered; nothing happens when there is none (any more)."""
        if type(hop_id) is int:
            self._open.pop(hop_id, None)

    def was_open(self, hop_id: object) -> bool:
        """Whether it was asked once: a late answer is no fault of the client's."""
        return type(hop_id) is int and 0 < hop_id < self._next_id

    def find(self, hop_id: object) -> Ask | None:
        """The request that is open under this id."""
        return self._open.get(hop_id) if type(hop_id) is int else None

    def id_of(self, raw_id: bytes) -> int | None:
        """The id of the open request that the server calls `raw_id`."""
        return next((hop_id for hop_id, ask in self._open.items() if ask.raw_id == raw_id), None)

    def renew(self, until_s: float) -> None:
        """Give those that could be asked of nobody their full time: now their client is there."""
        for ask in self._open.values():
            ask.until_s = max(ask.until_s, until_s)

    def overdue(self, now_s: float) -> list[Ask]:
        """Take out those that waited too long."""
        late = [hop_id for hop_id, ask in self._open.items() if ask.until_s <= now_s]
        return [self._open.pop(hop_id) for hop_id in late]

    def left(self, pending: Pending) -> list[Ask]:
        """Take out those that went with a call whose client is gone: it will not answer them."""
        gone = [hop_id for hop_id, ask in self._open.items() if ask.pending is pending]
        return [self._open.pop(hop_id) for hop_id in gone]

    def last_until_s(self) -> float:
        """Until when the last of them may be answered; 0 when none is open."""
        return max((ask.until_s for ask in self._open.values()), default=0.0)
