"""An MCP server that fails in the way a test names, and counts what it is asked."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.attacks.house import House, Sent, Upstream, open_house

WAYS = ("500", "502", "503", "504", "401", "vanish", "cut head", "cut body", "garbage", "wrong id", "no json", "hang")
"""How a call can fail once it has reached the server."""


@dataclass
class Failing(Upstream):
    """`way` is how it answers calls to tools, `left` times or, below 0, always; then, and where it is empty, well."""

    way: str = ""
    left: int = -1
    calls: list[Any] = field(default_factory=list)

    async def _answer(self, sent: Sent, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if sent.message.get("method") != "tools/call":
            await super()._answer(sent, reader, writer)
            return
        self.calls.append(sent.message)
        if not self.way or self.left == 0:
            await super()._answer(sent, reader, writer)
            return
        self.left -= 1
        body = b'{"jsonrpc":"2.0","id":"somebody-else","result":{"content":[]}}'
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        match self.way:
            case "hang":
                self.reached.set()
                await self._until_released(reader)
            case "vanish":
                raise ConnectionError
            case "cut head":
                writer.write(head[:40])
                await writer.drain()
                raise ConnectionError
            case "cut body":
                writer.write(head % 1_000 + body)
                await writer.drain()
                raise ConnectionError
            case "garbage":
                writer.write(b"\x00\x01 what is this\r\n\r\n")
            case "wrong id":
                writer.write(head % len(body) + body)
            case "no json":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\n<br/>")
            case status:
                writer.write(b"HTTP/1.1 %b Oh\r\nContent-Length: 0\r\n\r\n" % status.encode())


@contextlib.asynccontextmanager
async def node(folder: Path, *servers: Failing, mcp: Any = None, **settings: Any) -> AsyncIterator[House]:
    """A node before `servers`; `settings` are those of the first one."""
    for server in servers:
        await server.open()
    sections = [
        {"name": one.name, "transport": "http", "url": f"http://127.0.0.1:{one.port}/mcp", "era": "dual"}
        for one in servers
    ]
    sections[0] |= {name: _told(value, servers[0].port) for name, value in settings.items()}
    try:
        async with open_house(folder, servers=0, mcp={"servers": sections, **(mcp or {})}) as house:
            yield house
    finally:
        for server in servers:
            await server.close()


def _told(value: Any, port: int) -> Any:
    return value.format(port=port) if isinstance(value, str) else value
