import asyncio
import os
import signal
import socket
import stat
import sys
from pathlib import Path

import pytest

from mantlet.stores.valkey.client import ValkeyClient
from mantlet.stores.valkey.embedded import EmbeddedValkey

NODE = """
import asyncio
from mantlet.stores.valkey.embedded import EmbeddedValkey

async def main():
    server = EmbeddedValkey(on_error=print)
    print(await server.start(), server.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def ended(pid: int) -> None:
    """Return when the process is gone."""
    loop = asyncio.get_running_loop()
    watched = os.pidfd_open(pid)
    gone = asyncio.Event()
    loop.add_reader(watched, gone.set)
    try:
        async with asyncio.timeout(10):
            await gone.wait()
    finally:
        loop.remove_reader(watched)
        os.close(watched)


async def test_nobody_else_can_reach_it(server: tuple[EmbeddedValkey, str], client: ValkeyClient) -> None:
    path = Path(server[1].removeprefix("unix://"))
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert await client.call("CONFIG", "GET", "port") == [b"port", b"0"]


@pytest.mark.parametrize(
    ("option", "value"),
    [("maxmemory", b"67108864"), ("maxmemory-policy", b"noeviction"), ("save", b""), ("appendonly", b"no")],
)
async def test_memory_is_bounded_and_nothing_is_written(
    server: tuple[EmbeddedValkey, str], client: ValkeyClient, option: str, value: bytes
) -> None:
    """Evicting a window would hand out its quota again (RATE-02)."""
    assert await client.call("CONFIG", "GET", option) == [option.encode(), value]


@pytest.mark.skipif(sys.platform != "linux", reason="PDEATHSIG is Linux's")
async def test_it_dies_with_the_node_even_on_kill_9() -> None:
    node = await asyncio.create_subprocess_exec(sys.executable, "-c", NODE, stdout=asyncio.subprocess.PIPE)
    assert node.stdout is not None
    url, pid = (await node.stdout.readline()).split()
    server = os.pidfd_open(int(pid))
    os.close(server)
    gone = asyncio.gather(ended(int(pid)))
    await asyncio.sleep(0)
    node.kill()
    await gone
    await node.wait()
    path = Path(url.decode().removeprefix("unix://"))
    with socket.socket(socket.AF_UNIX) as door, pytest.raises(ConnectionRefusedError):
        door.connect(str(path))
    for left in path.parent.iterdir():
        left.unlink()
    path.parent.rmdir()


async def test_it_is_in_a_group_of_its_own(server: tuple[EmbeddedValkey, str]) -> None:
    """Ctrl-C is for the node, which needs its store while it drains."""
    assert server[0].pid is not None
    assert os.getpgid(server[0].pid) == server[0].pid


async def test_close_leaves_nothing_behind_even_when_it_hangs() -> None:
    server = EmbeddedValkey(on_error=lambda error: None)
    path = Path((await server.start()).removeprefix("unix://"))
    pid = server.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    gone = asyncio.gather(ended(pid))
    await asyncio.sleep(0)
    await server.close()
    await gone
    assert not path.parent.exists()
