"""What every `State` promises, over every one of them."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
from tests.contracts.outside import OUTSIDE, connected, fail, store_named

from mantlet.core.clock import SYSTEM
from mantlet.core.ports import State
from mantlet.core.refusal import StoreUnavailable
from mantlet.stores.state import MemoryState
from mantlet.stores.valkey.client import ValkeyClient
from mantlet.stores.valkey.state import ValkeyState


@pytest.fixture(params=["memory", *OUTSIDE])
async def state(request: pytest.FixtureRequest) -> AsyncIterator[State]:
    if request.param == "memory":
        yield MemoryState(SYSTEM)
        return
    async with connected(store_named(request, request.param)) as client:
        yield ValkeyState(client)


@pytest.fixture
def me(request: pytest.FixtureRequest) -> str:
    return f"{request.node.name}/{random.random()}"


async def test_what_was_put_stands_until_it_is_dropped(state: State, me: str) -> None:
    assert await state.get((me,)) is None
    await state.put((me,), b"one\r\n\0", 60)
    await state.put((me,), b"two", 60)
    assert await state.get((me,)) == b"two"
    await state.drop((me,))
    await state.drop((me,))
    assert await state.get((me,)) is None


async def test_of_many_claims_one_stands_and_all_hear_which(state: State, me: str) -> None:
    outcomes = await asyncio.gather(*(state.claim((me,), b"%d" % n, 60) for n in range(20)))
    assert len(set(outcomes)) == 1
    assert await state.get((me,)) == outcomes[0]


async def test_a_value_ends_with_its_time(state: State, me: str) -> None:
    await state.put((me,), b"short", 0.001)
    async with asyncio.timeout(5):
        while await state.get((me,)) is not None:
            await asyncio.sleep(0.001)
    assert await state.claim((me,), b"next", 60) == b"next"


async def test_parts_of_a_key_never_run_together(state: State, me: str) -> None:
    await state.put((me, "a:b", "c"), b"1", 60)
    await state.put((me, "a", "b:c"), b"2", 60)
    assert await state.get((me, "a:b", "c")) == b"1"
    assert await state.get((me, "a", "b:c")) == b"2"


async def test_a_store_that_is_gone_is_refused_at_once() -> None:
    client = ValkeyClient("unix:///nonexistent/valkey.sock", chance=random.random, on_error=fail)
    await client.start(0.1)
    state = ValkeyState(client)
    with pytest.raises(StoreUnavailable):
        await state.get(("x",))
    await client.close()


async def test_memory_keeps_the_newest_when_it_is_full() -> None:
    state = MemoryState(SYSTEM, max_keys=3)
    for n in range(5):
        await state.put((str(n),), b"x", 60)
    assert len(state) == 3
    assert await state.get(("0",)) is None
    assert await state.get(("4",)) == b"x"
