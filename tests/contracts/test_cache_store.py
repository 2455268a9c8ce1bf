"""What a `CacheStore` promises, over every one of them."""

import asyncio
import random
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf

import pytest
from tests.contracts.outside import OUTSIDE, connected, fail, store_named

from mantlet.core.ports import Found, Lead, Wait
from mantlet.core.refusal import StoreUnavailable
from mantlet.stores.valkey.cache import ValkeyCache

SCOPES = ("", "one", "one/tools")


class Process:
    """One of several that share a store, and what it heard."""

    def __init__(self, store: ValkeyCache) -> None:
        self.store = store
        self.settled: list[tuple[bytes, bytes]] = []
        self.forgotten: list[str] = []
        self.told = asyncio.Event()
        store.listen(self._settled, self._forgotten)

    def _settled(self, key: bytes, news: bytes) -> None:
        self.settled.append((key, news))
        self.told.set()

    def _forgotten(self, scope: str) -> None:
        self.forgotten.append(scope)
        self.told.set()

    async def hear(self) -> None:
        async with asyncio.timeout(10):
            await self.told.wait()
        self.told.clear()


@pytest.fixture(params=OUTSIDE)
async def processes(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Process, Process]]:
    store = store_named(request, request.param)

    @asynccontextmanager
    async def one(max_bytes: int = 20_000) -> AsyncIterator[Process]:
        async with connected(store) as client:
            made = ValkeyCache(
                client, store.url, access=store.access, max_bytes=max_bytes, chance=random.random, on_error=fail
            )
            await made.start()
            async with asyncio.timeout(10):
                while not made.is_able:
                    await asyncio.sleep(0.01)  # several connections, each by itself
            yield Process(made)
            await made.close()

    async with one() as first, one() as second:
        await first.store.forget("")
        await second.hear()
        second.forgotten.clear()
        yield first, second


Two = tuple[Process, Process]


@pytest.fixture
def key() -> bytes:
    return secrets.token_bytes(32)


async def led(process: Process, key: bytes, scopes: tuple[str, ...] = SCOPES, lease_s: float = 60) -> Lead:
    turn = await process.store.enter(key, scopes, lease_s, inf)
    assert isinstance(turn, Lead), turn
    return turn


async def kept(process: Process, key: bytes, value: bytes, ttl_s: float = 60) -> None:
    assert await process.store.settle(key, SCOPES, await led(process, key), value, ttl_s, b"k")


async def test_one_leads_and_the_others_wait_and_are_told(processes: Two, key: bytes) -> None:
    """CACHE-03"""
    one, two = processes
    turns = await asyncio.gather(*(process.store.enter(key, SCOPES, 60, inf) for process in processes * 5))
    [lead] = [turn for turn in turns if isinstance(turn, Lead)]
    waits = [turn for turn in turns if isinstance(turn, Wait)]
    assert len(waits) == 9
    assert all(0 < wait.lease_s <= 60 for wait in waits)
    assert await one.store.settle(key, SCOPES, lead, b"\x00value\r\n", 60, b"news\x00")
    await two.hear()
    assert two.settled == [(key, b"news\x00")]
    found = await two.store.enter(key, SCOPES, 60, inf)
    assert isinstance(found, Found)
    assert found.value == b"\x00value\r\n"
    assert 0 <= found.age_s < 30


async def test_nobody_is_told_where_nobody_waits(processes: Two, key: bytes) -> None:
    one, two = processes
    await kept(one, key, b"x")
    await one.store.forget("one")
    await two.hear()
    assert two.settled == []
    assert two.forgotten == ["one"]
    assert one.forgotten == [], "who forgot knows"


