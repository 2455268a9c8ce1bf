"""A real server of mcp 2.x that compares every header with the body: none of its calls may fail for how it came."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from bench.rig.gateway import Gateway, config, http, start_gateway
from bench.rig.process import free_port, running
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

SERVER = Path(__file__).parents[2] / "servers" / "mirrored.py"
VERSION = "2026-07-28"
META = {"io.modelcontextprotocol/protocolVersion": VERSION, "io.modelcontextprotocol/clientCapabilities": {}}
ARGUMENTS = {"region": "Zürich ", "row": 7, "dry": True}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("mirrored")
    with contextlib.ExitStack() as stack:
        entries = []
        for name in ("first", "second"):
            port = free_port()
            command = [sys.executable, str(SERVER), "--http", str(port)]
            stack.enter_context(running(command, port, folder / f"{name}.log"))
            entries.append({**http(name, f"http://127.0.0.1:{port}/mcp"), "era": "modern"})
        settings = config(entries)
        settings["mcp"]["limits"]["list_timeout_ms"] = 10_000
        yield stack.enter_context(start_gateway(settings, folder / "node"))


@pytest.mark.parametrize("mode", ["legacy", VERSION])
@pytest.mark.parametrize(("endpoint", "tool"), [("", "where"), ("", "second__where"), ("second", "where")])
async def test_a_mirrored_argument_arrives_with_its_header(
    gateway: Gateway, mode: str, endpoint: str, tool: str
) -> None:
    """MCP-01: under its own name and under one that it has only here, from a client of either era."""
    headers = {"Authorization": f"Bearer {gateway.token}"}
    async with httpx2.AsyncClient(headers=headers, timeout=30) as client:
        transport = streamable_http_client(gateway.mcp(endpoint), http_client=client)
        async with Client(transport, mode=mode) as session:
            await session.list_tools()
            called = await session.call_tool(tool, ARGUMENTS)
            assert not called.is_error, called
            assert called.content[0].text == "Zürich  7 True"  # type: ignore[union-attr]


@pytest.mark.parametrize("lie", [{"Mcp-Param-Region": "elsewhere"}, {"Mcp-Name": "where"}, {"Mcp-Param-Row": "8"}])
async def test_who_contradicts_itself_is_refused_here(gateway: Gateway, lie: dict[str, str]) -> None:
    """MCP-01"""
    params = {"name": "second__where", "arguments": {"region": "x"}, "_meta": META}
    body: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    fields = {"Authorization": f"Bearer {gateway.token}", "Accept": "application/json, text/event-stream",
              "MCP-Protocol-Version": VERSION, "Mcp-Method": "tools/call", "Mcp-Name": "second__where",
              "Mcp-Param-Region": "x", **lie}  # fmt: skip
    async with httpx2.AsyncClient(timeout=30) as client:
        answer = await client.post(gateway.mcp(), json=body, headers=fields)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32020)
