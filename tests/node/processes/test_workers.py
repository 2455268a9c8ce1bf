"""A node of several processes, whole: real workers, a real Valkey, a real stdio child."""

import concurrent.futures
import http.client
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest
from bench.rig.gateway import AUDIENCE, ISSUER, Gateway, start_gateway
from tests.node.processes.support import (
    SERVER,
    SETTLED_S,
    descendants,
    eventually,
    is_gone,
    is_live,
    post,
    settings,
    workers_of,
)

from mantlet.core.secret import Secret
from mantlet.ops.remote import Address, Admin

PATIENT = {"slow_after": 0.03}
"""A store that is late on a busy machine is late, and no failure: then each worker would go on with its share."""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with start_gateway(settings(2), tmp_path_factory.mktemp("workers")) as running:
        eventually(lambda: post(running, "sdk", "tools/list")[0] == 200)
        eventually(lambda: is_live(running))  # calls are served before the admin door opens
        yield running


def verify(gateway: Gateway) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mantlet", "events", "verify", "-c", str(gateway.folder / "mantlet.yaml")]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_limits_hold_exactly_together_across_workers(tmp_path: Path) -> None:
    """RATE-03: 120 requests at once on connections of their own, spread by the kernel over three workers."""
    limits = {"client": {"requests": 50, "window": 60}, "global": {"requests": 1000, "window": 60}, "burst": None}
    with (
        start_gateway(settings(3, limits=limits, store=PATIENT), tmp_path) as gateway,
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


def test_the_admin_door_knows_the_servers_that_workers_have(gateway: Gateway) -> None:
    """The process behind it serves no calls."""
    now_s = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "olga", "iat": now_s, "nbf": now_s - 1, "exp": now_s + 600,
              "jti": "olga-1", "roles": ["admin"]}  # fmt: skip
    token = jwt.encode(claims, gateway.secret, algorithm="HS256", headers={"typ": "at+jwt"})
    admin = Admin(Address(gateway.admin_url, Secret(token)))
    told = admin.explain({"caller": "ann", "roles": ["user"], "method": "tools/call", "target": "echo"})
    assert told["server"] == "sdk"
    assert admin.kill("upstream", "sdk")["is_known"]
    admin.unkill("upstream", "sdk")
    eventually(lambda: post(gateway, "sdk", "tools/list")[0] == 200)


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
