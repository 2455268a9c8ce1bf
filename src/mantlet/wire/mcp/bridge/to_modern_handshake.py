"""A legacy handshake with a server that knows none: `initialize` told from what `server/discover` says.

2025-11-25, basic/lifecycle; 2026-07-28, server/discover and changelog.
"""

from collections.abc import Mapping
from enum import IntFlag
from typing import Any, Final

from mantlet.core.refusal import InvalidParams
from mantlet.wire.mcp.methods import LATEST_LEGACY, LEGACY_VERSIONS

META_SERVER_INFO: Final = "io.modelcontextprotocol/serverInfo"
TASKS_EXTENSION: Final = "io.modelcontextprotocol/tasks"

Json = Mapping[str, Any]


class Offers(IntFlag):
    """What a server tells of on its own, as far as a legacy client can hear it."""

    NOTHING = 0
    TOOLS = 1
    PROMPTS = 2
    RESOURCES = 4
    UPDATES = 8


_LISTS: Final = (("tools", Offers.TOOLS), ("prompts", Offers.PROMPTS), ("resources", Offers.RESOURCES))


def negotiated(params: Json) -> str:
    """The revision for a client that asked for `params.protocolVersion`: that one, or the latest of its era."""
    wanted = params.get("protocolVersion")
    if type(wanted) is not str:
        raise InvalidParams('"protocolVersion" must be a string.')
    return wanted if wanted in LEGACY_VERSIONS else LATEST_LEGACY


def client_of(params: Json) -> tuple[Json, Json]:
    """`clientInfo` and `capabilities` of an `initialize`; raises `InvalidParams`."""
    info, capabilities = params.get("clientInfo"), params.get("capabilities")
    if type(info) is not dict or type(capabilities) is not dict:
        raise InvalidParams('"clientInfo" and "capabilities" must be objects.')
    return info, client_capabilities(capabilities)


def client_capabilities(legacy: Json) -> dict[str, Any]:
    """What a legacy client can do, as a modern server is told of it with each request.

    Tasks of 2025-11-25 are another thing than the extension of 2026-07-28; neither era's can be told in the other's
    words, so a server must not be led to hand one out.
    """
    told = {name: value for name, value in legacy.items() if name != "tasks"}
    if type(told.get("roots")) is dict:
        told["roots"] = {name: value for name, value in told["roots"].items() if name != "listChanged"}
    return _without_tasks(told)


def server_capabilities(modern: Json) -> dict[str, Any]:
    """What a modern server can do, for a legacy client."""
    return _without_tasks(dict(modern))


def offers(capabilities: Json) -> Offers:
    """What the server says it would tell on a `subscriptions/listen`."""
    found = Offers.NOTHING
    for name, offer in _LISTS:
        capability = capabilities.get(name)
        if type(capability) is dict and capability.get("listChanged") is True:
            found |= offer
    resources = capabilities.get("resources")
    if type(resources) is dict and resources.get("subscribe") is True:
        found |= Offers.UPDATES
    return found


def initialize_result(discovered: Json, version: str, name: str) -> dict[str, Any]:
    """The `InitializeResult`; `name` stands in for a server that does not say its own."""
    meta = discovered.get("_meta")
    info = meta.get(META_SERVER_INFO) if type(meta) is dict else None
    result: dict[str, Any] = {
        "protocolVersion": version,
        "capabilities": server_capabilities(capabilities_of(discovered)),
        "serverInfo": info if type(info) is dict and type(info.get("name")) is str else {"name": name, "version": ""},
    }
    result["serverInfo"].setdefault("version", "")
    if type(discovered.get("instructions")) is str:
        result["instructions"] = discovered["instructions"]
    return result


def capabilities_of(discovered: Json) -> Json:
    """The capabilities in a discovery; none when they have no shape."""
    capabilities = discovered.get("capabilities")
    return capabilities if type(capabilities) is dict else {}


def _without_tasks(capabilities: dict[str, Any]) -> dict[str, Any]:
    extensions = capabilities.get("extensions")
    if type(extensions) is dict and TASKS_EXTENSION in extensions:
        kept = {name: value for name, value in extensions.items() if name != TASKS_EXTENSION}
        capabilities = {**capabilities, "extensions": kept}
    return capabilities
