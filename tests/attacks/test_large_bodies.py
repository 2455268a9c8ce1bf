"""A client that sends all of a body before it reads is told why it was refused (HTTP-07)."""

import asyncio
import http.client
from pathlib import Path

import pytest
from tests.attacks.issuing import open_issuer

LARGE = 4 * 1024 * 1024


def ask(port: int, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("POST", path, body, {"Host": f"localhost:{port}", **headers})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("path", ["/oauth/token", "/mcp/one"])
async def test_four_megabytes_are_answered_413(tmp_path: Path, path: str) -> None:
    """413 and not a reset, also where the body is no JSON and its sender nobody."""
    async with open_issuer(tmp_path) as house:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        status, answer = await asyncio.to_thread(ask, house.calls.port, path, b"x" * LARGE, headers)
    assert (status, b"payload_too_large" in answer) == (413, True)
