"""The doors for messages in several workers: each worker has them all, and what they share holds in every one."""

import asyncio
import json
import os
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bench.rig.gateway import Gateway, start_gateway
from bench.rig.process import free_port
from tests.node.processes.support import META, eventually, is_live, post, settings, workers_of
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

pytestmark = pytest.mark.slow
PATIENCE_S = 20.0


class Doors:
    """A node of two workers."""

    def __init__(self, gateway: Gateway, websocket: int, tcp: int) -> None:
        self.gateway, self.websocket, self.tcp = gateway, websocket, tcp

    def socket(self, **more: Any) -> connect:
        headers = {"Authorization": f"Bearer {self.gateway.token}"}
        return connect(f"ws://127.0.0.1:{self.websocket}/ws/sdk", **({"additional_headers": headers} | more))

    def ticket(self) -> list[str]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.websocket}/ws/ticket",
            data=b"",
            headers={"Authorization": f"Bearer {self.gateway.token}"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return list(json.loads(answer.read())["subprotocols"])


@pytest.fixture
def doors(tmp_path: Path) -> Iterator[Doors]:
    websocket, tcp = free_port(), free_port()
    whole = settings(
        2, websocket={"enabled": True, "port": websocket}, tcp={"enabled": True, "port": tcp},
    )  # fmt: skip
    whole["authorization"]["rules"].append({"name": "operators", "allow": {"scopes": ["mcp:read"]}})
    with start_gateway(whole, tmp_path) as running:
        eventually(lambda: is_live(running))  # when every worker serves
        eventually(lambda: post(running, "sdk", "tools/list")[0] == 200)
        yield Doors(running, websocket, tcp)


async def echo(socket: ClientConnection, number: int) -> None:
    params = {"name": "echo", "arguments": {"message": f"m{number}"}, "_meta": META}
    await socket.send(json.dumps({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}))
    async with asyncio.timeout(PATIENCE_S):
        said = json.loads(await socket.recv())
    assert said["result"]["content"][0]["text"] == f"m{number}"


async def test_every_worker_takes_sockets_and_tickets_of_any_other(doors: Doors) -> None:
    """AUTHN-10: a ticket is good once in the whole node."""
    sockets = [await doors.socket() for _ in range(16)]
    try:
        for number, socket in enumerate(sockets):
            await echo(socket, number)
        for _ in range(12):
            subprotocols = await asyncio.to_thread(doors.ticket)
            async with doors.socket(additional_headers={}, subprotocols=subprotocols) as socket:
                assert socket.subprotocol == "mcp"
                await echo(socket, 1)
            with pytest.raises(Exception, match="401"):
                await doors.socket(additional_headers={}, subprotocols=subprotocols)
    finally:
        for socket in sockets:
            await socket.close()


async def test_a_killed_worker_takes_its_own_sockets_only_and_draining_says_goodbye(doors: Doors) -> None:
    sockets = [await doors.socket() for _ in range(16)]
    workers = await asyncio.to_thread(workers_of, doors.gateway)
    os.kill(workers[0], signal.SIGKILL)
    alive = []
    for number, socket in enumerate(sockets):
        try:
            await echo(socket, number)
            alive.append(socket)
        except ConnectionClosed:
            assert socket.close_code == 1006  # cut, not closed: nobody was left to say so
    assert 0 < len(alive) < len(sockets)
    await asyncio.to_thread(eventually, lambda: len(workers_of(doors.gateway)) == 2)
    fresh = [await doors.socket() for _ in range(8)]
    for number, socket in enumerate(fresh):
        await echo(socket, number)
    os.kill(doors.gateway.program.pid, signal.SIGTERM)
    for socket in [*alive, *fresh]:
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(ConnectionClosed) as closed_at_end:
                await socket.recv()
        assert closed_at_end.value.rcvd is not None
        assert closed_at_end.value.rcvd.code == 1001
