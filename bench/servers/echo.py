"""What the cheap servers answer: a tool `echo`, and as many more tools as asked for. No IO here."""

from typing import Any

import msgspec

MODERN = "2026-07-28"
LEGACY = "2025-11-25"
SERVER_INFO = {"name": "echo", "version": "1.0.0"}
_META = {"io.modelcontextprotocol/serverInfo": SERVER_INFO}


class Arguments(msgspec.Struct):
    """Of the tool `echo`."""

    message: str = ""


class Params(msgspec.Struct):
    """What is read of any method's params."""

    arguments: Arguments = msgspec.field(default_factory=Arguments)


class Message(msgspec.Struct):
    """What is read of a JSON-RPC message."""

    method: str = ""
    id: msgspec.Raw = msgspec.Raw(b"")
    params: Params = msgspec.field(default_factory=Params)


_decode = msgspec.json.Decoder(Message).decode
_encode = msgspec.json.encode


def tool(name: str) -> dict[str, Any]:
    """A tool as real servers describe one: about 400 bytes."""
    return {
        "name": name,
        "title": name.capitalize(),
        "description": f"Gives back what it was given. This is the tool {name}, described at ordinary length.",
        "inputSchema": {
            "type": "object",
            "properties": {"message": {"type": "string", "description": "What to give back", "maxLength": 100_000}},
            "required": ["message"],
        },
    }


class Echo:
    """Answers the messages of one era, or of both."""

    def __init__(self, era: str, tools: int) -> None:
        self.era = era
        self._tools = _encode([tool("echo"), *(tool(f"tool_{n}") for n in range(1, tools))])

    def answer(self, body: bytes) -> tuple[str, bytes | None]:
        """(method, answer); no answer to a notification."""
        message = _decode(body)
        if not message.id:
            return message.method, None
        head = b'{"jsonrpc":"2.0","id":' + bytes(message.id)
        if message.method == "tools/call":
            text = _encode(message.params.arguments.message)
            return message.method, (
                head + b',"result":{"content":[{"type":"text","text":' + text + b"}]," + self._complete + b"}}"
            )
        result = self._other(message.method)
        if result is None:
            return message.method, head + b',"error":{"code":-32601,"message":"Method not found"}}'
        return message.method, head + b',"result":' + result + b"}"

    @property
    def _complete(self) -> bytes:
        # A legacy client ignores the member, so one answer serves both eras.
        return b'"isError":false' if self.era == "legacy" else b'"resultType":"complete","isError":false'

    def _other(self, method: str) -> bytes | None:
        if method == "tools/list":
            more = b"" if self.era == "legacy" else b',"resultType":"complete","ttlMs":60000,"cacheScope":"public"'
            return b'{"tools":' + self._tools + more + b"}"
        if method == "ping":
            return b"{}"
        if method == "server/discover" and self.era != "legacy":
            versions = [MODERN] if self.era == "modern" else [MODERN, LEGACY]
            capabilities = {"tools": {"listChanged": True}}
            found = {"resultType": "complete", "supportedVersions": versions, "capabilities": capabilities}
            return _encode({**found, "_meta": _META, "ttlMs": 60_000, "cacheScope": "public"})
        if method == "initialize" and self.era != "modern":
            capabilities = {"tools": {"listChanged": True}}
            return _encode({"protocolVersion": LEGACY, "capabilities": capabilities, "serverInfo": SERVER_INFO})
        return None
