"""A caller of HTTP as the soak needs it: one connection, one request at a time, answers of any framing."""

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple


class Head(NamedTuple):
    """What is read of an answer's head."""

    status: int
    length: int | None
    """None: the body comes in chunks."""
    session: str


class Connection:
    """Opened on first use. Any error closes it, and the next request opens another."""

    def __init__(self, port: int, source: str = "127.0.0.1") -> None:
        self._port, self._source = port, source
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> tuple[Head, bytes]:
        """The whole answer. Raises `OSError` or `EOFError` when there is none."""
        head = await self.begin(request)
        reader, _ = await self._open()
        if head.length is not None:
            return head, await reader.readexactly(head.length)
        return head, b"".join([chunk async for chunk in self.chunks()])

    async def begin(self, request: bytes) -> Head:
        """Send, and give the head of what comes back."""
        reader, writer = await self._open()
        writer.write(request)
        text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status, length, session = int(text[9:12]), None if text[9:12] == "200" else 0, ""
        for line in text.split("\r\n")[1:]:
            name, _, value = line.partition(":")
            match name.lower():
                case "content-length":
                    length = int(value)
                case "mcp-session-id":
                    session = value.strip()
        return Head(status, length, session)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The chunks of the body that has begun."""
        reader, _ = await self._open()
        while size := int(await reader.readuntil(b"\r\n"), 16):
            yield (await reader.readexactly(size + 2))[:-2]
        await reader.readuntil(b"\r\n")

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port, local_addr=(self._source, 0))
        return self._streams

    def close(self) -> None:
        """Hang up."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
