"""Lists of many servers put together, and what the endpoint says of itself. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mantlet.core.call import Era
from mantlet.policies.aggregate.view import View
from mantlet.wire import jsonrpc
from mantlet.wire.mcp.methods import LATEST_LEGACY, LEGACY_VERSIONS, LISTS, MODERN_VERSIONS

ERRORS: Final = "mantlet/errors"
"""`_meta` key of a partial list: what each missing server failed with."""
TASKS: Final = "io.modelcontextprotocol/tasks"

_CHANGES: Final = {"listChanged": True}


def capabilities(era: Era, view: View | None) -> dict[str, Any]:
    """What the servers may offer together. Which of them offers what, their lists and answers say."""
    offered: dict[str, Any] = {"logging": {}, "completions": {}}
    for kind in ("tools", "prompts", "resources"):
        if view is None or view.has(kind):
            offered[kind] = {**_CHANGES, "subscribe": True} if kind == "resources" else dict(_CHANGES)
    if era == "modern":
        offered["extensions"] = {TASKS: {}}
    return offered


def merged(method: str, items: Sequence[bytes], cursor: str, errors: Mapping[str, str], era: Era) -> bytes:
    """The result of a list method. A modern result is private and at once stale: it depends on the caller's rights."""
    rest: dict[str, Any] = {}
    if cursor:
        rest["nextCursor"] = cursor
    if era == "modern":
        rest |= {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
    if errors:
        rest["_meta"] = {ERRORS: dict(errors)}
    end = b"," + jsonrpc.encode(rest)[1:] if rest else b"}"
    return b'{"%b":[%b]%b' % (LISTS[method].encode(), b",".join(items), end)


def discovered(name: str, version: str, view: View | None) -> dict[str, Any]:
    """The result of `server/discover`."""
    return {
        "resultType": "complete",
        "supportedVersions": list(MODERN_VERSIONS),
        "capabilities": capabilities("modern", view),
        "ttlMs": 0,
        "cacheScope": "private",
        "_meta": {"io.modelcontextprotocol/serverInfo": {"name": name, "version": version}},
    }


def initialized(requested: object, name: str, version: str, view: View | None) -> dict[str, Any]:
    """The result of `initialize`: the revision asked for if it is served, else the latest of its era."""
    return {
        "protocolVersion": requested if requested in LEGACY_VERSIONS else LATEST_LEGACY,
        "capabilities": capabilities("legacy", view),
        "serverInfo": {"name": name, "version": version},
    }
