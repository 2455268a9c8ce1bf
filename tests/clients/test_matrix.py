"""Every real client through the gateway to every real server.

Fast: the Python clients to `mcp-server-time`. The rest starts node programs, or takes long.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cast import CLIENTS, SERVERS, Client, Server

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
def test_a_client_reaches_a_server_of_its_era_and_is_told_when_there_is_none(
    client: Client, server: Server, door: Callable[[Server], Any], tmp_path: Path
) -> None:
    if why := client.missing():
        pytest.skip(why)
    way = door(server)
    seen = client.run(way.url, way.token, server.tool, way.arguments, tmp_path)
    if client.eras & server.eras:
        assert not seen.error
        assert server.tool in seen.tools
        assert server.answer.search(seen.text)
    else:
        # Crossing eras comes later; until then the refusal says what is wrong, in words a person reads.
        assert "era" in seen.error.lower(), seen.error


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
