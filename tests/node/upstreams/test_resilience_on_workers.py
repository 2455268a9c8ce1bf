"""RES-01: each worker has breakers of its own, and the node shows the worst; also of a server that one process owns."""

import sys
import urllib.request
from pathlib import Path

import pytest
from bench.rig.gateway import Gateway, start_gateway, stdio
from tests.node.processes.support import eventually, post, settings

SILENT = """\
import json, sys
for line in sys.stdin:
    m = json.loads(line)
    if "id" in m and m.get("method") != "tools/call":
        result = {"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {}, "tools": []}
        print(json.dumps({"jsonrpc": "2.0", "id": m["id"], "result": result}), flush=True)
"""


def metrics(gateway: Gateway) -> str:
    with urllib.request.urlopen(f"{gateway.admin_url}/metrics", timeout=10) as answer:
        return str(answer.read().decode())


@pytest.mark.slow
def test_each_worker_finds_out_for_itself(tmp_path: Path) -> None:
    """RES-01, RES-02"""
    (tmp_path / "silent.py").write_text(SILENT)
    whole = settings(2)
    server = stdio("silent", sys.executable, str(tmp_path / "silent.py"))
    whole["mcp"]["servers"] = [{**server, "breaker": {"failures": 2, "patience": 0.1, "open": 60}}]
    whole["mcp"]["limits"] = {"request_timeout_ms": 300}
    with start_gateway(whole, tmp_path) as gateway:
        eventually(lambda: post(gateway, "silent", "tools/list")[0] == 200)
        # Calls are served before the admin door opens.
        eventually(lambda: 'mantlet_breaker_state{endpoint="",server="silent"} 0.0' in metrics(gateway))

        def both_are_open() -> bool:
            status, answer = post(gateway, "silent", "tools/call", "x")
            assert (status, answer["error"]["data"]["reason"]) in ((504, "deadline_exceeded"), (503, "breaker_open"))
            return 'mantlet_breaker_transitions_total{server="silent",state="open"} 2.0' in metrics(gateway)

        eventually(both_are_open)
        assert 'mantlet_breaker_state{endpoint="",server="silent"} 2.0' in metrics(gateway)
        assert post(gateway, "silent", "tools/call", "x")[0] == 503
