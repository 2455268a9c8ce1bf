"""Servers to talk to: a real MCP server, and one that does on each request exactly what a test says."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.upstreams.transports.peers import running

EVERYTHING = Path(__file__).parent.parent / "servers" / "everything.py"


@pytest.fixture(scope="session")
def everything_script() -> Path:
    """The program, for whoever spawns it: `python everything.py --stdio`."""
    return EVERYTHING


@pytest.fixture(scope="session")
def everything_port() -> Iterator[int]:
    """The port of one dual-era server on 127.0.0.1, path /mcp, shared by the session's tests."""
    with running("everything.py", "--http", "0") as port:
        yield port


@pytest.fixture(scope="session")
def legacy_port() -> Iterator[int]:
    """The port of a server that speaks only legacy MCP."""
    with running("everything.py", "--http", "0", "--only", "legacy") as port:
        yield port


@pytest.fixture(scope="session")
def modern_port() -> Iterator[int]:
    """The port of a server that speaks only modern MCP."""
    with running("everything.py", "--http", "0", "--only", "modern", "--json") as port:
        yield port


@dataclass
class RawRequest:
    """One request as it came: head in lower case except values, body, and which connection (from 1)."""

    line: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes
    connection: int

    def get(self, name: bytes) -> bytes | None:
        return dict(self.headers).get(name)


Handler = Callable[[RawRequest, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class RawServer:
    """Reads requests, and leaves the answer, byte for byte, to `handler`. `gone` is set when a client leaves."""

    handler: Handler
    port: int = 0
    connections: int = 0
    requests: list[RawRequest] = field(default_factory=list)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        connection = self.connections
        ahead = b""  # of the next request, read while looking whether the client leaves
        try:
            while True:
                head = ahead + await reader.readuntil(b"\r\n\r\n")
                ahead = b""
                line, *lines = head[:-4].split(b"\r\n")
                headers = [(n.lower(), v.strip()) for n, _, v in (one.partition(b":") for one in lines)]
                body = await reader.readexactly(int(dict(headers).get(b"content-length", b"0")))
                request = RawRequest(line, headers, body, connection)
                self.requests.append(request)
                answering = asyncio.ensure_future(self.handler(request, writer))
                leaving = asyncio.ensure_future(reader.read(1))
                await asyncio.wait([answering, leaving], return_when=asyncio.FIRST_COMPLETED)
                if not answering.done() and (ahead := leaving.result()):
                    await answering
                if not answering.done():
                    answering.cancel()
                    self.gone.set()
                    break
                answering.result()
                if leaving.done():
                    if ahead := leaving.result():
                        continue
                    self.gone.set()
                    break
                leaving.cancel()
                await asyncio.wait([leaving])
        except (asyncio.IncompleteReadError, ConnectionError):
            self.gone.set()
        finally:
            writer.close()


Serve = Callable[[Handler | bytes], Awaitable[RawServer]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start a `RawServer` with a handler, or one that answers everything with the same bytes."""
    servers: list[asyncio.Server] = []

    async def start(handler: Handler | bytes) -> RawServer:
        async def constant(_: RawRequest, writer: asyncio.StreamWriter) -> None:
            assert isinstance(handler, bytes)
            writer.write(handler)

        raw = RawServer(constant if isinstance(handler, bytes) else handler)
        server = await asyncio.start_server(raw.accept, "127.0.0.1", 0)
        raw.port = server.sockets[0].getsockname()[1]
        servers.append(server)
        return raw

    yield start
    for server in servers:
        server.close()
