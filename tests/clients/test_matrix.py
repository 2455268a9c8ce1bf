"""Every real client through the gateway to every real server.

Fast: the Python clients to `mcp-server-time`. The rest starts node programs, or takes long.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cast import CLIENTS, SERVERS, Client, Inspector, Server

FAST = {"mcp2", "mcp2-modern", "mcp2-legacy", "fastmcp4"}


def _cells() -> list[Any]:
    cells = []
    for server in SERVERS:
        for client in CLIENTS:
            marks = []
            if client.needs_node or server.needs_node or client.needs:
                marks.append(pytest.mark.node)
            if client.name not in FAST or server.name != "time":
                marks.append(pytest.mark.slow)
            cells.append(pytest.param(client, server, id=f"{client.name}-{server.name}", marks=marks))
    return cells


@pytest.mark.parametrize(("client", "server"), _cells())
def test_a_client_reaches_a_server_of_either_era(
    client: Client, server: Server, door: Callable[[Server], Any], tmp_path: Path
) -> None:
    if why := client.missing():
        pytest.skip(why)
    way = door(server)
    seen = client.run(way.url, way.token, server.tool, way.arguments, tmp_path)
    assert not seen.error
    assert server.tool in seen.tools
    assert server.answer.search(seen.text)


def _whole() -> list[Any]:
    """Every client, once, at the endpoint of all servers."""
    marks = [pytest.mark.slow, pytest.mark.node]  # two of its servers are node's
    return [pytest.param(client, id=client.name, marks=marks) for client in CLIENTS]


@pytest.mark.parametrize("client", _whole())
def test_at_the_endpoint_of_all_servers_a_client_has_the_tools_of_all_and_calls_one(
    client: Client, whole: Any, tmp_path: Path
) -> None:
    if why := client.missing():
        pytest.skip(why)
    time = SERVERS[0]
    seen = client.run(whole.url, whole.token, time.tool, whole.arguments, tmp_path)
    assert not seen.error
    assert time.answer.search(seen.text)
    assert {server.name for server in whole.servers if server.tool not in seen.tools} == set()


@pytest.mark.parametrize("client", [pytest.param(c, id=c.name) for c in CLIENTS if c.name in FAST])
def test_a_client_with_a_wrong_token_gets_nothing(
    client: Client, door: Callable[[Server], Any], tmp_path: Path
) -> None:
    """AUTHN-01"""
    server = SERVERS[0]
    way = door(server)
    seen = client.run(way.url, way.token[:-3] + "AAA", server.tool, way.arguments, tmp_path)
    assert seen.error
    assert not seen.tools


def _shown_a_refusal() -> list[Any]:
    """Not the Inspector, which looks a tool up before it calls, and not mcp1, which shows the status alone."""
    cells = []
    for client in CLIENTS:
        if not isinstance(client, Inspector) and client.name != "mcp1":
            marks = [] if client.name in FAST else [pytest.mark.slow, pytest.mark.node]
            cells.append(pytest.param(client, id=client.name, marks=marks))
    return cells


@pytest.mark.parametrize("client", _shown_a_refusal())
def test_a_denied_call_tells_the_person_why(client: Client, door: Callable[[Server], Any], tmp_path: Path) -> None:
    """AUTHZ-07"""
    if why := client.missing():
        pytest.skip(why)
    way = door(SERVERS[0])
    seen = client.run(way.url, way.token, "exec", {}, tmp_path)
    assert "No rule allows tools/call" in seen.error
