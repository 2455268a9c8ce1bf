"""A small MCP client for operators: list and call tools through a running node, in the era that it offers.

The modern revision first, because it needs no session; where the node says that the server behind has only the
legacy one (-32022), the handshake. It offers no capabilities, so a server cannot ask it for anything.
"""

import json
from typing import Any, Final, Literal

from mantlet.core.refusal import BadUpstream
from mantlet.ops.remote.http import Address, Answer, NodeError, Refused, accepted, send
from mantlet.wire.mcp.header_values import encode_value
from mantlet.wire.mcp.methods import (
    LATEST_LEGACY,
    META_CAPABILITIES,
    META_CLIENT_INFO,
    META_VERSION,
    MODERN_VERSIONS,
    NAMED_BY,
)
from mantlet.wire.sse import SseSplitter

Era = Literal["auto", "modern", "legacy"]
UNSUPPORTED_VERSION: Final = -32022
MAX_PAGES: Final = 1_000
"""A server whose cursor never ends."""
MAX_EVENT_BYTES: Final = 64 * 1024 * 1024
_INFO: Final = {"name": "mantlet-cli", "version": "0"}


class ToolCallFailed(NodeError):
    """The server answered with a JSON-RPC error."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        self.data = data


class Mcp:
    """One endpoint of a node: all servers as one (`server` empty) or one of them."""

    def __init__(self, address: Address, server: str = "", era: Era = "auto") -> None:
        self._address = address
        self._path = f"/mcp/{server}" if server else "/mcp"
        self._era: Era = era
        self._session = ""
        self._version = ""
        self._next_id = 0

    def tools(self) -> list[dict[str, Any]]:
        """Every tool that this caller may see, all pages."""
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            result = self.request("tools/list", {} if cursor is None else {"cursor": cursor})
            found += [tool for tool in result.get("tools", []) if isinstance(tool, dict)]
            cursor = result.get("nextCursor")
            if not cursor:
                return found
        raise NodeError(f"the list of tools has more than {MAX_PAGES} pages")

    def call(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """The result of one call; `isError` in it is the tool's own word. Raises `ToolCallFailed`, `Refused`."""
        return self.request("tools/call", {"name": tool, "arguments": arguments})

    def request(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """One request of either era and its result."""
        if self._era != "legacy":
            try:
                return self._modern(method, params)
            except (ToolCallFailed, Refused) as error:
                if self._era == "modern" or not _means_legacy(error):
                    raise
                self._era = "legacy"
        if not self._version:
            self._shake_hands()
        return self._post(method, params, self._legacy_headers())

    def close(self) -> None:
        """End a legacy session, if one was begun. A node that has forgotten it is no error."""
        if self._session:
            send(self._address, "DELETE", self._path, headers=self._legacy_headers())
            self._session = ""

    def _modern(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        version = MODERN_VERSIONS[0]
        meta = {META_VERSION: version, META_CLIENT_INFO: _INFO, META_CAPABILITIES: {}}
        headers = {"mcp-protocol-version": version, "mcp-method": method}
        if (member := NAMED_BY.get(method)) is not None:
            headers["mcp-name"] = encode_value(str(params[member])).decode("ascii")
        return self._post(method, {**params, "_meta": meta}, headers)

    def _shake_hands(self) -> None:
        params = {"protocolVersion": LATEST_LEGACY, "capabilities": {}, "clientInfo": _INFO}
        result = self._post("initialize", params, {})
        self._version = str(result.get("protocolVersion", LATEST_LEGACY))
        note = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        accepted(self._send(note, self._legacy_headers()))

    def _legacy_headers(self) -> dict[str, str]:
        headers = {"mcp-protocol-version": self._version} if self._version else {}
        return {**headers, "mcp-session-id": self._session} if self._session else headers

    def _post(self, method: str, params: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
        self._next_id += 1
        message = {"jsonrpc": "2.0", "id": self._next_id, "method": method, "params": params}
        answer = self._send(message, headers)
        if method == "initialize":
            self._session = answer.headers.get("mcp-session-id", "")
        reply = _reply_to(self._next_id, answer)
        if reply is None:
            accepted(answer)
            raise NodeError(f"the node answered {method} with {answer.status} and no JSON-RPC reply")
        error = reply.get("error")
        if isinstance(error, dict):
            if answer.status >= 400:
                accepted_or_failed(answer, error)
            raise ToolCallFailed(int(error.get("code", 0)), str(error.get("message", "")), error.get("data"))
        result = reply.get("result")
        return result if isinstance(result, dict) else {}

    def _send(self, message: dict[str, Any], headers: dict[str, str]) -> Answer:
        fields = {"content-type": "application/json", "accept": "application/json, text/event-stream", **headers}
        body = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
        return send(self._address, "POST", self._path, body=body, headers=fields)


def accepted_or_failed(answer: Answer, error: dict[str, Any]) -> None:
    """A JSON-RPC error with an HTTP status: the node's own refusal, unless the code is the protocol's."""
    code = error.get("code")
    if isinstance(code, int) and code < 0:
        raise ToolCallFailed(code, str(error.get("message", "")), error.get("data"))
    accepted(answer)


def _means_legacy(error: ToolCallFailed | Refused) -> bool:
    return isinstance(error, ToolCallFailed) and error.code == UNSUPPORTED_VERSION


def _reply_to(request_id: int, answer: Answer) -> dict[str, Any] | None:
    """The reply among the messages of an answer, which is one JSON text or a stream of events."""
    if answer.headers.get("content-type", "").startswith("text/event-stream"):
        try:
            texts = [event.data for event in SseSplitter(MAX_EVENT_BYTES).feed(answer.body) if event.data]
        except BadUpstream as error:
            raise NodeError(error.detail) from error
    else:
        texts = [answer.body] if answer.body.strip() else []
    for text in texts:
        try:
            message = json.loads(text)
        except ValueError:
            continue
        if (
            isinstance(message, dict)
            and message.get("id") == request_id
            and ("result" in message or "error" in message)
        ):
            return message
    return None
