"""A question of a legacy server, put to a modern client: who else may answer it, and what a killed worker leaves."""

import contextlib
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import httpx2
import pytest
from bench.rig.gateway import Gateway
from tests.clients.matrix import MCP1_PYTHON, SERVERS, stage

pytestmark = [
    pytest.mark.slow,
    pytest.mark.node,
    pytest.mark.skipif(not MCP1_PYTHON.exists(), reason=f"{MCP1_PYTHON} is not there: `make node`"),
]
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}},
    "io.modelcontextprotocol/clientInfo": {"name": "attack", "version": "1"},
}
LEGACY = tuple(server for server in SERVERS if server.name == "legacy-http")


def call(gateway: Gateway, token: str, tool: str = "ask", question: str = "Who?", **more: Any) -> tuple[int, Any]:
    """One call on a connection of its own, so that any worker may get it."""
    headers = {
        "authorization": f"Bearer {token}", "accept": "application/json, text/event-stream", "connection": "close",
        "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": tool,
    }  # fmt: skip
    params = {"name": tool, "arguments": {"question": question}, "_meta": META, **more}
    body = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}
    answer = httpx2.post(gateway.mcp("legacy-http"), headers=headers, json=body, timeout=20)
    events = [line[5:] for line in answer.text.splitlines() if line.startswith("data:") and len(line) > 6]
    return answer.status_code, json.loads(events[-1] if events else answer.text)


def asked(gateway: Gateway, token: str) -> dict[str, Any]:
    """A call that waits, and what its own client would answer."""
    result = call(gateway, token)[1]["result"]
    said = {key: {"action": "accept", "content": {"name": "Ada"}} for key in result["inputRequests"]}
    return {"requestState": result["requestState"], "inputResponses": said}


def test_only_its_own_caller_answers_once_and_a_killed_worker_hangs_nobody(tmp_path: Path) -> None:
    """MCP-06, AUTHZ-04, RES-03"""
    with stage(tmp_path, servers=LEGACY, workers=2) as gateway:
        alice, bob = gateway.mint("alice"), gateway.mint("bob")
        wait = asked(gateway, alice)
        cut = {**wait, "requestState": wait["requestState"][:-3]}
        refused = [
            call(gateway, bob, **wait),
            call(gateway, alice, **cut),
            call(gateway, alice, question="Else?", **wait),
            call(gateway, alice, "ask_twice", **wait),
        ]
        assert {(status, message["error"]["code"]) for status, message in refused} == {(400, -32602)}
        status, message = call(gateway, alice, **wait)
        assert (status, message["result"]["content"][0]["text"]) == (200, "accept: Ada")
        assert call(gateway, alice, **wait)[1]["error"]["code"] == -32602

        waiting = [asked(gateway, alice) for _ in range(6)]
        children = subprocess.check_output(["pgrep", "-P", str(gateway.program.pid)], text=True).split()
        workers = [pid for pid in children if b"worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        os.kill(int(workers[-1]), signal.SIGKILL)
        outcomes = []
        for one in waiting:
            # A connection may still reach the dying worker's queue; what matters is that nothing hangs or lies.
            with contextlib.suppress(httpx2.TransportError):
                outcomes.append(call(gateway, alice, **one))
        for status, message in outcomes:
            is_right = status == 200 and message["result"]["content"][0]["text"] == "accept: Ada"
            assert is_right or (status, message["error"]["code"]) == (400, -32602)
        assert outcomes
