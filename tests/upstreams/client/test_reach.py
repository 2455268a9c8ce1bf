"""EGR-01: the first address that takes the connection, and none but those that were checked."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from mantlet.core.refusal import EgressDenied
from mantlet.upstreams.client import reach as module
from mantlet.upstreams.client.reach import reach


@pytest.fixture
async def port() -> AsyncIterator[int]:
    def hang_up(_: Any, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


def resolving(*addresses: str) -> Any:
    async def resolve(host: str, port: int) -> tuple[str, ...]:
        assert host == "a.invalid"
        return addresses

    return resolve


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["127.0.0.2", "127.0.0.1"], ["::1", "127.0.0.1"], ["::1", "127.0.0.2", "127.0.0.3", "127.0.0.1"]],
)
async def test_an_address_that_refuses_gives_way_to_the_next(port: int, addresses: list[str]) -> None:
    connected = await reach("a.invalid", port, resolving(*addresses))
    assert connected.getpeername() == ("127.0.0.1", port)
    connected.close()


async def test_when_none_takes_it_the_last_word_is_told(port: int) -> None:
    for addresses in (["127.0.0.2"], ["127.0.0.2", "127.0.0.3"]):
        with pytest.raises(OSError):
            await reach("a.invalid", port, resolving(*addresses))


async def test_a_silent_address_has_a_head_start_only(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ATTEMPT_DELAY_S", 0.0)
    real, left = module._connected, asyncio.Event()

    async def connected(address: str, port: int) -> Any:
        if address == "192.0.2.1":
            try:
                await asyncio.Event().wait()
            finally:
                left.set()
        return await real(address, port)

    monkeypatch.setattr(module, "_connected", connected)
    made = await reach("a.invalid", port, resolving("192.0.2.1", "127.0.0.1"))
    assert made.getpeername()[0] == "127.0.0.1"
    made.close()
    await left.wait()


async def test_whoever_comes_second_is_closed(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ATTEMPT_DELAY_S", 0.0)
    real, gate, made = module._connected, asyncio.Event(), []

    async def connected(address: str, port: int) -> Any:
        made.append(await real("127.0.0.1", port))
        if len(made) == 2:
            gate.set()
        await gate.wait()  # both have a connection in the same turn
        return made[int(address[-1]) - 1]

    monkeypatch.setattr(module, "_connected", connected)
    chosen = await reach("a.invalid", port, resolving("127.0.0.1", "127.0.0.2"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [one.fileno() == -1 for one in made].count(True) == 1
    assert chosen.fileno() != -1
    chosen.close()


async def test_what_the_guard_refuses_is_not_tried() -> None:
    async def refuse(host: str, port: int) -> tuple[str, ...]:
        raise EgressDenied(why="no")

    with pytest.raises(EgressDenied):
        await reach("a.invalid", 1, refuse)


async def test_leaving_closes_what_was_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, left = asyncio.Event(), asyncio.Event()

    async def connected(address: str, port: int) -> Any:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            left.set()

    monkeypatch.setattr(module, "_connected", connected)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(reach("a.invalid", 1, resolving("192.0.2.1", "192.0.2.2")))
        await begun.wait()
        task.cancel()
    await left.wait()
