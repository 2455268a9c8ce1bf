"""Which server Sentinel names, and that we follow when it is another one (RATE-05)."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.stores.servers import Servers, say, start_sentinels

from mantlet.core.clock import SYSTEM
from mantlet.core.ports import Charge
from mantlet.core.refusal import StoreUnavailable
from mantlet.core.secret import Secret
from mantlet.stores.failover import FailoverLimits
from mantlet.stores.limits import open_limits
from mantlet.stores.shared import open_shared
from mantlet.stores.valkey.access import Access
from mantlet.stores.valkey.opening import make_client
from mantlet.stores.valkey.sentinel import SentinelClient

ACCESS = Access(password=Secret("pw"))


def fail(error: BaseException) -> None:
    raise error


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(ConnectionError):  # who becomes a master sends its clients away
                found = condition()
                if found if isinstance(found, bool) else await found:
                    return
            await asyncio.sleep(0.01)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Servers]:
    servers = Servers(tmp_path)
    yield servers
    servers.close()


def url_of(sentinels: list[int]) -> str:
    return f"valkey+sentinel://{','.join(f'127.0.0.1:{port}' for port in sentinels)}/main"


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 10], ids=["exact", "leases are out"])
async def test_a_fail_over_is_followed_and_grants_no_second_quota(own: Servers, times: int) -> None:
    """RATE-03, RATE-05: the master hangs (SIGSTOP), Sentinels make another, and it wakes up as a replica."""
    sentinels, master, replica = start_sentinels(own, password="pw")
    changes: list[str] = []
    charge = Charge(("a",), 300 * times, 60)
    tools: Any = {"clock": SYSTEM, "chance": random.random, "on_error": fail}
    url = url_of(sentinels)
    async with (
        open_limits(url, ACCESS, sharers=2, on_change=lambda state, why: changes.append(state), **tools) as one,
        open_limits(url, ACCESS, sharers=2, **tools) as other,
        open_shared(url, ACCESS, **tools) as (state, post),
        open_shared(url, ACCESS, **tools) as (_, there),
    ):
        assert isinstance(one, FailoverLimits)
        assert isinstance(other, FailoverLimits)
        heard: list[bytes] = []
        there.open("box", heard.append)
        admitted = 0
        for number in range(100 * times):
            admitted += (await (one, other)[number % 2].take([charge])).allowed
        await state.put(("kept",), b"x", 60)
        await until(lambda: say(replica, "EXISTS", "mantlet:state:kept", login=("pw",)) == 1)
        own.stop(master)
        for number in range(50 * times):
            admitted += (await (one, other)[number % 2].take([charge])).allowed
        await until(lambda: say(replica, "ROLE", login=("pw",))[0] == "master")

        async def is_back() -> bool:
            nonlocal admitted
            for limits in (one, other):
                admitted += (await limits.take([charge])).allowed
                limits.look()  # a share that is spent asks the store no more: the node looks every second
            return "recovering" in changes

        await until(is_back)
        own.go_on(master)
        for number in range(600 * times):
            admitted += (await (one, other)[number % 2].take([charge])).allowed
        assert 150 * times <= admitted <= 300 * times
        assert [*dict.fromkeys(changes)] == ["degraded", "recovering"]  # one word more for each new reason

        async def is_heard() -> bool:
            try:
                return await post.send(there.address, "box", b"x") and await state.get(("kept",)) == b"x"
            except StoreUnavailable:
                return False

        await until(is_heard)
        await until(lambda: bool(heard))


async def test_a_name_that_sentinels_do_not_know_is_told(own: Servers) -> None:
    port = own.start("--sentinel")
    client = make_client(f"valkey+sentinel://127.0.0.1:{port},127.0.0.1:1/none", chance=random.random, on_error=fail)
    assert isinstance(client, SentinelClient)
    assert not await client.start()
    assert "no Sentinel names the master none" in client.why
    await client.close()


async def test_a_server_that_is_no_master_is_not_used(own: Servers) -> None:
    """What one Sentinel says of yesterday."""
    master = own.start()
    replica = own.start("--replicaof", f"127.0.0.1 {master}")
    port = own.start("--sentinel", f"sentinel monitor main 127.0.0.1 {replica} 2")
    client = make_client(f"valkey+sentinel://127.0.0.1:{port}/main", chance=random.random, on_error=fail)
    assert not await client.start()
    assert "no master" in client.why
    await client.close()


@pytest.mark.parametrize("answer", [b":7\r\n", b"*1\r\n$1\r\nh\r\n", b"*2\r\n$1\r\nh\r\n$1\r\nx\r\n", b"+OK\r\n"])
async def test_what_is_no_sentinel_is_told(tmp_path: Path, answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(b"+PONG\r\n" if b"PING" in data else answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = make_client(f"valkey+sentinel://127.0.0.1:{port}/main", chance=random.random, on_error=fail)
    assert not await client.start()
    assert "is no Sentinel" in client.why
    await client.close()
    server.close()
