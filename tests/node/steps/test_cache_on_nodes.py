"""Real processes that share one real store: two nodes of two workers each, and what dies among them."""

import concurrent.futures
import http.client
import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from bench.rig.gateway import Gateway, config, start_gateway
from bench.rig.gateway import http as http_server
from tests.node.processes.support import descendants, eventually, post, workers_of
from tests.stores.servers import Servers

from mantlet.keys.api_keys import make_api_key

pytestmark = pytest.mark.slow


class Upstream:
    """Counts what reaches it. Its first call waits until `gate` is set, the others do not."""

    def __init__(self) -> None:
        self.calls = 0
        self.gate = threading.Event()
        self.reached = threading.Event()
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                result: dict[str, Any] = {"resultType": "complete", "content": [{"type": "text", "text": "here"}]}
                if message["method"] == "tools/call":
                    upstream.calls += 1
                    if upstream.calls == 1:
                        upstream.reached.set()
                        upstream.gate.wait(60)
                else:
                    result |= {"tools": [], "ttlMs": 0, "cacheScope": "private"}
                body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode()
                try:
                    self.send_response(200)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    self.close_connection = True  # who asked was killed

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 256
            daemon_threads = True

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.gate.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    made = Upstream()
    yield made
    made.close()


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    made = Servers(tmp_path / "stores")
    yield made
    made.close()


KEY = make_api_key()[1].reveal()


@contextmanager
def node(folder: Path, upstream: Upstream, store: str, workers: int = 2, **cache: Any) -> Iterator[Gateway]:
    keys = [{"name": "ann", "key": KEY, "roles": ["user", "admin"]}]
    whole = config(
        [{**http_server("one", f"http://127.0.0.1:{upstream.port}/mcp"), "era": "modern"}],
        auth={"api_keys": keys},
        authorization={"rules": [{"name": "all", "allow": {"roles": ["user"]}}]},
        store={"url": store},
        cache={"enabled": True, "tools": ["one__look"], **cache},
    )
    whole["http"]["workers"] = workers
    with start_gateway(whole, folder) as gateway:
        keyed = Gateway(**{**vars(gateway), "token": KEY})
        eventually(lambda: len(stats(keyed)) == workers)  # calls are served from the first worker on
        yield keyed


def look(gateway: Gateway, question: str = "") -> str:
    status, answer = post(gateway, "one", "tools/call", "look", arguments={"q": question})
    assert status == 200, answer
    return str(answer["result"]["content"][0]["text"])


def stats(gateway: Gateway) -> list[dict[str, Any]]:
    port = int(gateway.admin_url.rpartition(":")[2])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/admin/v1/cache", headers={"Authorization": f"Bearer {KEY}"})
        return list(json.loads(connection.getresponse().read())["cache"])
    finally:
        connection.close()


def total(gateways: list[Gateway], figure: str) -> int:
    return sum(int(row[figure]) for gateway in gateways for row in stats(gateway))


def test_four_processes_on_two_nodes_make_one_call(tmp_path: Path, upstream: Upstream, servers: Servers) -> None:
    """CACHE-03, CACHE-05"""
    store = f"valkey://127.0.0.1:{servers.start()}"
    with ExitStack() as opened, concurrent.futures.ThreadPoolExecutor(120) as pool:
        nodes = [opened.enter_context(node(tmp_path / f"node{number}", upstream, store)) for number in range(2)]
        asked = [pool.submit(look, nodes[number % 2]) for number in range(120)]
        assert upstream.reached.wait(20)
        eventually(lambda: total(nodes, "misses") == 120)
        upstream.gate.set()
        assert {each.result(30) for each in asked} == {"here"}
        assert upstream.calls == 1
        assert sum(row["misses"] > 0 for gateway in nodes for row in stats(gateway)) == 4
        # Forgotten by one node's operator, it is old for all.
        port = int(nodes[0].admin_url.rpartition(":")[2])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("DELETE", "/admin/v1/cache?server=one", headers={"Authorization": f"Bearer {KEY}"})
        assert json.loads(connection.getresponse().read())["told_all"]
        connection.close()
        list(pool.map(look, nodes * 20))
        assert upstream.calls == 2


