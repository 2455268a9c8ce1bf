"""`subscriptions/listen` on behalf of legacy streams: what to ask for, and what its events are called there.

2026-07-28, basic/patterns/subscriptions; 2025-11-25, server/resources.
"""

from collections.abc import Collection, Iterable
from typing import Any, Final, NamedTuple

import msgspec

from mantlet.wire.mcp.bridge.to_modern_handshake import Offers
from mantlet.wire.mcp.methods import META_SUBSCRIPTION

LISTEN: Final = "subscriptions/listen"
ACKNOWLEDGED: Final = "notifications/subscriptions/acknowledged"
UPDATED: Final = "notifications/resources/updated"

_FILTERS: Final = {
    Offers.TOOLS: "toolsListChanged",
    Offers.PROMPTS: "promptsListChanged",
    Offers.RESOURCES: "resourcesListChanged",
}
CHANGED: Final = {
    "notifications/tools/list_changed": Offers.TOOLS,
    "notifications/prompts/list_changed": Offers.PROMPTS,
    "notifications/resources/list_changed": Offers.RESOURCES,
}


class Event(NamedTuple):
    """One message on a listen stream. `offer` is the kind it belongs to, `uri` the resource of an update."""

    method: str
    offer: Offers
    uri: str
    message: bytes
    """As a legacy stream carries it."""


def filter_of(wanted: Offers, uris: Collection[str]) -> dict[str, Any]:
    """The `notifications` to ask for; empty when there is nothing to ask."""
    asked: dict[str, Any] = {name: True for offer, name in _FILTERS.items() if offer in wanted}
    if uris:
        asked["resourceSubscriptions"] = sorted(uris)
    return asked


def read(data: bytes) -> Event | None:
    """The event in `data`, or None for anything that is no notification."""
    try:
        message = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if type(message) is not dict or "id" in message or type(message.get("method")) is not str:
        return None
    method, params = message["method"], message.get("params")
    params = dict(params) if type(params) is dict else {}
    meta = params.pop("_meta", None)
    if type(meta) is dict and (kept := {key: value for key, value in meta.items() if key != META_SUBSCRIPTION}):
        params["_meta"] = kept
    uri = params.get("uri")
    offer = Offers.UPDATES if method == UPDATED else CHANGED.get(method, Offers.NOTHING)
    told: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
    if params:
        told["params"] = params
    return Event(method, offer, uri if type(uri) is str else "", msgspec.json.encode(told))


def missed(offer: Offers, uris: Iterable[str]) -> list[bytes]:
    """What to tell a client that was deaf for a while: every list and resource it hears of may have changed."""
    lists = [notification(method) for method, kind in CHANGED.items() if kind in offer]
    return lists + [notification(UPDATED, {"uri": uri}) for uri in sorted(uris)]


def notification(method: str, params: dict[str, Any] | None = None) -> bytes:
    """A legacy notification."""
    message: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
    if params:
        message["params"] = params
    return msgspec.json.encode(message)


def concerns(uri: str, subscribed: Iterable[str]) -> bool:
    """Whether an update of `uri` is for one who subscribed to these: the same, or a part of one of them."""
    return any(
        uri == wanted or (uri.startswith(wanted) and (wanted.endswith("/") or uri[len(wanted)] in "/#?"))
        for wanted in subscribed
    )
