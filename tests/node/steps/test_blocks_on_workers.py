"""RATE-07: a block is the node's, not one process's."""

import asyncio
import http.client
import json
from pathlib import Path

import pytest
from bench.rig.gateway import Gateway, start_gateway
from tests.node.processes.support import META, eventually, settings

from mantlet.stores.valkey.embedded import EmbeddedValkey

pytestmark = pytest.mark.slow

HOSTILE = "127.0.0.2"
TRIES = 16
"""Connections of their own: that all come to one of two workers happens once in 32,768 runs."""


def fail(error: BaseException) -> None:
    raise error


def connect(gateway: Gateway, source: str) -> http.client.HTTPConnection:
    port = int(gateway.url.rpartition(":")[2])
    return http.client.HTTPConnection("127.0.0.1", port, timeout=15, source_address=(source, 0))


def ask(connection: http.client.HTTPConnection, token: str) -> int:
    fields = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Mcp-Method": "tools/list"}
    fields |= {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2026-07-28"}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": META}}
    connection.request("POST", "/mcp/sdk", json.dumps(body), fields)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def statuses(gateway: Gateway, source: str) -> set[int]:
    """What new connections with a good credential get, at whichever worker."""
    found = set()
    for _ in range(TRIES):
        connection = connect(gateway, source)
        try:
            found.add(ask(connection, gateway.token))
        finally:
            connection.close()
    return found


def misbehave(gateway: Gateway) -> set[int]:
    """Ten bad credentials at one worker: over one connection, which stays open."""
    connection = connect(gateway, HOSTILE)
    try:
        connection.connect()
        opened, found = connection.sock, set()
        for _ in range(10):
            found.add(ask(connection, "wrong"))
            assert connection.sock is opened
        return found
    finally:
        connection.close()


def run(url: str, folder: Path) -> None:
    whole = settings(
        2, addresses={"auto_block": {"never": ["127.0.0.1"], "half_life": 1e9, "score": 9.5}}, store={"url": url}
    )
    with start_gateway(whole, folder / "first") as gateway:
        eventually(lambda: statuses(gateway, "127.0.0.1") == {200})
        assert statuses(gateway, HOSTILE) == {200}
        assert misbehave(gateway) == {401}
        eventually(lambda: statuses(gateway, HOSTILE) == {403})
        assert statuses(gateway, "127.0.0.1") == {200}
    with start_gateway(whole, folder / "second") as again:
        eventually(lambda: statuses(again, "127.0.0.1") == {200})
        eventually(lambda: statuses(again, HOSTILE) == {403})


async def test_what_one_worker_blocks_all_do_and_a_restart_forgets_nothing(tmp_path: Path) -> None:
    """RATE-07"""
    valkey = EmbeddedValkey(on_error=fail)
    url = await valkey.start()
    try:
        await asyncio.to_thread(run, url, tmp_path)
    finally:
        await valkey.close()
