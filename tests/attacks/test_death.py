"""The node as a process: told to stop, and killed without a word, with calls under way (AUD-02, RES-05)."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from bench.rig.process import Program, free_port
from tests.attacks.house import PLENTY, RULES, Answer, Client, call_body, fields_of
from tests.node.processes.support import is_gone

from mantlet.events.audit.verify import INTACT
from mantlet.keys.api_keys import make_api_key

LINES = str(Path(__file__).parents[1] / "servers" / "lines.py")


class Running:
    """`mantlet serve` with one stdio server, in a folder."""

    def __init__(self, folder: Path, durability: str = "write") -> None:
        self.folder, self.port, self.admin_port = folder, free_port(), free_port()
        self.key = make_api_key()[1].reveal()
        whole: dict[str, Any] = {
            "environment": "development",
            "http": {"port": self.port},
            "admin": {"port": self.admin_port},
            "database": {"url": f"sqlite:///{folder / 'mantlet.db'}"},
            "audit": {"path": str(folder / "audit"), "durability": durability},
            "auth": {"api_keys": [{"name": "alice", "key": self.key, "roles": ["user"]}]},
            "limits": {"client": PLENTY, "global": PLENTY, "burst": None, "connections": {"per_address": 1000}},
            "authorization": {"rules": RULES},
            "mcp": {
                "servers": [
                    {"name": "one", "transport": "stdio", "command": [sys.executable, LINES, "--era", "modern"],
                     "restart": {"backoff": 0.05}}
                ]
            },
        }  # fmt: skip
        self.file = folder / "mantlet.yaml"
        self.file.write_text(yaml.safe_dump(whole))

    @contextlib.contextmanager
    def serving(self) -> Iterator[Program]:
        command = [sys.executable, "-m", "mantlet", "serve", "-c", str(self.file)]
        program = Program(command, self.folder / "gateway.log")
        try:
            program.wait_listening(self.port)
            yield program
        finally:
            program.stop()

    async def call(self, name: str = "echo", client: Client | None = None, **arguments: Any) -> Answer:
        body = call_body(name=name, **arguments)
        mine = client or await Client.to(self.port)
        try:
            return await mine.ask("POST", "/mcp/one", fields_of(body, self.key), json.dumps(body).encode())
        finally:
            if client is None:
                mine.close()

    async def ready(self) -> None:
        async with asyncio.timeout(20):
            while (await self.call()).status != 200:
                await asyncio.sleep(0.02)

    def audit(self) -> bytes:
        return b"".join(path.read_bytes() for path in sorted((self.folder / "audit").glob("audit-*.jsonl")))

    def verify(self) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mantlet", "events", "verify", "-c", str(self.file)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def children_of(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(entry.name))
    return found


async def all_gone(pids: list[int]) -> None:
    async with asyncio.timeout(10):
        while not all(is_gone(pid) for pid in pids):
            await asyncio.sleep(0.02)


async def held(node: Running, count: int) -> list["asyncio.Task[Answer]"]:
    """`count` calls that wait at the server."""
    calls = [asyncio.ensure_future(node.call("hold", tag=n)) for n in range(count)]
    async with asyncio.timeout(10):
        while b"mantlet_calls_under_way" not in (metrics := await figures(node)) or under_way(metrics) < count:
            await asyncio.sleep(0.02)
    return calls


async def figures(node: Running) -> bytes:
    client = await Client.to(node.admin_port)
    try:
        return (await client.ask("GET", "/metrics")).body
    finally:
        client.close()


def under_way(metrics: bytes) -> float:
    lines = [line for line in metrics.splitlines() if line.startswith(b"mantlet_calls_under_way")]
    return float(lines[0].split()[-1]) if lines else 0.0


async def test_a_node_told_to_stop_ends_what_it_began(tmp_path: Path) -> None:
    """RES-05: no answer cut short, exit 0, no child left, the trail whole."""
    node = Running(tmp_path)
    with node.serving() as program:
        await node.ready()
        calls = await held(node, 20)
        releasing = await Client.to(node.port)
        body = call_body(name="release")
        raw, fields = json.dumps(body).encode(), fields_of(body, node.key)
        # The head now and the body later: a request that had begun when the word came is still served.
        fields |= {"Host": f"localhost:{node.port}", "Content-Length": str(len(raw))}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        releasing.writer.write(f"POST /mcp/one HTTP/1.1\r\n{head}\r\n".encode() + raw[:10])
        await releasing.writer.drain()
        async with asyncio.timeout(10):
            while under_way(await figures(node)) < 20:
                await asyncio.sleep(0.01)
        children = children_of(program.pid)
        os.kill(program.pid, signal.SIGTERM)
        async with asyncio.timeout(10):
            while True:  # the door is shut first
                try:
                    (await Client.to(node.port)).close()
                except OSError:
                    break
                await asyncio.sleep(0.01)
        releasing.writer.write(raw[10:])
        answers = await asyncio.gather(*calls)
        assert {answer.status for answer in answers} == {200}
        said = [json.loads(answer.json["result"]["content"][0]["text"])["tag"] for answer in answers]
        assert said == list(range(20))
        releasing.close()
        assert await asyncio.to_thread(program.stop) == 0
        await all_gone(children)
    checked = node.verify()
    assert checked.returncode == INTACT, checked


async def test_a_child_killed_in_mid_call_fails_its_calls_and_is_started_again(tmp_path: Path) -> None:
    """RES-06"""
    node = Running(tmp_path)
    with node.serving() as program:
        await node.ready()
        calls = await held(node, 10)
        (child,) = children_of(program.pid)
        os.kill(child, signal.SIGKILL)
        answers = await asyncio.gather(*calls)
        assert {answer.status for answer in answers} == {502}
        await node.ready()
        assert children_of(program.pid) not in ([child], [])


@pytest.mark.slow
@pytest.mark.parametrize("durability", ["write", "fsync"])
async def test_a_node_killed_under_load_loses_nothing_it_acknowledged(tmp_path: Path, durability: str) -> None:
    """AUD-02: `kill -9`, no child left; started again the trail is whole and holds every answered request."""
    node = Running(tmp_path, durability)
    acknowledged: list[str] = []

    async def load() -> None:
        client = await Client.to(node.port)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                answer = await node.call(client=client, n=len(acknowledged))
                assert answer.status == 200
                acknowledged.append(answer.headers["x-request-id"])
        client.close()

    with node.serving() as program:
        await node.ready()
        loads = [asyncio.ensure_future(load()) for _ in range(16)]
        while len(acknowledged) < 2_000:
            await asyncio.sleep(0.01)
        children = children_of(program.pid)
        os.kill(program.pid, signal.SIGKILL)
        await asyncio.gather(*loads)
        await all_gone(children)
    with node.serving():
        await node.ready()
    checked = node.verify()
    assert checked.returncode == INTACT, checked
    recorded = node.audit()
    lost = [request for request in acknowledged if f'"{request}"'.encode() not in recorded]
    assert lost == []
