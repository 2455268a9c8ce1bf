"""A session's GET stream at `/mcp` of a real node with several workers: whoever comes back misses nothing, anywhere."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from bench.rig.gateway import Gateway, config, http, start_gateway

from mantlet.wire.sse import SseSplitter

ROUNDS = 16
"""Of two workers, each is met but once in 32,000 runs."""

pytestmark = pytest.mark.slow


class Server:
    """A legacy server that says what it is told to, on the GET stream of its one session."""

    def __init__(self) -> None:
        self.to_say: asyncio.Queue[int] = asyncio.Queue()
        self.said = asyncio.Event()
        self.streams = self.open = 0

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    def close(self) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode().lower():
                length = next((int(line[15:]) for line in head.split("\r\n") if line.startswith("content-length")), 0)
                body = await reader.readexactly(length)
                if head.startswith("get"):
                    await self._speak(reader, writer)
                    return
                writer.write(self._answer(json.loads(body) if body else {}))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.streams += 1
        self.open += 1
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n: open\n\n")
        gone = asyncio.ensure_future(reader.read())  # whoever hangs up shall not be told what another would hear
        while True:
            next_ = asyncio.ensure_future(self.to_say.get())
            await asyncio.wait({next_, gone}, return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                if not next_.cancel():
                    self.to_say.put_nowait(next_.result())
                break
            number = next_.result()
            message = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": number}}
            writer.write(b"data: " + json.dumps(message).encode() + b"\n\n")
            await writer.drain()
            self.said.set()
        self.open -= 1
        writer.close()

    def _answer(self, message: dict[str, Any]) -> bytes:
        if "id" not in message:
            return b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n"
        results: dict[str, Any] = {
            "initialize": {
                "protocolVersion": "2025-11-25",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "speaker", "version": "1"},
            },
            "tools/list": {"tools": []},
        }
        body = json.dumps(
            {"jsonrpc": "2.0", "id": message["id"], "result": results.get(message["method"], {})}
        ).encode()
        head = (
            f"HTTP/1.1 200 OK\r\nmcp-session-id: one\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
        )
        return head.encode() + b"\r\n\r\n" + body


class Client:
    """A connection for each request, so that it may land on any worker."""

    def __init__(self, gateway: Gateway) -> None:
        self._port = int(gateway.url.rpartition(":")[2])
        self._fields = f"Host: localhost:{self._port}\r\nAuthorization: Bearer {gateway.token}\r\nConnection: close\r\n"
        self._fields += "Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2025-11-25\r\n"
        self.last = self.worker = ""
        self.workers: set[str] = set()
        """By the beginning of the ids that they give requests."""

    async def _send(self, verb: str, fields: str, body: bytes = b"") -> asyncio.StreamReader:
        reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        length = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
        self._writer.write(f"{verb} /mcp HTTP/1.1\r\n{self._fields}{length}{fields}\r\n".encode() + body)
        return reader

    async def ask(self, method: str, params: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        reader = await self._send("POST", "", body)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        assert " 200 " in head, head
        for line in head.split("\r\n"):
            if line.lower().startswith("mcp-session-id:"):
                self._fields += f"{line}\r\n"
            if line.lower().startswith("x-request-id:"):
                self.workers.add(line.split()[1].partition("-")[0])
        await reader.read()
        self._writer.close()

    async def listen(self) -> AsyncIterator[int]:
        reader = await self._send("GET", f"Last-Event-ID: {self.last}\r\n" if self.last else "")
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in head, head
        self.worker = head.lower().partition(b"x-request-id: ")[2].partition(b"-")[0].decode()
        splitter = SseSplitter(1 << 20)
        while line := await reader.readline():
            # The chunks of HTTP/1.1 hold whole lines; what stands between them is not for the splitter.
            if line == b"\n" or line.startswith((b"id:", b"data:", b":")):
                for event in splitter.feed(line):
                    self.last = event.id.decode() if event.id else self.last
                    if event.data:
                        message = json.loads(event.data)
                        assert message["method"] == "notifications/message", message
                        yield message["params"]["data"]

    def leave(self) -> None:
        self._writer.close()


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Any]:
    def start(url: str) -> Any:
        settings = config([{**http("speaker", url), "era": "legacy"}])
        settings["http"]["workers"] = 2
        return start_gateway(settings, tmp_path / "node")

    return start


async def test_a_client_that_comes_and_goes_hears_everything_once(gateway: Any) -> None:
    server = Server()
    port = await server.start()
    started = gateway(f"http://127.0.0.1:{port}/mcp")
    loop = asyncio.get_running_loop()
    node = await loop.run_in_executor(None, started.__enter__)
    try:
        async with asyncio.timeout(60):
            client = Client(node)
            await client.ask("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}})
            while len(client.workers) < 2:  # the second may be later than the node is ready
                await client.ask("tools/list", {})
            heard = client.listen()
            await server.to_say.put(0)
            assert await anext(heard) == 0
            homes = 1
            for number in range(1, ROUNDS):
                client.leave()
                before = client.worker
                server.said.clear()
                await server.to_say.put(number)
                await server.said.wait()
                heard = client.listen()
                assert await anext(heard) == number
                homes += client.worker != before
                while (server.streams, server.open) != (homes, 1):  # what is said in between nobody could hear
                    await asyncio.sleep(0.01)
            client.leave()
        assert homes > 1
    finally:
        await loop.run_in_executor(None, started.__exit__, None, None, None)
        server.close()
