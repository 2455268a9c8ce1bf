"""Filters in a running node, before a real server: what goes in, what comes back, what is written down."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from bench.rig.gateway import Gateway, config, http, start_gateway
from bench.rig.process import free_port, running

SERVER = Path(__file__).parents[2] / "servers" / "everything.py"
VERSION = "2026-07-28"
META = {"io.modelcontextprotocol/protocolVersion": VERSION, "io.modelcontextprotocol/clientCapabilities": {}}
KEY = "AKIAIOSFODNN7EXAMPLE"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("filters")
    with contextlib.ExitStack() as stack:
        port = free_port()
        stack.enter_context(running([sys.executable, str(SERVER), "--http", str(port)], port, folder / "server.log"))
        settings = config([http("one", f"http://127.0.0.1:{port}/mcp")])
        settings["validation"] = {
            "filters": {"script": "block", "secrets": "redact", "prompt_injection": "block", "sql": "log"}
        }
        yield stack.enter_context(start_gateway(settings, folder / "node"))


async def ask(gateway: Gateway, text: str) -> httpx2.Response:
    params = {"name": "echo", "arguments": {"message": text}, "_meta": META}
    body: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    fields = {"Authorization": f"Bearer {gateway.token}", "Accept": "application/json, text/event-stream",
              "MCP-Protocol-Version": VERSION, "Mcp-Method": "tools/call", "Mcp-Name": "echo"}  # fmt: skip
    async with httpx2.AsyncClient(timeout=30) as client:
        return await client.post(gateway.mcp("one"), json=body, headers=fields)


async def test_a_blocked_argument_is_a_400_that_names_rule_and_place(gateway: Gateway) -> None:
    """VAL-06"""
    answer = await ask(gateway, "<script>alert(1)</script>")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, -32602)
    assert error["data"]["rule"] == "script.tag"
    assert error["data"]["pointer"] == "/params/arguments/message"
    assert "alert" not in answer.text


async def test_a_credential_reaches_neither_server_nor_client(gateway: Gateway) -> None:
    """AUD-06"""
    answer = await ask(gateway, f"use {KEY} please")
    assert answer.status_code == 200
    assert "[removed: secrets.aws]" in answer.text
    assert KEY not in answer.text


async def test_a_logged_finding_changes_nothing(gateway: Gateway) -> None:
    assert "' or 1=1 --" in (await ask(gateway, "' or 1=1 --")).text
