"""A server on the official SDK behind the cache, which answers with streams as servers do; callers of both eras."""

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bench.rig.gateway import Gateway, config, start_gateway
from bench.rig.gateway import http as http_server
from tests.node.processes.support import post

SERVER = str(Path(__file__).parents[2] / "servers" / "everything.py")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with subprocess.Popen([sys.executable, SERVER, "--http", "0"], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline().split()[1])
        cache = {"enabled": True, "tools": ["sdk__change", "sdk__log"]}
        try:
            whole = config([http_server("sdk", f"http://127.0.0.1:{port}/mcp")], cache=cache)
            with start_gateway(whole, tmp_path_factory.mktemp("cache")) as running:
                yield running
        finally:
            server.terminate()


class Legacy:
    """A session of a legacy client."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._session = ""
        info = {"name": "t", "version": "1"}
        self.ask("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": info})
        self.ask("notifications/initialized", {}, is_request=False)

    def ask(self, method: str, params: dict[str, Any], *, is_request: bool = True) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", int(self._gateway.url.rpartition(":")[2]), timeout=15)
        headers = {
            "Authorization": f"Bearer {self._gateway.token}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
        }
        if self._session:
            headers |= {"Mcp-Session-Id": self._session, "MCP-Protocol-Version": "2025-11-25"}
        body = {"jsonrpc": "2.0", "method": method, "params": params, **({"id": 5} if is_request else {})}
        try:
            connection.request("POST", "/mcp/sdk", json.dumps(body), headers)
            answer = connection.getresponse()
            self._session = answer.getheader("Mcp-Session-Id") or self._session
            text = answer.read().decode()
        finally:
            connection.close()
        data = [line[6:] for line in text.splitlines() if line.startswith("data: {")]
        return json.loads(data[-1] if data else text or "{}")


def changed(answer: dict[str, Any]) -> str:
    return str(answer["result"]["content"][0]["text"])


def test_a_modern_client_is_answered_again(gateway: Gateway) -> None:
    """CACHE-01"""
    arguments = {"uri": "test://modern"}
    first = post(gateway, "sdk", "tools/call", "change", arguments=arguments)[1]
    again = post(gateway, "sdk", "tools/call", "change", arguments=arguments)[1]
    other = post(gateway, "sdk", "tools/call", "change", arguments={"uri": "test://else"})[1]
    assert changed(first) == changed(again) != changed(other)
    assert first == again


def test_a_legacy_client_is_answered_again_in_another_session_too(gateway: Gateway) -> None:
    call = {"name": "change", "arguments": {"uri": "test://legacy"}}
    one, two = Legacy(gateway), Legacy(gateway)
    first, again, other = one.ask("tools/call", call), one.ask("tools/call", call), two.ask("tools/call", call)
    assert changed(first) == changed(again) == changed(other)
    assert first["id"] == other["id"] == 5
    assert one.ask("tools/list", {}) == two.ask("tools/list", {})


def test_what_says_more_than_its_answer_comes_as_it_is_said(gateway: Gateway) -> None:
    """CACHE-02: a stream is nobody else's."""
    session = Legacy(gateway)
    for _ in range(2):
        answer = session.ask("tools/call", {"name": "log", "arguments": {"text": "a"}})
        assert answer["id"] == 5
        assert "result" in answer
