"""What a caller without a grant finds in a server's place: one tool, by which they go and give their consent. Pure.

A server that wants a token for everything would not even say what tools it has, and nobody would be asked for a consent
that no call is made for. The session that a legacy client is given here ends when there is a grant: the server begins
its own, as after any session that is gone (2025-11-25, basic/transports, "Session Management").
"""

from collections.abc import Mapping
from typing import Any, Final

from mantlet.core.call import Call, Reply
from mantlet.core.headers import JSON
from mantlet.core.refusal import MethodNotAllowed
from mantlet.wire import jsonrpc
from mantlet.wire.mcp.inbound import SESSION_ID
from mantlet.wire.mcp.methods import LATEST_LEGACY, LEGACY_VERSIONS, MODERN_VERSIONS

TOOL: Final = "mantlet_connect"
SESSION: Final = b"waits-for-consent"
"""Of all such sessions: it says nothing and opens nothing."""
_LISTS: Final = {
    "prompts/list": "prompts",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
}
_SERVER_INFO: Final = "io.modelcontextprotocol/serverInfo"


def answered(call: Call, version: str) -> Reply | None:
    """The node's own answer to a call of a caller without a grant; None for what only the server could answer."""
    match call.kind:
        case "notification" | "response":
            return Reply(202, [], origin="node")
        case "end":
            return Reply(200, [], origin="node")
        case "stream":
            raise MethodNotAllowed("POST", "This server does not offer that before you have consented.")
    result = _result(call, version)
    if result is None or call.id is None:
        return None
    headers = [JSON, (SESSION_ID, SESSION)] if call.method == "initialize" else [JSON]
    return Reply(200, headers, jsonrpc.result(call.id, result), origin="node")


def connected(call: Call) -> Reply:
    """The answer of the tool, once there is a grant."""
    result: dict[str, Any] = {
        "content": [{"type": "text", "text": f"{call.server} is connected. Ask for its tools anew."}]
    }
    if call.era == "modern":
        result["resultType"] = "complete"
    return Reply(200, [JSON], jsonrpc.result(call.id or b"null", result), origin="node")


def _result(call: Call, version: str) -> Mapping[str, Any] | None:
    info = {"name": call.server, "version": version}
    cached = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"} if call.era == "modern" else {}
    match call.method:
        case "initialize":
            asked = call.params.get("protocolVersion")
            revision = asked if asked in LEGACY_VERSIONS else LATEST_LEGACY
            return {"protocolVersion": revision, "capabilities": {"tools": {}}, "serverInfo": info}
        case "server/discover":
            return {
                **cached,
                "supportedVersions": list(MODERN_VERSIONS),
                "capabilities": {"tools": {}},
                "_meta": {_SERVER_INFO: info},
            }
        case "ping":
            return {}
        case "tools/list":
            return {**cached, "tools": [_tool(call.server)]}
    return None if (items := _LISTS.get(call.method)) is None else {**cached, items: []}


def _tool(server: str) -> dict[str, Any]:
    return {
        "name": TOOL,
        "title": f"Connect {server}",
        "description": f"Lets you use {server} with an account of your own: sends you to a page where you consent.",
        "inputSchema": {"type": "object", "properties": {}, "additionalProperties": False},
        "annotations": {"readOnlyHint": False, "destructiveHint": False, "idempotentHint": True, "openWorldHint": True},
    }
