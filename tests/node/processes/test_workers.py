"""A node of several processes, whole: real workers, a real Valkey, a real stdio child."""

import concurrent.futures
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from bench.rig.gateway import Gateway, config, start_gateway, stdio

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


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with start_gateway(settings(2), tmp_path_factory.mktemp("workers")) as running:
        eventually(lambda: post(running, "sdk", "tools/list")[0] == 200)
        eventually(lambda: is_live(running))  # calls are served before the admin door opens
        yield running


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


def verify(gateway: Gateway) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mantlet", "events", "verify", "-c", str(gateway.folder / "mantlet.yaml")]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_limits_hold_exactly_together_across_workers(tmp_path: Path) -> None:
    """RATE-03: 120 requests at once on connections of their own, spread by the kernel over three workers."""
    limits = {"client": {"requests": 50, "window": 60}, "global": {"requests": 1000, "window": 60}, "burst": None}
    with (
        start_gateway(settings(3, limits=limits), tmp_path) as gateway,
        concurrent.futures.ThreadPoolExecutor(16) as pool,
    ):
        statuses = list(pool.map(lambda _: post(gateway, "", "server/discover")[0], range(120)))
    assert (statuses.count(200), statuses.count(429)) == (50, 70)


def test_one_stdio_child_serves_all_workers(gateway: Gateway) -> None:
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(
            pool.map(lambda n: post(gateway, "sdk", "tools/call", "echo", arguments={"message": f"m{n}"}), range(60))
        )
    assert all(status == 200 for status, _ in answers)
    assert [answer["result"]["content"][0]["text"] for _, answer in answers] == [f"m{n}" for n in range(60)]
    children = [
        pid for pid in descendants(gateway.program.pid) if SERVER.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    programs = [pid for pid in children if b"launcher" not in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert len(programs) == 1


def test_figures_of_all_workers_are_one_exposition(gateway: Gateway) -> None:
    port = int(gateway.admin_url.rpartition(":")[2])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    assert "mantlet_calls_under_way" in text
    assert "mantlet_worker_restarts" in text  # the supervisor's own
    assert re.search(r"^mantlet_channels\S* 1(\.0)?$", text, re.MULTILINE), text  # the child, which is the supervisor's
    assert "mcp_server_operation_duration_seconds_count" in text


def test_a_killed_worker_is_replaced_and_the_trail_stays_whole(gateway: Gateway) -> None:
    """AUD-04, RES-06: kill -9 under load; calls that were on the other worker or came later succeed."""
    before = workers_of(gateway)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:

        def call(number: int) -> bool:
            try:
                return post(gateway, "sdk", "tools/call", "echo", arguments={"message": str(number)})[0] == 200
            except (OSError, http.client.HTTPException):
                return False

        calls = [pool.submit(call, number) for number in range(200)]
        os.kill(before[0], signal.SIGKILL)
        outcomes = [each.result() for each in calls]
    assert sum(outcomes) >= 150
    eventually(lambda: len(workers_of(gateway)) == 2 and before[0] not in workers_of(gateway))
    eventually(lambda: post(gateway, "sdk", "tools/list")[0] == 200)
    checked = verify(gateway)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="what dies with its parent is Linux's to promise")
def test_a_worker_killed_while_it_starts_is_started_again(tmp_path: Path) -> None:
    """RES-06"""
    killed: list[int] = []

    def kill_the_first() -> None:
        found: list[str] = []
        pattern = f"mantlet serve -c {tmp_path}"
        while not found:
            serving = subprocess.run(["pgrep", "-f", pattern], capture_output=True, text=True, check=False)
            for pid in serving.stdout.split():
                command = ["pgrep", "-P", pid, "-f", "mantlet.node.processes.worker"]
                found += subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
        killed.append(int(found[0]))
        os.kill(killed[0], signal.SIGKILL)

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        done = pool.submit(kill_the_first)
        with start_gateway(settings(2), tmp_path) as running:
            done.result(SETTLED_S)
            eventually(lambda: post(running, "sdk", "tools/list")[0] == 200)
            assert killed


def test_nothing_outlives_a_killed_node(tmp_path: Path) -> None:
    """MCP-08: kill -9 of the supervisor leaves no worker, no Valkey, no stdio child and no launcher."""
    with start_gateway(settings(2), tmp_path) as gateway:
        eventually(lambda: post(gateway, "sdk", "tools/list")[0] == 200)
        below = descendants(gateway.program.pid)
        assert len(below) >= 5  # two workers, Valkey, the launcher and its child
        os.kill(gateway.program.pid, signal.SIGKILL)
        eventually(lambda: all(is_gone(pid) for pid in below))
        checked = verify(gateway)
    assert checked.returncode in (0, 3), checked.stdout + checked.stderr


def test_a_node_told_to_stop_ends_well(tmp_path: Path) -> None:
    """RES-05"""
    with start_gateway(settings(2), tmp_path) as gateway:
        below = descendants(gateway.program.pid)
        os.kill(gateway.program.pid, signal.SIGTERM)
        assert gateway.program._process.wait(timeout=30) == 0
        assert all(is_gone(pid) for pid in below)
        assert "node.stopped" in "".join(file.read_text() for file in (tmp_path / "audit").glob("*.jsonl"))