def test_a_killed_leader_keeps_nobody_waiting(tmp_path: Path, upstream: Upstream, servers: Servers) -> None:
    """CACHE-03: kill -9; at most one call more."""
    store = f"valkey://127.0.0.1:{servers.start()}"
    with ExitStack() as opened, concurrent.futures.ThreadPoolExecutor(40) as pool:
        lost, left = (opened.enter_context(node(tmp_path / name, upstream, store)) for name in ("lost", "left"))
        leading = pool.submit(look, lost)
        assert upstream.reached.wait(20)
        waiting = [pool.submit(look, left) for _ in range(30)]
        eventually(lambda: total([left], "misses") == 30)
        for pid in [lost.program.pid, *descendants(lost.program.pid)]:
            os.kill(pid, signal.SIGKILL)
        assert {each.result(20) for each in waiting} == {"here"}
        assert upstream.calls == 2
        with pytest.raises((OSError, http.client.HTTPException)):
            leading.result(20)


def test_a_killed_worker_keeps_its_node_from_nothing(tmp_path: Path, upstream: Upstream) -> None:
    """CACHE-03: the store is the node's own."""
    with node(tmp_path, upstream, "memory://", workers=3) as gateway, concurrent.futures.ThreadPoolExecutor(40) as pool:
        asked = [pool.submit(look, gateway) for _ in range(30)]
        assert upstream.reached.wait(20)
        eventually(lambda: total([gateway], "misses") == 30)
        leader = next(
            pid for pid in workers_of(gateway) if f":{upstream.port:04X}" in Path(f"/proc/{pid}/net/tcp").read_text()
        )
        os.kill(leader, signal.SIGKILL)
        upstream.gate.set()
        answered = 0
        for each in asked:
            with suppress(OSError, http.client.HTTPException):  # it was the killed worker's
                answered += each.result(20) == "here"
        assert answered
        assert upstream.calls <= 2


def test_without_its_store_the_cache_is_off_and_calls_go_on(
    tmp_path: Path, upstream: Upstream, servers: Servers
) -> None:
    """CACHE-05, spec 8.3: killed in mid-flight, away, and back."""
    port = servers.start()
    with (
        node(tmp_path, upstream, f"valkey://127.0.0.1:{port}") as gateway,
        concurrent.futures.ThreadPoolExecutor(20) as pool,
    ):
        asked = [pool.submit(look, gateway) for _ in range(20)]
        assert upstream.reached.wait(20)
        eventually(lambda: total([gateway], "misses") == 20)
        servers.kill(port)
        upstream.gate.set()
        assert {each.result(20) for each in asked} == {"here"}
        eventually(lambda: all(row["state"].startswith("off") and not row["entries"] for row in stats(gateway)))
        before = upstream.calls
        for _ in range(3):
            look(gateway)
        assert upstream.calls == before + 3
        eventually(lambda: "cache.store" in (tmp_path / "gateway.log").read_text())
        servers.start(port=port)
        eventually(lambda: all(row["state"] == "on" for row in stats(gateway)))
        list(pool.map(look, [gateway] * 20))
        assert upstream.calls == before + 4


def test_a_wrong_password_turns_the_cache_off_and_nothing_else(
    tmp_path: Path, upstream: Upstream, servers: Servers
) -> None:
    """Spec 8.3"""
    upstream.gate.set()
    port = servers.start("--requirepass", "right")
    with node(tmp_path, upstream, f"valkey://:wrong@127.0.0.1:{port}", workers=1) as gateway:
        assert [look(gateway) for _ in range(3)] == ["here"] * 3
        assert upstream.calls == 3
        [row] = stats(gateway)
        assert row["state"].startswith("off: log-in refused")
        assert "wrong" not in json.dumps(row).replace("WRONGPASS", "")
