"""The server behind: `python -m tests.chaos.server --port 3000 --journal FILE`.

Every call that it runs is a line in the journal before it is answered, so that effects can be counted afterwards.
"""

import argparse
import asyncio
import os
import time
from pathlib import Path
from typing import Any, cast

import httptools
import msgspec

TOOLS = ["echo", "charge", "counted"]
_META = {"io.modelcontextprotocol/serverInfo": {"name": "chaos", "version": "1.0.0"}}
_OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"


def result_of(message: dict[str, Any], journal: int) -> dict[str, Any]:
    """What a request is answered with."""
    params = message.get("params", {})
    match message["method"]:
        case "server/discover":
            return {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, "_meta": _META}
        case "tools/list":
            schema = {"type": "object", "properties": {"message": {"type": "string"}}}
            return {"tools": [{"name": name, "inputSchema": schema} for name in TOOLS], "_meta": _META}
        case _:
            said = params["arguments"]["message"]
            os.write(journal, f"{time.monotonic_ns()} {params['name']} {said}\n".encode())
            return {"content": [{"type": "text", "text": said}], "resultType": "complete", "_meta": _META}


class Connection(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, journal: int) -> None:
        self._journal = journal
        self._parser = httptools.HttpRequestParser(self)
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, data: bytes) -> None:
        self._body += data

    def on_message_complete(self) -> None:
        body, self._body = self._body, b""
        if self._parser.get_method() != b"POST":
            self._transport.write(b"HTTP/1.1 405 Method Not Allowed\r\nallow: POST\r\ncontent-length: 0\r\n\r\n")
            return
        message = msgspec.json.decode(body)
        if "id" not in message:
            self._transport.write(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")
            return
        result = result_of(message, self._journal)
        answer = msgspec.json.encode({"jsonrpc": "2.0", "id": message["id"], "result": result})
        self._transport.write(_OK % (len(answer), answer))


async def serve(port: int, journal: int) -> None:
    """Serve on loopback until killed."""
    server = await asyncio.get_running_loop().create_server(lambda: Connection(journal), "127.0.0.1", port)
    async with server:
        await server.serve_forever()


def main() -> None:
    """Run until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--journal", type=Path, required=True)
    options = parser.parse_args()
    journal = os.open(options.journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    asyncio.run(serve(options.port, journal))


if __name__ == "__main__":
    main()
