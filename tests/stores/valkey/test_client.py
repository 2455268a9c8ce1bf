import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.waiting import until

from mantlet.core.ports import Charge
from mantlet.core.refusal import Overloaded, StoreUnavailable
from mantlet.stores.valkey.client import ValkeyClient, encode
from mantlet.stores.valkey.embedded import EmbeddedValkey
from mantlet.stores.valkey.limits import ValkeyLimits

CHARGE = Charge(("a",), 10**6, 60)

Serve = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


def fail(error: BaseException) -> None:
    raise error


@asynccontextmanager
async def fake(tmp_path: Path, answer: Callable[[bytes], bytes]) -> AsyncIterator[tuple[ValkeyClient, list[bytes]]]:
    """A server that answers PING, AUTH and SELECT, and everything else by `answer`; and what it was sent."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(2**20):
            heard.append(data)
            writer.write(b"+PONG\r\n" if data == encode("PING") else answer(data))
        writer.close()

    path = tmp_path / "s"
    server = await asyncio.start_unix_server(serve, path)
    client = ValkeyClient(f"unix://{path}", chance=random.random, on_error=fail, timeout_s=0.05, max_in_flight=20)
    assert await client.start()
    yield client, heard
    await client.close()
    server.close()


async def test_the_commands_of_one_turn_leave_in_one_write(tmp_path: Path) -> None:
    async with fake(tmp_path, lambda data: b":1\r\n" * data.count(b"*1")) as (client, heard):
        del heard[:]
        assert await asyncio.gather(*(client.call("X") for _ in range(16))) == [1] * 16
        assert heard == [encode("X") * 16]


async def test_a_late_answer_refuses_all_that_wait_and_the_next_at_once(tmp_path: Path) -> None:
    """RATE-05"""
    async with fake(tmp_path, lambda data: b"") as (client, _):
        answers = await asyncio.gather(*(client.call("X") for _ in range(5)), return_exceptions=True)
        assert [type(answer) for answer in answers] == [StoreUnavailable] * 5
        with pytest.raises(StoreUnavailable):
            client.send(encode("X"))  # not even awaited
        await until(lambda: client.is_ready)
        assert client.epoch == 2


async def test_commands_in_flight_are_bounded(tmp_path: Path) -> None:
    async with fake(tmp_path, lambda data: b"") as (client, _):
        waiting = [client.send(encode("X")) for _ in range(20)]
        with pytest.raises(Overloaded):
            client.send(encode("X"))
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_cancelled_waiter_does_not_shift_the_answers(tmp_path: Path) -> None:
    numbers = iter(range(10))
    async with fake(tmp_path, lambda data: b"".join(b":%d\r\n" % next(numbers) for _ in range(data.count(b"*1")))) as (
        client,
        _,
    ):
        first, second, third = (client.send(encode("X")) for _ in range(3))
        second.cancel()
        assert (await first, await third) == (0, 2)


@pytest.mark.parametrize("nonsense", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b":1\r\n:2\r\n:3\r\n", b"*-9\r\n"])
async def test_what_is_not_an_answer_ends_the_connection(tmp_path: Path, nonsense: bytes) -> None:
    async with fake(tmp_path, lambda data: nonsense) as (client, _):
        connection = client._connection
        await asyncio.gather(client.call("X"), return_exceptions=True)
        await until(lambda: client._connection is not connection)


async def test_a_server_error_is_store_unavailable(tmp_path: Path) -> None:
    async with fake(tmp_path, lambda data: b"-OOM command not allowed\r\n") as (client, _):
        with pytest.raises(StoreUnavailable, match="OOM"):
            await client.call("X")
        with pytest.raises(StoreUnavailable, match="OOM"):
            await ValkeyLimits(client).take([CHARGE])
        assert client.is_ready


async def test_it_logs_in_and_chooses_the_database(server: tuple[EmbeddedValkey, str], client: ValkeyClient) -> None:
    await client.call("ACL", "SETUSER", "gate", "on", ">s3cr:et", "~*", "+@all")
    path = server[1].removeprefix("unix://")
    await client.call("CONFIG", "SET", "requirepass", "other")
    good = ValkeyClient(f"unix://gate:s3cr%3Aet@localhost{path}?db=3", chance=random.random, on_error=fail)
    assert await good.start()
    assert b"db=3" in await good.call("CLIENT", "INFO")
    assert b"user=gate" in await good.call("CLIENT", "INFO")
    await good.close()
    bad = ValkeyClient(f"unix://gate:wrong@localhost{path}", chance=random.random, on_error=fail)
    assert not await bad.start(0.2)
    assert "log-in refused" in bad.why
    assert "wrong" not in bad.why
    await bad.close()


async def test_a_killed_store_is_refused_and_comes_back_by_itself(
    server: tuple[EmbeddedValkey, str], client: ValkeyClient
) -> None:
    """RATE-05"""
    limits = ValkeyLimits(client)
    assert (await limits.take([CHARGE])).allowed
    refused: list[StoreUnavailable] = []

    async def run() -> None:
        while not refused:
            try:
                await limits.take([CHARGE])
            except StoreUnavailable as error:
                refused.append(error)

    running = asyncio.gather(*(run() for _ in range(16)))
    await asyncio.sleep(0)
    assert server[0].pid is not None
    os.kill(server[0].pid, signal.SIGKILL)
    await running
    await until(lambda: client.is_ready)
    # The new server does not know the script yet.
    assert (await limits.take([CHARGE])).remaining == 10**6 - 1


async def test_a_hung_store_is_refused_within_the_timeout_and_comes_back(server: tuple[EmbeddedValkey, str]) -> None:
    """RATE-05: SIGSTOP."""
    client = ValkeyClient(server[1], chance=random.random, on_error=fail, timeout_s=0.1)
    assert await client.start()
    limits = ValkeyLimits(client)
    await limits.take([CHARGE])
    pid = server[0].pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        async with asyncio.timeout(5):
            with pytest.raises(StoreUnavailable):
                await limits.take([CHARGE])
        assert not client.is_ready
        with pytest.raises(StoreUnavailable):
            await limits.take([CHARGE])
    finally:
        os.kill(pid, signal.SIGCONT)
    await until(lambda: client.is_ready)
    # Not forgotten: the server only slept.
    assert (await limits.take([CHARGE])).remaining <= 10**6 - 2
    await client.close()


async def test_windows_expire_in_the_store(client: ValkeyClient) -> None:
    """RATE-02"""
    await ValkeyLimits(client).take([CHARGE, Charge(("b",), 5, 1)])
    names = await client.call("KEYS", "*limits}:[ab]:*")
    lifetimes_ms = sorted([await client.call("PTTL", name) for name in names])
    assert 900 < lifetimes_ms[0] <= 1041
    assert 60_000 < lifetimes_ms[1] <= 62_401


async def test_a_window_is_small(client: ValkeyClient) -> None:
    """RATE-02: 24 bytes until its second sub-bucket, 228 then."""
    limits = ValkeyLimits(client)
    await limits.take([Charge(("b",), 5, 0.2)])
    (name,) = await client.call("KEYS", "*limits}:[ab]:*")
    assert await client.call("STRLEN", name) == 24
    await asyncio.sleep(0.02)
    await limits.take([Charge(("b",), 5, 0.2)])
    assert await client.call("STRLEN", name) == 428
