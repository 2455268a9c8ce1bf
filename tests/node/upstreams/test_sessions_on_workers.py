"""Legacy sessions on a node of several workers: usable on each of them, whichever the kernel gives a connection to."""

import concurrent.futures
import http.client
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bench.rig.gateway import Gateway, config, start_gateway, stdio
from tests.node.processes.support import descendants, eventually, is_gone, workers_of

pytestmark = pytest.mark.slow

LINES = str(Path(__file__).parents[2] / "servers" / "lines.py")
CLIENT = {
    "protocolVersion": "2025-11-25",
    "capabilities": {"elicitation": {}},
    "clientInfo": {"name": "c", "version": "1"},
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    shared = stdio("shared", sys.executable, LINES)
    own = {**stdio("own", sys.executable, LINES), "isolation": "session", "max_children": 40}
    whole = config([shared, own])
    whole["http"]["workers"] = 3
    with start_gateway(whole, tmp_path_factory.mktemp("sessions")) as running:
        eventually(lambda: bool(begin(running, "shared")))
        yield running


class Exchange:
    """One legacy message on a connection of its own, so that the kernel may give it to any worker."""

    def __init__(self, gateway: Gateway, server: str, message: Any, session: str = "", verb: str = "POST") -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", int(gateway.url.rpartition(":")[2]), timeout=30)
        headers = {
            "Authorization": f"Bearer {gateway.token}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
        }
        if session:
            headers |= {"Mcp-Session-Id": session, "MCP-Protocol-Version": "2025-11-25"}
        body = json.dumps({"jsonrpc": "2.0", **message}) if message else None
        try:
            self._connection.request(verb, f"/mcp/{server}", body, headers)
            self.answer = self._connection.getresponse()
        except BaseException:  # nobody else knows of it
            self.close()
            raise

    def next(self) -> Any:
        """The next event."""
        while line := self.answer.readline():
            if line.startswith(b"data: "):
                return json.loads(line[6:])
        raise EOFError

    def whole(self) -> tuple[int, Any]:
        """Status and body."""
        try:
            body = self.answer.read()
        finally:
            self.close()
        return self.answer.status, json.loads(body) if body else None

    def close(self) -> None:
        self._connection.close()


def begin(gateway: Gateway, server: str) -> str:
    exchange = Exchange(gateway, server, {"id": 0, "method": "initialize", "params": CLIENT})
    session = exchange.answer.getheader("mcp-session-id")
    assert session is not None, exchange.whole()
    exchange.close()
    told = Exchange(gateway, server, {"method": "notifications/initialized"}, session)
    assert told.whole()[0] == 202
    return session


def tool(name: str, arguments: Any, id: int = 1) -> dict[str, Any]:  # noqa: A002
    return {"id": id, "method": "tools/call", "params": {"name": name, "arguments": arguments}}


def text(answer: Any) -> Any:
    return json.loads(answer["result"]["content"][0]["text"])


def call(gateway: Gateway, server: str, session: str, number: int) -> str:
    """What became of one call: `good`, `cut` (its worker died), or what is wrong."""
    try:
        status, answer = Exchange(gateway, server, tool("echo", {"n": number}), session).whole()
    except (OSError, http.client.HTTPException):
        return "cut"
    if status != 200:
        return f"{status} {answer}"
    return "good" if text(answer) == {"n": number} else "crossed"


def test_500_sessions_outlive_a_killed_worker(gateway: Gateway) -> None:
    """Only calls in flight on that worker fail."""
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        shared = list(pool.map(lambda _: begin(gateway, "shared"), range(480)))
        own = list(pool.map(lambda _: begin(gateway, "own"), range(20)))
        sessions = [("shared", session) for session in shared] + [("own", session) for session in own]
        rounds = [(*sessions[n % 500], n) for n in range(2_000)]
        victim = workers_of(gateway)[0]
        calls = [pool.submit(call, gateway, server, session, n) for server, session, n in rounds[:400]]
        calls[200].result()
        os.kill(victim, signal.SIGKILL)
        calls += [pool.submit(call, gateway, server, session, n) for server, session, n in rounds[400:]]
        outcomes = Counter(each.result() for each in calls)
        assert outcomes["good"] + outcomes["cut"] == 2_000, outcomes
        # A connection of each at most, and those that its socket still took while it was dying.
        assert outcomes["cut"] <= 48, outcomes
        eventually(lambda: len(workers_of(gateway)) == 3)
        after = Counter(pool.map(lambda each: call(gateway, each[0], each[1], 7), sessions))
        assert after == {"good": 500}
        for server, session in (("shared", shared[0]), ("own", own[0])):
            assert Exchange(gateway, server, None, session, "DELETE").whole()[0] == 200
            ended = {pool.submit(call, gateway, server, session, n).result()[:3] for n in range(12)}
            assert ended == {"404"}  # on whichever worker (MCP-04)
        for session in own[1:]:
            assert Exchange(gateway, "own", None, session, "DELETE").whole()[0] == 200


def test_questions_are_answered_through_any_worker(gateway: Gateway) -> None:
    sessions = [begin(gateway, "own") for _ in range(10)]
    asking = [
        Exchange(gateway, "own", tool("elicit", {"id": 0, "params": {"n": n}}), s) for n, s in enumerate(sessions)
    ]
    for n, (session, exchange) in enumerate(zip(sessions, asking, strict=True)):
        asked = exchange.next()
        assert (asked["method"], asked["params"]) == ("elicitation/create", {"n": n})
        reply = Exchange(gateway, "own", {"id": asked["id"], "result": {"n": n}}, session)
        assert reply.whole()[0] == 202
    for n, (session, exchange) in enumerate(zip(sessions, asking, strict=True)):
        assert text(exchange.next()) == {"n": n}
        exchange.close()
        assert Exchange(gateway, "own", None, session, "DELETE").whole()[0] == 200


def test_a_stream_of_a_killed_worker_is_opened_again_on_another(gateway: Gateway) -> None:
    session = begin(gateway, "own")
    streams = {}
    for worker in workers_of(gateway):
        os.kill(worker, signal.SIGKILL)
        eventually(lambda gone=worker: gone not in workers_of(gateway) and len(workers_of(gateway)) == 3)
        eventually(lambda: call(gateway, "own", session, 1) == "good")
        streams[worker] = Exchange(gateway, "own", None, session, "GET")
        Exchange(gateway, "own", tool("updated", {"uri": "a:b"}), session).whole()
        assert streams[worker].next()["params"] == {"uri": "a:b"}
        streams[worker].close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="what dies with its parent is Linux's to promise")
def test_no_sessions_process_outlives_a_killed_node(tmp_path: Path) -> None:
    """MCP-08"""
    own = {**stdio("own", sys.executable, LINES), "isolation": "session"}
    whole = config([own])
    whole["http"]["workers"] = 2
    with start_gateway(whole, tmp_path) as gateway:
        for _ in range(3):
            begin(gateway, "own")
        below = descendants(gateway.program.pid)
        assert sum(LINES.encode() in Path(f"/proc/{pid}/cmdline").read_bytes() for pid in below) == 6  # and a launcher
        os.kill(gateway.program.pid, signal.SIGKILL)
        eventually(lambda: all(is_gone(pid) for pid in below))
