"""Services behind a node of two processes: each carries them itself, their limits are one."""

import asyncio
import contextlib
import http.client
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from bench.rig.gateway import Gateway, config, start_gateway
from tests.servers.plain import Plain, served

pytestmark = pytest.mark.slow
LIMIT = 12


@pytest.fixture
async def plain() -> AsyncIterator[Plain]:
    async with served() as service:
        yield service


@pytest.fixture
async def gateway(tmp_path: Path, plain: Plain) -> AsyncIterator[Gateway]:
    whole = config(
        [],
        http_upstreams=[{"name": "plain", "url": plain.url, "content_types": ["application/octet-stream"]}],
        limits={
            "burst": None,
            "routes": [{"name": "few", "match": {"path": "/api/plain/few"}, "client": {"requests": LIMIT}}],
        },
    )
    whole["http"]["workers"] = 2
    manager = start_gateway(whole, tmp_path)
    running = await asyncio.to_thread(manager.__enter__)
    try:
        yield running
    finally:
        await asyncio.to_thread(manager.__exit__, None, None, None)


def ask(gateway: Gateway, verb: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    """On a connection of its own, so that the kernel may give it to any worker."""
    fields = {"Authorization": f"Bearer {gateway.token}"}
    if body is not None:
        fields["Content-Type"] = "application/octet-stream"
    connection = http.client.HTTPConnection("127.0.0.1", int(gateway.url.rpartition(":")[2]), timeout=15)
    with contextlib.closing(connection):
        connection.request(verb, f"/api/plain{path}", body, fields)
        answer = connection.getresponse()
        return answer.status, answer.read()


async def test_any_worker_serves_and_all_count_together(gateway: Gateway, plain: Plain) -> None:
    """RATE-01"""

    async def one(verb: str, path: str, body: bytes | None = None) -> tuple[int, Any]:
        return await asyncio.to_thread(ask, gateway, verb, path, body)

    answers = await asyncio.gather(*(one("POST", "/echo", b"x" * 900_000) for _ in range(10)))
    assert [status for status, _ in answers] == [200] * 10
    assert {json.loads(said)["size"] for _, said in answers} == {900_000}
    counted = [status for status, _ in await asyncio.gather(*(one("GET", "/few") for _ in range(2 * LIMIT)))]
    assert (counted.count(200), counted.count(429)) == (LIMIT, LIMIT)
