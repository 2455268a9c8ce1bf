"""Legacy clients of a modern server on a node of several workers: whichever the kernel gives a connection to."""

import concurrent.futures
import http.client
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bench.rig.gateway import Gateway, config, start_gateway
from bench.rig.gateway import http as http_server
from bench.rig.process import free_port, running
from tests.node.processes.support import eventually, workers_of
from tests.node.upstreams.test_sessions_on_workers import Exchange, begin, tool

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
EVERYTHING = ROOT / "tests" / "servers" / "everything.py"
MCP1_PYTHON = ROOT / ".venv-mcp1" / "bin" / "python"
ACTS = ROOT / "tests" / "clients" / "acts"
SERVER = "modern"
ADA = {"action": "accept", "content": {"name": "Ada"}}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("to-modern")
    port = free_port()
    command = [sys.executable, str(EVERYTHING), "--http", str(port), "--only", "modern"]
    with running(command, port, folder / "server.log"):
        whole = config([http_server(SERVER, f"http://127.0.0.1:{port}/mcp")])
        whole["http"]["workers"] = 3
        with start_gateway(whole, folder / "node") as opened:
            eventually(lambda: bool(begin(opened, SERVER)))
            yield opened


def said(answer: Any) -> str:
    return str(answer["result"]["content"][0]["text"])


def call(gateway: Gateway, session: str, number: int) -> str:
    """What became of one call: `good`, `cut` (its worker died), or what is wrong."""
    try:
        status, answer = Exchange(gateway, SERVER, tool("echo", {"message": str(number)}), session).whole()
    except (OSError, http.client.HTTPException):
        return "cut"
    if status != 200:
        return f"{status} {answer}"
    return "good" if said(answer) == str(number) else "crossed"


def test_500_sessions_outlive_a_killed_worker(gateway: Gateway) -> None:
    """MCP-04: only calls in flight on that worker fail."""
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        sessions = list(pool.map(lambda _: begin(gateway, SERVER), range(500)))
        victim = workers_of(gateway)[0]
        calls = [pool.submit(call, gateway, sessions[n % 500], n) for n in range(400)]
        calls[200].result()
        os.kill(victim, signal.SIGKILL)
        calls += [pool.submit(call, gateway, sessions[n % 500], n) for n in range(400, 1_500)]
        outcomes = Counter(each.result() for each in calls)
        assert outcomes["good"] + outcomes["cut"] == 1_500, outcomes
        # A connection of each at most, and those that its socket still took while it was dying.
        assert outcomes["cut"] <= 48, outcomes
        eventually(lambda: len(workers_of(gateway)) == 3)
        assert Counter(pool.map(lambda session: call(gateway, session, 7), sessions)) == {"good": 500}
        assert Exchange(gateway, SERVER, None, sessions[0], "DELETE").whole()[0] == 200
        ended = {pool.submit(call, gateway, sessions[0], n).result()[:3] for n in range(12)}
        assert ended == {"404"}  # on whichever worker


def test_questions_are_answered_through_any_worker(gateway: Gateway) -> None:
    sessions = [begin(gateway, SERVER) for _ in range(10)]
    asking = [Exchange(gateway, SERVER, tool("ask", {"question": f"{n}?"}), s) for n, s in enumerate(sessions)]
    for n, (session, exchange) in enumerate(zip(sessions, asking, strict=True)):
        asked = exchange.next()
        assert (asked["method"], asked["params"]["message"]) == ("elicitation/create", f"{n}?")
        assert Exchange(gateway, SERVER, {"id": asked["id"], "result": ADA}, session).whole()[0] == 202
    for exchange in asking:
        assert said(exchange.next()) == "accept: Ada"
        exchange.close()


def test_calls_are_cancelled_through_any_worker(gateway: Gateway) -> None:
    session = begin(gateway, SERVER)
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        waiting = [
            pool.submit(
                lambda n=n: Exchange(gateway, SERVER, tool("slow", {"tag": f"w{n}"}, id=100 + n), session).whole()
            )
            for n in range(6)
        ]
        eventually(lambda: all(f"w{n}" in witness(gateway, session) for n in range(6)))
        for n in range(6):
            note = {"method": "notifications/cancelled", "params": {"requestId": 100 + n}}
            assert Exchange(gateway, SERVER, note, session).whole()[0] == 202
        assert {each.result(10)[1]["error"]["code"] for each in waiting} == {4499}


def witness(gateway: Gateway, session: str) -> str:
    return said(Exchange(gateway, SERVER, tool("witness", {}), session).whole()[1])


def heard(stream: Exchange) -> Any:
    """The next message; the first event of a stream has none."""
    while line := stream.answer.readline():
        if line.startswith(b"data: {"):
            return json.loads(line[6:])
    return None


def test_a_stream_and_its_subscriptions_are_one_wherever_they_are(gateway: Gateway) -> None:
    session = begin(gateway, SERVER)
    stream = Exchange(gateway, SERVER, None, session, "GET")
    for n in range(8):  # each on a connection of its own
        method = "resources/subscribe" if n % 2 == 0 else "resources/unsubscribe"
        asked = {"id": n, "method": method, "params": {"uri": f"test://{n // 2}"}}
        assert Exchange(gateway, SERVER, asked, session).whole()[1]["result"] == {}
    asked = {"id": 9, "method": "resources/subscribe", "params": {"uri": "test://counter"}}
    assert Exchange(gateway, SERVER, asked, session).whole()[1]["result"] == {}
    for uri in ("test://0", "test://1", "test://counter"):
        Exchange(gateway, SERVER, tool("change", {"uri": uri}), session).whole()
    assert heard(stream)["params"] == {"uri": "test://counter"}
    again = Exchange(gateway, SERVER, None, session, "GET")  # takes its place, at any worker
    assert heard(stream) is None
    stream.close()
    Exchange(gateway, SERVER, tool("change", {}), session).whole()
    assert heard(again)["params"] == {"uri": "test://counter"}
    assert Exchange(gateway, SERVER, None, session, "DELETE").whole()[0] == 200
    assert heard(again) is None
    again.close()


@pytest.mark.parametrize("client", ["mcp1", "mcp2"])
def test_a_real_client_does_all_that_it_can(gateway: Gateway, client: str) -> None:
    python = str(MCP1_PYTHON) if client == "mcp1" else sys.executable
    if not Path(python).exists():
        pytest.skip(f"{python} is not there: `make node`")
    environment = {
        **os.environ,
        "MCP_URL": gateway.mcp(SERVER),
        "MCP_TOKEN": gateway.token,
        "MCP_MODE": "legacy",
        "MCP_SUBJECT": "test://counter",
        "MCP_CHANGE": "change",
    }
    done = subprocess.run(
        [python, str(ACTS / f"{client}.py")], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert '"well": false' not in done.stdout, done.stdout
    assert done.stdout.count('"well": true') == 8
