"""A server that moves, or whose limits change, without a restart of the node."""

import sys
from pathlib import Path
from typing import Any

import pytest
from bench.lab import era_arguments
from bench.rig.gateway import config, http, start_gateway
from bench.rig.process import free_port, running
from tests.node.processes.support import eventually, is_live
from tests.node.running.test_reload import change, echo, hang_up, trail

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("cached", [False, True])
def test_workers_are_exchanged_for_some_that_know_the_new_place(tmp_path: Path, cached: bool) -> None:
    """What the old place answered is in the cache under the server's name: then it takes a restart, and says so."""
    port, elsewhere = free_port(), free_port()
    whole = config([{**http("sdk", f"http://127.0.0.1:{elsewhere}/mcp"), "era": "modern"}])
    whole["http"]["workers"] = 2
    whole["cache"] = {"enabled": cached}
    command = [sys.executable, "-m", "bench.servers.http_echo", "--port", str(port), *era_arguments("modern")]

    def move(whole: dict[str, Any]) -> None:
        whole["mcp"]["servers"][0]["url"] = f"http://127.0.0.1:{port}/mcp"

    with running(command, port, tmp_path / "server.log"), start_gateway(whole, tmp_path / "node") as gateway:
        eventually(lambda: is_live(gateway))
        assert echo(gateway) == 503, "nobody is there"
        change(gateway, move)
        hang_up(gateway)
        if not cached:
            eventually(lambda: echo(gateway) == 200, 60)
            return
        eventually(lambda: any(record["event"] == "config.refused" for record in trail(gateway)))
        refused = next(record for record in trail(gateway) if record["event"] == "config.refused")
        assert (
            "mcp.servers[sdk].url: changed, and takes a restart, because cache or fallback" in refused["notes"]["why"]
        )
