"""Nothing outlives the node, whatever ends it (spec 9.1, MCP-08)."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.upstreams.transports.channel.support import alive, until

NODE = """
import asyncio, json, sys
from tests.upstreams.transports.channel.support import PlainSealer, spawning, server_command, text_of, tool
from mantlet.upstreams.transports.stdio.config import StdioServerConfig
from mantlet.upstreams.transports.channel.server import ChannelServer

async def main():
    config = StdioServerConfig(name="t", command=server_command("lines.py", "--era", "modern"))
    server = ChannelServer(config, PlainSealer(), spawning(config))
    await server.start()
    pids = [json.loads(text_of(await server.send(tool(name)))) for name in ("grandchild", "daemon")]
    pids += [(await server.health())["pid"], server._primary._child._transport.get_pid()]
    print(json.dumps(pids), flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@contextmanager
def node() -> Iterator[tuple[subprocess.Popen[bytes], list[int]]]:
    """A program with a server; gives the pids of grandchild, daemon, child and launcher."""
    with subprocess.Popen([sys.executable, "-c", NODE], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        pids = json.loads(process.stdout.readline())
        try:
            yield process, pids
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_killed_node_leaves_no_child_grandchild_or_daemon(number: int) -> None:
    with node() as (process, pids):
        assert len(pids) == 4
        assert all(map(alive, pids))
        process.send_signal(number)
        process.wait()
        await until(lambda: not any(map(alive, pids)))


async def test_a_killed_launcher_leaves_no_child_or_grandchild() -> None:
    """All but a grandchild that left the group: of that only the launcher knew."""
    with node() as (_, (grandchild, daemon, child, launcher)):
        os.kill(launcher, signal.SIGKILL)
        await until(lambda: not any(map(alive, (child, grandchild))))
        os.kill(daemon, signal.SIGKILL)
