"""Several processes that share a store; the store is a real one."""

import asyncio
import random
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from typing import Any, Literal

import pytest
from tests.policies.cache.support import House, answer, house, tool, turns
from tests.policies.support import call

from mantlet.core.call import Reply
from mantlet.core.refusal import BadUpstream, UpstreamUnavailable
from mantlet.policies.cache.failure import is_servers, name_of, named
from mantlet.stores.valkey.cache import ValkeyCache
from mantlet.stores.valkey.client import ValkeyClient


def fail(error: BaseException) -> None:
    raise error


@asynccontextmanager
async def process(url: str, **config: Any) -> AsyncIterator[House]:
    client = ValkeyClient(url, chance=random.random, on_error=fail, timeout_s=5.0)
    assert await client.start(10.0)
    store = ValkeyCache(client, url, max_bytes=10_000_000, chance=random.random, on_error=fail)
    await store.start()
    async with house(store, **config) as h:
        h.revision = "shared"
        yield h
        await turns()
    await store.close()
    await client.close()


@pytest.fixture
def text() -> dict[str, Any]:
    """What no other test asks."""
    return {"arguments": {"q": secrets.token_hex(8)}}


@asynccontextmanager
async def processes(url: str, count: int, **config: Any) -> AsyncIterator[list[House]]:
    async with AsyncExitStack() as opened:
        yield [await opened.enter_async_context(process(url, **config)) for _ in range(count)]


async def test_four_processes_make_one_call(valkey_url: str, text: dict[str, Any]) -> None:
    """CACHE-03"""
    async with processes(valkey_url, 4) as four:
        gate = asyncio.Event()
        for h in four:
            h.server.gate = gate
        asking = [asyncio.create_task(h.ask(tool(params=text))) for h in four for _ in range(25)]
        async with asyncio.timeout(10):
            while not any(h.calls for h in four):
                await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)  # the others come to wait; those that do not are answered from the store
        gate.set()
        told = await asyncio.gather(*asking)
        assert sum(h.calls for h in four) == 1
        assert all(one["result"] == four[0].server.result for one in told)
        for h in four:
            await h.ask(tool(params=text))
        assert sum(h.calls for h in four) == 1
        assert sum(h.cache.figures.from_store for h in four) == 3


async def test_an_error_is_shared_once_and_not_kept(valkey_url: str, text: dict[str, Any]) -> None:
    """CACHE-02, CACHE-03"""
    for error in (UpstreamUnavailable(why="down"), None):
        async with processes(valkey_url, 2) as (one, two):
            gate = one.server.gate = two.server.gate = asyncio.Event()
            for h in (one, two):
                h.server.error = error
                h.server.reply = lambda call: answer(call, error={"code": 7, "message": "no"})
            first = asyncio.create_task(one.step(tool(params=text), one.server))
            await one.server.came.wait()
            second = asyncio.create_task(two.step(tool(params=text), two.server))
            async with asyncio.timeout(10):
                while two.cache.figures.misses == 0:
                    await asyncio.sleep(0.005)
            await asyncio.sleep(0.05)
            gate.set()
            results = await asyncio.gather(first, second, return_exceptions=True)
            if error is None:
                assert all(isinstance(result, Reply) and b'"code":7' in result.body.replace(b" ", b"")  # type: ignore[union-attr]
                           for result in results)  # fmt: skip
            else:
                assert [type(result) for result in results] == [UpstreamUnavailable] * 2
            assert (one.calls, two.calls) == (1, 0)
            with pytest.raises(UpstreamUnavailable) if error else nullcontext():
                await two.step(tool(params=text), two.server)
            assert two.calls == 1


@pytest.mark.parametrize("said", ["", "no", "busy"])
def test_a_refusal_is_told_other_processes_with_whether_the_server_did_answer(said: Literal["", "no", "busy"]) -> None:
    """CACHE-04"""
    refusal = BadUpstream(why="it")
    refusal.said = said
    again = named(name_of(refusal))
    assert isinstance(again, BadUpstream)
    assert (again.said, is_servers(again)) == (said, not said)
    assert named(b"nobody") is None


