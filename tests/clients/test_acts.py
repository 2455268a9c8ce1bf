"""Any client to any server: every act of every pair goes well, or is answered by the error that the protocol names.

The pairs, and how each is started, stand in matrix.py; the table of docs/conformance.md is written by it.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest
from bench.rig.gateway import Gateway
from tests.clients.matrix import ACTS, MCP1_PYTHON, PLAYERS, SERVERS, Played, Player, stage

NO_OPTION: Final = "its command line cannot do that"
EXPECTED: Final[Mapping[str, Mapping[str, str]]] = {
    "inspector": dict.fromkeys(("progress", "elicitation", "sampling", "subscription", "cancellation"), NO_OPTION),
}
"""What a client cannot do whatever the server, by act: the words that say so."""
FAST: Final = {("mcp2-legacy", "modern-http")}


def needs_mcp1(server: Played) -> bool:
    return str(MCP1_PYTHON) in [*server.command, *server.entry.get("command", ())]


def cells() -> Iterator[Any]:
    for player in PLAYERS:
        for server in SERVERS:
            marks = [] if (player.name, server.name) in FAST else [pytest.mark.slow]
            if player.needs_node or player.command[0] == str(MCP1_PYTHON) or needs_mcp1(server):
                marks.append(pytest.mark.node)
            yield pytest.param(player, server, id=f"{player.name}-{server.name}", marks=marks)


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    servers = tuple(server for server in SERVERS if MCP1_PYTHON.exists() or not needs_mcp1(server))
    with stage(tmp_path_factory.mktemp("acts"), servers=servers) as opened:
        yield opened


@pytest.mark.parametrize(("player", "server"), list(cells()))
def test_every_act_of_every_pair_goes_well_or_is_answered(player: Player, server: Played, gateway: Gateway) -> None:
    if why := player.missing():
        pytest.skip(why)
    if needs_mcp1(server) and not MCP1_PYTHON.exists():
        pytest.skip(f"{MCP1_PYTHON} is not there: `make node`")
    acts = player.play(gateway.mcp(server.name), gateway.mint(player.name), server)
    expected = EXPECTED.get(player.name, {})
    for act in ACTS:
        said = acts[act]["said"]
        if act in expected:
            assert re.search(expected[act], said), f"{act}: {said}"
        else:
            assert acts[act]["well"], f"{act}: {said}"
