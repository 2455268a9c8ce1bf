"""Waiters that leave, in numbers, leave nothing behind (CACHE-03)."""

import asyncio
import gc
import random
import weakref
from typing import Any

import pytest
from tests.policies.cache.support import house, tool, turns

from mantlet.policies.cache.cache import Ask, Made


def things() -> int:
    gc.collect()
    return len(gc.get_objects())


async def leave(h: Any, count: int, ask: Ask[Any]) -> None:
    """`count` come, some at a time, and leave again while the computation goes on."""
    for _ in range(count // 1_000):
        waiting = [asyncio.ensure_future(h.cache.get_or_compute(ask)) for _ in range(1_000)]
        await turns(2)
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


@pytest.mark.parametrize("count", [10_000, pytest.param(100_000, marks=pytest.mark.slow)])
async def test_cancelled_waiters_leave_nothing_behind(count: int) -> None:
    """CACHE-03: no callback, no future, no memory, while the one they waited for goes on."""
    async with house() as h:
        gate = asyncio.Event()

        async def compute() -> Made[Any]:
            await gate.wait()
            return Made("value")

        ask: Ask[Any] = Ask(b"k" * 32, compute)
        stays = asyncio.ensure_future(h.cache.get_or_compute(ask))
        await turns()
        await leave(h, 1_000, ask)
        before = things()
        await leave(h, count, ask)
        assert abs(things() - before) < 50
        flight = h.cache._flights.get(ask.key)
        assert flight is not None
        assert len(flight.waiters) == 1
        gate.set()
        assert await stays == Made("value")
        del stays, flight
        await turns()
        assert len(h.cache._flights) == 0
        assert len(h.tasks) == 0


async def test_an_ended_flight_is_freed() -> None:
    async with house() as h:
        h.server.gate = asyncio.Event()
        asking = [asyncio.create_task(h.ask()) for _ in range(3)]
        await turns()
        [flight] = h.cache._flights._flights.values()
        gone = weakref.ref(flight.task)  # type: ignore[arg-type]
        del flight
        h.server.gate.set()
        await asyncio.gather(*asking)
        await turns()
        asking.clear()
        gc.collect()
        assert gone() is None


async def test_whoever_comes_and_goes_in_whatever_order_is_answered() -> None:
    """CACHE-03: seeded histories of callers that come, leave, and fail."""
    for seed in range(200):
        chance = random.Random(seed)
        async with house() as h:
            h.server.gate = asyncio.Event()
            waiting: list[asyncio.Task[Any]] = []
            left: set[asyncio.Task[Any]] = set()
            for number in range(40):
                move = chance.random()
                if move < 0.6 or not waiting:
                    waiting.append(asyncio.create_task(h.ask(tool(raw_id=b"%d" % number))))
                elif move < 0.85:
                    one = chance.choice(waiting)
                    one.cancel()
                    left.add(one)
                elif move < 0.95:
                    h.server.gate.set()
                    await turns(chance.randrange(4))
                    h.server.gate.clear()
                else:
                    h.cache.forget("one")
                await turns(chance.randrange(3))
            h.server.gate.set()
            for one in waiting:
                result = (await asyncio.gather(one, return_exceptions=True))[0]
                if isinstance(result, BaseException):
                    assert one in left
                    assert isinstance(result, asyncio.CancelledError)
                else:
                    assert result["result"] == h.server.result
            await turns()
            assert len(h.cache._flights) == 0
            assert len(h.tasks) == 0
