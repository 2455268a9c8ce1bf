"""A node of several processes in a test: its settings, calls to it, and what becomes of its processes."""

import http.client
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from bench.rig.gateway import Gateway, config, stdio

SERVER = str(Path(__file__).parents[2] / "servers" / "everything.py")
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
SETTLED_S = 20.0


def settings(workers: int, **sections: Any) -> dict[str, Any]:
    """A config with one stdio server and `workers` workers; everybody may use the admin role's API."""
    whole = config([stdio("sdk", sys.executable, SERVER, "--stdio")], **sections)
    whole["http"]["workers"] = workers
    return whole


def is_live(gateway: Gateway) -> bool:
    with urlopen(f"{gateway.admin_url}/livez", timeout=5) as answer:
        return answer.status == 200


def post(gateway: Gateway, server: str, method: str, name: str = "", **params: Any) -> tuple[int, dict[str, Any]]:
    """One modern request on a connection of its own, so that the kernel may give it to any worker."""
    port = int(gateway.url.rpartition(":")[2])
    body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": {**params, "_meta": META}}
    headers = {
        "Authorization": f"Bearer {gateway.token}",
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": method,
    }
    if name:
        headers["Mcp-Name"] = name
        body["params"]["name"] = name  # type: ignore[index]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
    try:
        connection.request("POST", f"/mcp/{server}" if server else "/mcp", json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def eventually(holds: Callable[[], bool], within_s: float = SETTLED_S) -> None:
    """Wait for processes of others: there is no event to wait for."""
    until_s = time.monotonic() + within_s
    while True:
        try:
            if holds():
                return
        except (OSError, http.client.HTTPException):
            pass
        assert time.monotonic() < until_s, "did not come about"
        time.sleep(0.05)


def descendants(pid: int) -> list[int]:
    """All processes below `pid`, by the parents that /proc names."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            parents.setdefault(parent, []).append(int(entry.name))
    found, pending = [], [pid]
    while pending:
        children = parents.get(pending.pop(), [])
        found += children
        pending += children
    return found


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def workers_of(gateway: Gateway) -> list[int]:
    return [
        pid
        for pid in descendants(gateway.program.pid)
        if b"mantlet.node.processes.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