async def test_a_lease_ends_and_its_holder_is_fenced(processes: Two, key: bytes) -> None:
    """CACHE-03: the owner died, or was away longer than its lease."""
    one, two = processes
    old = await led(one, key, lease_s=0.02)
    async with asyncio.timeout(10):
        while not isinstance(turn := await two.store.enter(key, SCOPES, 60, inf), Lead):
            assert isinstance(turn, Wait)
            await asyncio.sleep(turn.lease_s)
    assert turn.token > old.token
    assert not await one.store.settle(key, SCOPES, old, b"late", 60, b"k")
    assert not await one.store.hold(key, old.token, 60)
    assert await two.store.hold(key, turn.token, 60)
    assert await two.store.settle(key, SCOPES, turn, b"right", 60, b"k")
    assert not await two.store.settle(key, SCOPES, turn, b"twice", 60, b"k")
    found = await one.store.enter(key, SCOPES, 60, inf)
    assert isinstance(found, Found)
    assert found.value == b"right"


async def test_what_was_forgotten_is_old_and_what_was_asked_before_is_not_kept(processes: Two, key: bytes) -> None:
    """CACHE-05"""
    one, two = processes
    for scope in SCOPES:
        await kept(one, key, b"x")
        await two.store.forget(scope)
        lead = await led(one, key)
        await two.store.forget(scope)
        assert await one.store.settle(key, SCOPES, lead, b"asked before", 60, b"k")
        await one.store.settle(key, SCOPES, await led(one, key), b"", 0, b"g")
    await kept(one, key, b"x")
    await two.store.forget("two")
    await two.store.forget("one/prompts")
    assert isinstance(await two.store.enter(key, SCOPES, 60, inf), Found)


async def test_who_asks_after_a_change_does_not_wait_for_who_asked_before(processes: Two, key: bytes) -> None:
    """CACHE-05"""
    one, two = processes
    before = await led(one, key)
    await two.store.forget("one")
    after = await led(two, key)
    assert isinstance(await one.store.enter(key, SCOPES, 60, inf), Wait)
    assert not await one.store.settle(key, SCOPES, before, b"old", 60, b"k")
    assert await two.store.settle(key, SCOPES, after, b"new", 60, b"k")
    found = await one.store.enter(key, SCOPES, 60, inf)
    assert isinstance(found, Found)
    assert found.value == b"new"


async def test_older_than_wished_is_made_anew(processes: Two, key: bytes) -> None:
    one, _ = processes
    await kept(one, key, b"x")
    assert isinstance(await one.store.enter(key, SCOPES, 60, 3600.0), Found)
    assert isinstance(await one.store.enter(key, SCOPES, 60, 0.0), Lead)


async def test_a_value_ends_with_its_time(processes: Two, key: bytes) -> None:
    one, _ = processes
    await kept(one, key, b"x", ttl_s=0.001)
    async with asyncio.timeout(10):
        while isinstance(await one.store.enter(key, SCOPES, 0.001, inf), Found):
            await asyncio.sleep(0.001)


async def test_bytes_are_bounded_and_what_ends_first_goes_first(processes: Two) -> None:
    """CACHE-05"""
    one, _ = processes
    keys = [secrets.token_bytes(32) for _ in range(12)]
    for number, each in enumerate(keys):
        await kept(one, each, b"x" * 4000, ttl_s=600 - number)
        assert (await one.store.size())[1] <= 20_000
    assert (await one.store.size())[0] == 4
    left = [number for number, each in enumerate(keys)
            if isinstance(await one.store.enter(each, SCOPES, 0.001, inf), Found)]  # fmt: skip
    assert left == [0, 1, 2, 11], "the newest stands, of the others those that end last"
    await kept(one, secrets.token_bytes(32), b"x" * 30_000)
    assert (await one.store.size())[0] == 4, "what cannot fit is not kept"
    await one.store.forget("")
    assert await one.store.size() == (0, 0)


async def test_a_store_that_is_gone_is_refused_at_once_and_says_why() -> None:
    async with connected_nowhere() as store:
        assert not store.is_able
        assert store.why
        with pytest.raises(StoreUnavailable):
            await store.enter(bytes(32), SCOPES, 1, inf)


@asynccontextmanager
async def connected_nowhere() -> AsyncIterator[ValkeyCache]:
    from mantlet.stores.valkey.cache import open_cache_store

    async with open_cache_store(
        "unix:///nonexistent/valkey.sock", None, max_bytes=1, chance=random.random, on_error=fail
    ) as store:
        yield store
