"""One node as the client of another's doors, each a process of its own."""

import sys
from pathlib import Path

import pytest
from bench.rig.gateway import config, start_gateway, stdio
from bench.rig.process import free_port
from tests.node.processes.support import SERVER, eventually, post


@pytest.mark.slow
def test_a_nodes_websocket_and_tcp_doors_are_servers_to_another(tmp_path: Path) -> None:
    websocket, tcp = free_port(), free_port()
    far_config = config(
        [stdio("sdk", sys.executable, SERVER, "--stdio")],
        websocket={"enabled": True, "port": websocket},
        tcp={"enabled": True, "port": tcp},
    )
    (tmp_path / "far").mkdir()
    (tmp_path / "near").mkdir()
    with start_gateway(far_config, tmp_path / "far") as far:
        eventually(lambda: post(far, "sdk", "tools/list")[0] == 200)
        headers = {"Authorization": f"Bearer {far.token}"}
        near_config = config(
            [
                {"name": "all-ws", "url": f"ws://127.0.0.1:{websocket}/ws", "headers": headers},
                {"name": "one-ws", "url": f"ws://127.0.0.1:{websocket}/ws/sdk", "headers": headers},
                {"name": "all-tcp", "host": "127.0.0.1", "port": tcp, "token": far.token},
                {"name": "one-tcp", "host": "127.0.0.1", "port": tcp, "token": far.token, "server": "sdk"},
            ]
        )
        with start_gateway(near_config, tmp_path / "near") as near:
            for server in ("all-ws", "one-ws", "all-tcp", "one-tcp"):
                eventually(lambda server=server: post(near, server, "tools/list")[0] == 200)  # type: ignore[misc]
                status, answer = post(near, server, "tools/call", "add", arguments={"a": 2, "b": 3})
                assert status == 200
                assert answer["result"]["content"][0]["text"] == "5"
            assert far.token not in (tmp_path / "near" / "gateway.log").read_text()
