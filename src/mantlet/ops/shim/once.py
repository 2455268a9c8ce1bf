"""One question to the server of a shim, for people and scripts: is it well, what has it, what does it answer."""

import json
import queue
import threading
import time
from collections.abc import Mapping
from typing import Any, Final, Literal

from mantlet import __version__
from mantlet.ops.shim.plan import UNHEALTHY, ShimFailed
from mantlet.ops.shim.process import Process
from mantlet.wire.mcp.methods import (
    LATEST_LEGACY,
    META_CAPABILITIES,
    META_CLIENT_INFO,
    META_VERSION,
    MODERN_VERSIONS,
)

Action = Literal["health", "tools", "list", "call"]
MAX_PAGES: Final = 100
_INFO: Final = {"name": "mantlet-shim", "version": __version__}
_LISTS: Final = {
    "prompts": "prompts/list",
    "resources": "resources/list",
    "resourceTemplates": "resources/templates/list",
}
METHOD_NOT_FOUND: Final = -32601


class ServerError(ShimFailed):
    """The server answered with an error."""

    def __init__(self, code: object, message: object) -> None:
        super().__init__(f"the server answered: {message} ({code})")
        self.code = code


class Talk:
    """A conversation with a stdio server of either era, one question at a time."""

    def __init__(self, process: Process, timeout_s: float) -> None:
        self._process = process
        self._deadline_s = time.monotonic() + timeout_s
        self._lines: queue.Queue[bytes] = queue.Queue(maxsize=1_000)
        self._next_id = 0
        self._meta: Mapping[str, Any] = {}
        threading.Thread(target=self._read, name="shim once", daemon=True).start()

    def open(self) -> dict[str, Any]:
        """Shake hands, in the legacy way first: every server that knows both knows that one."""
        try:
            params = {"protocolVersion": LATEST_LEGACY, "capabilities": {}, "clientInfo": _INFO}
            said = self.ask("initialize", params)
        except ServerError:
            self._meta = {META_VERSION: MODERN_VERSIONS[0], META_CLIENT_INFO: _INFO, META_CAPABILITIES: {}}
            return self.ask("server/discover", {})
        self._send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return said

    def ask(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """The result of one request. Raises `ServerError`, or `ShimFailed` when no answer comes."""
        self._next_id += 1
        asked = self._next_id
        if self._meta:
            params = {**params, "_meta": self._meta}
        self._send({"jsonrpc": "2.0", "id": asked, "method": method, "params": params})
        while True:
            message = self._next(method)
            if message.get("id") == asked and "method" not in message:
                error = message.get("error")
                if isinstance(error, dict):
                    raise ServerError(error.get("code"), error.get("message"))
                result = message.get("result")
                return result if isinstance(result, dict) else {}

    def all(self, method: str, member: str) -> list[Any]:
        """Every page of a list; none where the server has no such list."""
        found: list[Any] = []
        params: dict[str, Any] = {}
        for _ in range(MAX_PAGES):
            try:
                result = self.ask(method, params)
            except ServerError as error:
                if error.code == METHOD_NOT_FOUND:
                    return found
                raise
            found += result.get(member) or []
            if not (cursor := result.get("nextCursor")):
                return found
            params = {"cursor": cursor}
        return found

    def _send(self, message: Mapping[str, Any]) -> None:
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise ShimFailed("the server ended", UNHEALTHY) from error

    def _next(self, method: str) -> dict[str, Any]:
        try:
            line = self._lines.get(timeout=max(0.0, self._deadline_s - time.monotonic()))
        except queue.Empty:
            raise ShimFailed(f"the server gave no answer to {method} in time", UNHEALTHY) from None
        if not line:
            raise ShimFailed(f"the server ended before it answered {method}", UNHEALTHY)
        try:
            message = json.loads(line)
        except ValueError:
            return {}
        return message if isinstance(message, dict) else {}

    def _read(self) -> None:
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(b"")


def ask(process: Process, action: Action, timeout_s: float, tool: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Open the conversation and give the answer to `action`. Raises `ShimFailed`."""
    talk = Talk(process, timeout_s)
    opened = talk.open()
    match action:
        case "health":
            info = (
                opened.get("serverInfo") or (opened.get("_meta") or {}).get("io.modelcontextprotocol/serverInfo") or {}
            )
            return {"healthy": True, "server": info, "capabilities": opened.get("capabilities", {})}
        case "tools":
            return {"tools": talk.all("tools/list", "tools")}
        case "list":
            return {member: talk.all(method, member) for member, method in _LISTS.items()}
        case "call":
            return talk.ask("tools/call", {"name": tool, "arguments": dict(arguments)})
