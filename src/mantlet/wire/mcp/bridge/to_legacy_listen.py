"""`subscriptions/listen` in legacy words: which notifications of a session belong on which subscription
(2026-07-28, basic/patterns/subscriptions).
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from mantlet.core.refusal import InvalidParams
from mantlet.wire.mcp.methods import META_SUBSCRIPTION

MAX_URIS: Final = 256
"""Resources that one subscription may name."""
UPDATED: Final = "notifications/resources/updated"
CHANGED: Final[Mapping[str, tuple[str, str]]] = {
    "notifications/tools/list_changed": ("toolsListChanged", "tools"),
    "notifications/prompts/list_changed": ("promptsListChanged", "prompts"),
    "notifications/resources/list_changed": ("resourcesListChanged", "resources"),
}
"""The notification, its name in a filter, and the server's capability that promises it."""

_MEMBERS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ENCODE: Final = msgspec.json.Encoder().encode


class Wanted(NamedTuple):
    """What a subscription is for: names of list changes as a filter spells them, and URIs of resources."""

    changes: frozenset[str]
    uris: tuple[str, ...]


class _Uri(msgspec.Struct):
    uri: str = ""


_URI: Final = msgspec.json.Decoder(_Uri)


def wanted(params: Mapping[str, Any]) -> Wanted:
    """Read a filter. Unknown members are passed over, as a server that does not know them would. `InvalidParams`."""
    filter_ = params.get("notifications", {})
    if type(filter_) is not dict:
        raise InvalidParams('"notifications" must be an object.')
    changes = set()
    for name, _ in CHANGED.values():
        value = filter_.get(name, False)
        if type(value) is not bool:
            raise InvalidParams(f'"{name}" must be true or false.')
        if value:
            changes.add(name)
    uris = filter_.get("resourceSubscriptions", [])
    if type(uris) is not list or not all(type(uri) is str for uri in uris):
        raise InvalidParams('"resourceSubscriptions" must be a list of URIs.')
    if len(uris) > MAX_URIS:
        raise InvalidParams(f'"resourceSubscriptions" must not name more than {MAX_URIS} resources.')
    return Wanted(frozenset(changes), tuple(dict.fromkeys(uris)))


def offered(asked: Wanted, capabilities: Mapping[str, Any]) -> Wanted:
    """The part of `asked` that the server's capabilities promise."""
    changes = {name for name, member in CHANGED.values() if _flag(capabilities, member, "listChanged")}
    uris = asked.uris if _flag(capabilities, "resources", "subscribe") else ()
    return Wanted(asked.changes & changes, uris)


def _flag(capabilities: Mapping[str, Any], member: str, name: str) -> bool:
    capability = capabilities.get(member)
    return type(capability) is dict and capability.get(name) is True


def acknowledged(raw_id: bytes, honoured: Wanted) -> bytes:
    """The first message of a subscription."""
    notifications: dict[str, Any] = dict.fromkeys(sorted(honoured.changes), True)
    if honoured.uris:
        notifications["resourceSubscriptions"] = list(honoured.uris)
    params = {"_meta": {META_SUBSCRIPTION: msgspec.Raw(raw_id)}, "notifications": notifications}
    return _ENCODE({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": params})


def ended(raw_id: bytes) -> bytes:
    """The last, when it is us who end it."""
    result = {"resultType": "complete", "_meta": {META_SUBSCRIPTION: msgspec.Raw(raw_id)}}
    return _ENCODE({"jsonrpc": "2.0", "id": msgspec.Raw(raw_id), "result": result})


def uri_of(params: bytes) -> str:
    """The resource that a notification is about; empty when it names none."""
    try:
        return _URI.decode(params).uri
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


def belongs(honoured: Wanted, method: str, uri: str) -> bool:
    """Whether a notification is one that the subscription is for. A server may name a part of what was subscribed to
    (2025-11-25, schema, ResourceUpdatedNotification)."""
    if (known := CHANGED.get(method)) is not None:
        return known[0] in honoured.changes
    if method != UPDATED:
        return False
    return any(uri == whole or uri.startswith(whole.rstrip("/") + "/") for whole in honoured.uris)


def tagged(data: bytes, raw_id: bytes) -> bytes:
    """The notification with the id of the subscription it is delivered on; empty when it is no well-formed one."""
    try:
        message = _MEMBERS.decode(data)
        params = _MEMBERS.decode(message["params"]) if "params" in message else {}
        meta = _MEMBERS.decode(params["_meta"]) if "_meta" in params else {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return b""
    meta[META_SUBSCRIPTION] = msgspec.Raw(raw_id)
    params["_meta"] = msgspec.Raw(_ENCODE(meta))
    message["params"] = msgspec.Raw(_ENCODE(params))
    return _ENCODE(message)
