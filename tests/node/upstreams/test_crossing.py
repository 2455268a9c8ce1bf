"""Many clients, one child, one id: nobody gets another's answer."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from bench.rig.gateway import config, start_gateway, stdio

SERVER = str(Path(__file__).parents[2] / "servers" / "everything.py")
ID = 1
"""Everybody's."""
CLIENTS = 1_000


class Client:
    """A legacy client on a connection of its own, as small as can be."""

    def __init__(self, port: int, token: str) -> None:
        self._port, self._token = port, token
        self._session = ""

    async def open(self) -> None:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}
        await self.request("initialize", params)

    async def call(self, message: str) -> str:
        answer = await self.request("tools/call", {"name": "echo", "arguments": {"message": message}})
        assert answer["id"] == ID
        return str(answer["result"]["content"][0]["text"])

    async def request(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        body = json.dumps({"jsonrpc": "2.0", "id": ID, "method": method, "params": params}).encode()
        session = f"Mcp-Session-Id: {self._session}\r\n" if self._session else ""
        head = (
            f"POST /mcp/sdk HTTP/1.1\r\nHost: localhost:{self._port}\r\n{session}"
            f"Authorization: Bearer {self._token}\r\n"
            "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + body)
        status, *lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines if line)
        raw = await self._reader.readexactly(int(fields["content-length"]))
        assert " 200 " in status, raw
        self._session = fields.get("mcp-session-id", self._session)
        return json.loads(raw)  # type: ignore[no-any-return]

    def close(self) -> None:
        self._writer.close()


@pytest.mark.slow
async def test_a_thousand_clients_with_equal_ids_on_one_stdio_server(tmp_path: Path) -> None:
    """MCP-05, AUTHZ-08"""
    whole = config([stdio("sdk", sys.executable, SERVER, "--stdio")])
    with start_gateway(whole, tmp_path) as gateway:
        port = int(gateway.url.rpartition(":")[2])
        clients = [Client(port, gateway.token) for _ in range(CLIENTS)]
        async with asyncio.timeout(120):
            for start in range(0, CLIENTS, 100):  # the kernel's backlog is not what is tried here
                await asyncio.gather(*(client.open() for client in clients[start : start + 100]))
            for turn in range(3):
                said = await asyncio.gather(*(client.call(f"{turn}-{n}") for n, client in enumerate(clients)))
                assert said == [f"{turn}-{n}" for n in range(CLIENTS)]
        for client in clients:
            client.close()
