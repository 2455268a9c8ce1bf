"""What every `Post` promises, over every one of them."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
from tests.contracts.outside import OUTSIDE, connected, fail, store_named

from mantlet.core.ports import Post
from mantlet.stores.post import LocalPost
from mantlet.stores.valkey.post import ValkeyPost


@pytest.fixture(params=["local", *OUTSIDE])
async def two(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Post, Post]]:
    """Two processes' ends, in one loop."""
    if request.param == "local":
        houses: dict[str, LocalPost] = {}
        yield LocalPost(houses), LocalPost(houses)
        return
    store = store_named(request, request.param)
    async with connected(store) as client:
        ends = [
            ValkeyPost(store.url, client, access=store.access, chance=random.random, on_error=fail) for _ in range(2)
        ]
        for end in ends:
            await end.start()
        yield ends[0], ends[1]
        for end in ends:
            await end.stop()


async def test_a_message_reaches_the_box_it_names_in_the_order_sent(two: tuple[Post, Post]) -> None:
    here, there = two
    heard: list[bytes] = []
    done = asyncio.Event()

    def listen(message: bytes) -> None:
        heard.append(message)
        if len(heard) == 100:
            done.set()

    there.open("calls", listen)
    there.open("others", lambda message: heard.append(b"wrong"))
    for n in range(100):
        assert await here.send(there.address, "calls", b"%d\n\0\xff" % n)
    async with asyncio.timeout(5):
        await done.wait()
    assert heard == [b"%d\n\0\xff" % n for n in range(100)]


async def test_a_process_writes_to_itself_too(two: tuple[Post, Post]) -> None:
    here, _ = two
    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    here.open("me", heard.set_result)
    assert await here.send(here.address, "me", b"hello")
    assert not heard.done()  # in a turn of its own
    async with asyncio.timeout(5):
        assert await heard == b"hello"


async def test_nobody_lives_at_an_unknown_address(two: tuple[Post, Post]) -> None:
    assert not await two[0].send("nowhere", "calls", b"x")


async def test_a_closed_box_hears_nothing(two: tuple[Post, Post]) -> None:
    here, there = two
    heard: list[bytes] = []
    done = asyncio.Event()
    there.open("shut", heard.append)
    there.open("last", lambda _: done.set())
    there.close("shut")
    await here.send(there.address, "shut", b"x")
    await here.send(there.address, "last", b"x")
    async with asyncio.timeout(5):
        await done.wait()
    assert heard == []


async def test_an_end_that_stopped_is_reached_no_longer(two: tuple[Post, Post]) -> None:
    here, there = two
    if isinstance(there, LocalPost):
        there.leave()
    else:
        assert isinstance(there, ValkeyPost)
        await there.stop()
    async with asyncio.timeout(5):
        while await here.send(there.address, "calls", b"x"):
            await asyncio.sleep(0.001)