async def test_what_was_for_one_alone_is_asked_by_each_process(valkey_url: str, text: dict[str, Any]) -> None:
    """CACHE-02"""
    async with processes(valkey_url, 2) as (one, two):
        gate = one.server.gate = two.server.gate = asyncio.Event()
        for h in (one, two):
            h.server.result = {"resultType": "input_required", "requestState": "s"}
        first = asyncio.create_task(one.ask(tool(params=text)))
        await one.server.came.wait()
        second = asyncio.create_task(two.ask(tool(params=text)))
        async with asyncio.timeout(10):
            while two.cache.figures.misses == 0:
                await asyncio.sleep(0.005)
        gate.set()
        await asyncio.gather(first, second)
        assert (one.calls, two.calls) == (1, 1)


async def test_the_last_to_leave_gives_the_right_back(valkey_url: str, text: dict[str, Any]) -> None:
    async with processes(valkey_url, 2) as (one, two):
        one.server.gate = asyncio.Event()
        first = asyncio.create_task(one.ask(tool(params=text)))
        await one.server.came.wait()
        second = asyncio.create_task(two.ask(tool(params=text)))
        first.cancel()
        async with asyncio.timeout(1.5):  # less than a lease
            assert (await second)["result"] == two.server.result


async def test_leaders_that_leave_one_after_the_other_hold_up_nobody(valkey_url: str, text: dict[str, Any]) -> None:
    """CACHE-03: at every step of their way, in three processes, while others of them go on waiting."""
    async with processes(valkey_url, 3) as three:
        for h in three:
            h.server.gate = asyncio.Event()
        staying = []
        for number in range(60):
            asking = asyncio.create_task(three[number % 3].ask(tool(params=text)))
            if number % 20 == 10:
                staying.append(asking)
                continue
            for _ in range(number % 7):
                await asyncio.sleep(0)
            if number % 5 == 0:
                await asyncio.sleep(0.002)  # long enough for the store to have answered, now and then
            asking.cancel()
        for h in three:
            assert h.server.gate is not None
            h.server.gate.set()
        async with asyncio.timeout(10):
            told = await asyncio.gather(*staying, *(h.ask(tool(params=text)) for h in three))
        assert all(one["result"] == three[0].server.result for one in told)
        await turns(20)
        assert [h.cache.under_way for h in three] == [0, 0, 0]


async def test_a_change_is_heard_by_all(valkey_url: str) -> None:
    """CACHE-05"""
    cursor = {"cursor": secrets.token_hex(8)}
    async with processes(valkey_url, 2) as (one, two):
        for h in (one, two):
            h.server.result = {"tools": [], "ttlMs": 600_000}
            await h.ask(call("tools/list", cursor))
        assert (one.calls, two.calls) == (1, 0)
        one.cache.forget("one/tools")
        async with asyncio.timeout(10):
            while not two.calls:
                await two.ask(call("tools/list", cursor))
                await asyncio.sleep(0.005)
        await one.ask(call("tools/list", cursor))
        assert one.calls + two.calls == 2


async def test_what_another_process_has_newer_is_not_fetched(valkey_url: str, text: dict[str, Any]) -> None:
    """CACHE-04: in the store it is some milliseconds old, here a hundred seconds."""
    async with processes(valkey_url, 2, ttl=60, stale_while_revalidate=1000, early_refresh=0) as (one, two):
        for h in (one, two):
            await h.ask(tool(params=text))
        h.now_s += 100
        assert "_meta" in (await h.ask(tool(params=text)))["result"]
        async with asyncio.timeout(10):
            while h.cache.under_way:
                await asyncio.sleep(0.005)
        assert "_meta" not in (await h.ask(tool(params=text)))["result"]
        assert (one.calls, two.calls) == (1, 0)


async def test_without_the_store_nothing_is_kept_and_calls_go_on(text: dict[str, Any]) -> None:
    """CACHE-05, spec 8.3"""
    client = ValkeyClient("unix:///nonexistent/valkey.sock", chance=random.random, on_error=fail)
    await client.start(0.1)
    store = ValkeyCache(client, "unix:///nonexistent/valkey.sock", max_bytes=1, chance=random.random, on_error=fail)
    async with house(store) as h:
        h.server.gate = asyncio.Event()
        asking = [asyncio.create_task(h.ask()) for _ in range(3)]
        await turns()
        h.server.gate.set()
        await asyncio.gather(*asking)
        assert h.calls == 1, "those who ask at once are told together all the same"
        await h.ask()
        assert h.calls == 2
        h.cache.forget("one")
        assert len(h.cache.memory) == 0
    await client.close()
