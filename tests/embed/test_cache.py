"""The cache as a program has it. What it does within is proved in tests/policies/cache."""

import asyncio
from typing import Any

import pytest

from mantlet.embed import Cache, ComputeFailed


async def test_each_gets_a_copy_of_its_own() -> None:
    async with Cache() as cache:

        async def made() -> Any:
            return {"list": [1]}

        first = await cache.get_or_compute("k", made)
        first["list"].append(2)
        assert await cache.get_or_compute("k", made) == {"list": [1]}


async def test_a_failure_is_everybodys_who_waited_and_nobodys_after() -> None:
    """CACHE-02, CACHE-03"""
    gate = asyncio.Event()
    times = 0

    async def failing() -> Any:
        nonlocal times
        times += 1
        await gate.wait()
        raise KeyError("gone")

    async with Cache() as cache:
        asking = [asyncio.ensure_future(cache.get_or_compute("k", failing)) for _ in range(5)]
        await asyncio.sleep(0)
        gate.set()
        errors = await asyncio.gather(*asking, return_exceptions=True)
        assert sorted(type(error).__name__ for error in errors) == ["ComputeFailed"] * 4 + ["KeyError"]
        told = next(error for error in errors if isinstance(error, ComputeFailed))
        assert isinstance(told.__cause__, KeyError)
        assert (times, cache.get_cache_health()["entries"]) == (1, 0)
        with pytest.raises(KeyError):
            await cache.get_or_compute("k", failing)


async def test_two_programs_of_one_store_compute_once(valkey_url: str) -> None:
    """CACHE-03"""
    times = 0

    async def made() -> Any:
        nonlocal times
        times += 1
        await asyncio.sleep(0.05)
        return times

    async with Cache(valkey_url, ttl=60) as one, Cache(valkey_url, ttl=60) as other:
        key = Cache.generate_cache_key("two programs", {"b": 1, "a": 2})
        assert key == Cache.generate_cache_key("two programs", {"a": 2, "b": 1})
        assert key != Cache.generate_cache_key("two programs", a=2, b=1)
        caches = [one, other] * 10
        assert await asyncio.gather(*(cache.get_or_compute(key, made) for cache in caches)) == [1] * 20
        await one.forget(key)
        assert await one.get_or_compute(key, made) == 2


async def test_a_store_that_is_not_there_stops_nobody() -> None:
    async def made() -> Any:
        return 1

    async with Cache("valkey://127.0.0.1:9/0") as cache:
        assert await cache.get_or_compute("k", made) == 1
        assert cache.get_cache_health()["is_on"] is False


@pytest.mark.parametrize("wrong", [{"ttl": 0}, {"max_bytes": 0}, {"stale_while_revalidate": -1}])
def test_bounds_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Cache(**wrong)


async def test_it_is_opened_first() -> None:
    with pytest.raises(RuntimeError, match="async with"):
        await Cache().get_or_compute("k", lambda: asyncio.sleep(0))


async def test_a_failure_is_kept_where_that_was_asked_for_and_never_after_its_time() -> None:
    """CACHE-02, CACHE-04"""
    times = 0

    async def failing() -> Any:
        nonlocal times
        times += 1
        raise KeyError("gone")

    async with Cache(negative_ttl=0.2, stale_while_revalidate=60, early_refresh=0) as cache:
        with pytest.raises(KeyError):
            await cache.get_or_compute("k", failing)
        for _ in range(3):
            with pytest.raises(ComputeFailed, match="KeyError: 'gone'") as told:
                await cache.get_or_compute("k", failing)
            assert told.value.__cause__ is None, "it would keep the frames that it came through"
        assert times == 1
        await asyncio.sleep(0.25)
        with pytest.raises(KeyError):
            await cache.get_or_compute("k", failing)
        assert times == 2
