"""Sessions at the endpoint of all servers while a worker is killed: only what was in flight on it fails."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bench.rig.gateway import Gateway, config, http, start_gateway, stdio
from bench.rig.process import free_port, running

SERVERS = Path(__file__).parents[2] / "servers"
SESSIONS = 500
AT_ONCE = 20
ROUNDS = 4

pytestmark = pytest.mark.slow


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with contextlib.ExitStack() as stack:
        port = free_port()
        command = [sys.executable, str(SERVERS / "everything.py"), "--http", str(port), "--json"]
        stack.enter_context(running(command, port, tmp_path / "one.log"))
        servers = [http("one", f"http://127.0.0.1:{port}/mcp"), stdio("two", sys.executable, str(SERVERS / "lines.py"))]
        settings = config(servers)
        settings["http"]["workers"] = 3
        settings["mcp"]["limits"]["list_timeout_ms"] = 20_000
        yield stack.enter_context(start_gateway(settings, tmp_path / "node"))


class Connection:
    """A message on a connection of its own, so that it may land on any worker."""

    def __init__(self, gateway: Gateway, subject: str) -> None:
        self._port = int(gateway.url.rpartition(":")[2])
        self._token = gateway.mint(subject)
        self.session = ""

    async def ask(self, method: str, params: dict[str, Any], raw_id: int | None = 1) -> Any:
        message: dict[str, Any] = {"jsonrpc": "2.0", "method": method, "params": params}
        if raw_id is not None:
            message["id"] = raw_id
        body = json.dumps(message).encode()
        session = f"Mcp-Session-Id: {self.session}\r\n" if self.session else ""
        head = (
            f"POST /mcp HTTP/1.1\r\nHost: localhost:{self._port}\r\n{session}Connection: close\r\n"
            f"Authorization: Bearer {self._token}\r\nContent-Type: application/json\r\n"
            f"Accept: application/json, text/event-stream\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(head.encode() + body)
            status, *lines = (await reader.readuntil(b"\r\n\r\n"))[:-4].decode("latin-1").split("\r\n")
            fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            raw = await reader.readexactly(int(fields.get("content-length", "0")))
        finally:
            writer.close()
        assert " 20" in status, (status, raw)
        self.session = fields.get("mcp-session-id", self.session)
        return json.loads(raw) if raw else None


def workers_of(gateway: Gateway) -> list[int]:
    """The processes below the supervisor that serve calls."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == gateway.program.pid and b"mantlet" in (folder / "cmdline").read_bytes():
                    found.append(int(folder.name))
    return sorted(found)


async def test_sessions_survive_the_death_of_a_worker(gateway: Gateway) -> None:
    """MCP-04, RES-06: five hundred of them, no stickiness; one worker of three is killed in the middle."""
    places = asyncio.Semaphore(AT_ONCE)
    clients = [Connection(gateway, f"c{n % 50}") for n in range(SESSIONS)]
    failed: list[str] = []
    done = 0
    killed = asyncio.Event()

    async def begin(client: Connection) -> None:
        async with places:
            await client.ask("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}})
            await client.ask("notifications/initialized", {}, None)

    async def call(client: Connection, n: int) -> None:
        nonlocal done
        async with places:
            try:
                answer = await client.ask("tools/call", {"name": "echo", "arguments": {"message": f"m{n}"}}, n)
            except (OSError, asyncio.IncompleteReadError) as error:
                failed.append(repr(error))
                return
        assert (answer["id"], answer["result"]["content"][0]["text"]) == (n, f"m{n}")
        done += 1
        if done == SESSIONS and not killed.is_set():
            killed.set()
            os.kill(workers_of(gateway)[-1], signal.SIGKILL)

    await clients[0].ask("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}})
    await clients[0].ask("tools/list", {})
    await asyncio.gather(*(begin(client) for client in clients))
    before = {client.session for client in clients}
    for turn in range(ROUNDS):
        await asyncio.gather(*(call(client, turn * SESSIONS + n) for n, client in enumerate(clients)))
    assert killed.is_set()
    assert len(failed) <= AT_ONCE, failed
    lost = len(failed)
    await asyncio.gather(*(call(client, n) for n, client in enumerate(clients)))
    assert len(failed) == lost
    assert {client.session for client in clients} == before
