"""Lists of many servers put together, and what the endpoint says of itself. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mantlet.wire.mcp.methods import LATEST_LEGACY, LEGACY_VERSIONS, LISTS, MODERN_VERSIONS

ERRORS: Final = "mantlet/errors"
"""`_meta` key of a partial list: what each missing server failed with."""

CAPABILITIES: Final[Mapping[str, Any]] = {"tools": {}, "prompts": {}, "resources": {}, "completions": {}}


def merged(method: str, items: Sequence[Mapping[str, Any]], errors: Mapping[str, str], era: str) -> dict[str, Any]:
    """The result of a list method. A modern result is private and at once stale: it depends on the caller's rights."""
    result: dict[str, Any] = {LISTS[method]: list(items)}
    if era == "modern":
        result |= {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
    if errors:
        result["_meta"] = {ERRORS: dict(errors)}
    return result


def discovered(name: str, version: str) -> dict[str, Any]:
    """The result of `server/discover`."""
    return {
        "resultType": "complete",
        "supportedVersions": list(MODERN_VERSIONS),
        "capabilities": dict(CAPABILITIES),
        "ttlMs": 0,
        "cacheScope": "private",
        "_meta": {"io.modelcontextprotocol/serverInfo": {"name": name, "version": version}},
    }


def initialized(requested: object, name: str, version: str) -> dict[str, Any]:
    """The result of `initialize`: the revision asked for if it is served, else the latest of its era."""
    return {
        "protocolVersion": requested if requested in LEGACY_VERSIONS else LATEST_LEGACY,
        "capabilities": dict(CAPABILITIES),
        "serverInfo": {"name": name, "version": version},
    }
