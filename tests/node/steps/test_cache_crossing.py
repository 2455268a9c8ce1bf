"""Lists that cross from one era of MCP to the other, kept by a whole node."""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.attacks.house import VERSION, Sent, Upstream, call_body, open_house

HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}


@dataclass
class Listing(Upstream):
    """Says how long its list is good; of a legacy one nobody would believe it."""

    ttl_ms: Any = 0

    async def _answer(self, sent: Sent, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        results: dict[str, dict[str, Any]] = {
            "tools/list": {"tools": [{"name": "echo", "inputSchema": {"type": "object"}}]},
            "server/discover": {"supportedVersions": [VERSION], "capabilities": {"tools": {}}},
        }
        if (result := results.get(sent.message.get("method", ""))) is not None:
            result |= {"resultType": "complete", "ttlMs": self.ttl_ms, "cacheScope": "public"}
            body = json.dumps({"jsonrpc": "2.0", "id": sent.message["id"], "result": result}).encode()
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            writer.write(head % len(body) + body)
            return
        await super()._answer(sent, reader, writer)

    @property
    def lists(self) -> int:
        return sum(sent.message.get("method") == "tools/list" for sent in self.sent)


@pytest.mark.parametrize(
    ("server", "client", "ttl_ms", "lists"),
    [
        ("modern", "legacy", 60_000, 1),
        ("modern", "legacy", 0, 2),
        ("legacy", "modern", 0, 1),
        ("legacy", "modern", 9, 1),
    ],
)
async def test_a_list_that_crossed_is_kept_as_its_server_means_it(
    tmp_path: Path, server: str, client: str, ttl_ms: int, lists: int
) -> None:
    """CACHE-01, CACHE-02"""
    up = Listing("one", ttl_ms=ttl_ms)
    await up.open()
    section = {"name": "one", "transport": "http", "url": f"http://127.0.0.1:{up.port}/mcp", "era": server}
    try:
        async with open_house(
            tmp_path, servers=0, mcp={"servers": [section]}, cache={"enabled": True, "early_refresh": 0}
        ) as house:
            opened = await house.legacy("initialize", HELLO, server="one")
            session = opened.headers["mcp-session-id"]

            async def ask(who: str) -> Any:
                if client == "modern":
                    return (await house.send(call_body("tools/list"), credential=house.keys[who])).json["result"]
                told = await house.legacy("tools/list", server="one", session=session, credential=house.keys[who])
                return told.json["result"]

            before = up.lists
            first = await ask("alice")
            assert first == await ask("alice")
            assert up.lists - before == lists
            assert [tool["name"] for tool in first["tools"]] == ["echo"]
            if client == "modern":
                assert (first["ttlMs"], first["cacheScope"]) == (0, "private")
                await ask("bob")
                assert up.lists - before == lists + 1
            else:
                assert "ttlMs" not in first
    finally:
        await up.close()
