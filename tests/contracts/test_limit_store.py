"""What every `LimitStore` promises, over every one of them; those outside the process are real servers."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
from tests.contracts.outside import OUTSIDE, connected, store_named

from mantlet.core.clock import SYSTEM
from mantlet.core.ports import Charge, LimitStore
from mantlet.stores.failover import FailoverLimits
from mantlet.stores.memory import MemoryLimits
from mantlet.stores.valkey.limits import SLOT, ValkeyLimits


@pytest.fixture(params=["memory", "failover", *OUTSIDE])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[LimitStore]:
    if request.param == "memory":
        yield MemoryLimits(SYSTEM)
        return
    is_failover = request.param == "failover"
    async with connected(store_named(request, "valkey" if is_failover else request.param)) as client:
        limits = ValkeyLimits(client)
        if is_failover:
            yield FailoverLimits(
                limits, SYSTEM, on_failure="local_share", sharers=1, epoch=lambda: client.epoch_of(SLOT)
            )
        else:
            yield limits


@pytest.fixture
def me(request: pytest.FixtureRequest) -> str:
    """A key of the test's own: the shared server is not emptied between tests."""
    return f"{request.node.name}/{random.random()}"


async def test_admits_up_to_the_limit_and_then_says_when(store: LimitStore, me: str) -> None:
    """RATE-01"""
    charge = Charge((me,), 3, 60)
    remaining = [(await store.take([charge])).remaining for _ in range(3)]
    refused = await store.take([charge])
    assert remaining == [2, 1, 0]
    assert not refused.allowed
    assert (refused.refused, refused.tightest, refused.remaining) == (0, 0, 0)
    assert 55 < refused.reset_in_s <= 61.3


async def test_a_refusal_in_one_spends_nothing_in_the_others(store: LimitStore, me: str) -> None:
    """RATE-01"""
    wide, narrow = Charge((me, "wide"), 100, 60), Charge((me, "narrow"), 2, 60)
    last = Charge((me, "last"), 100, 1)
    for _ in range(2):
        assert (await store.take([wide, narrow, last])).allowed
    for _ in range(5):
        taken = await store.take([wide, narrow, last])
        assert (taken.refused, taken.remaining) == (1, 0)
    assert (await store.count(wide)).remaining == 98
    assert (await store.count(last)).remaining in (98, 100)  # its second may be over


async def test_the_charge_that_frees_last_is_named(store: LimitStore, me: str) -> None:
    short, long = Charge((me, "s"), 1, 30), Charge((me, "l"), 1, 3600)
    assert (await store.take([short, long])).allowed
    taken = await store.take([short, long])
    assert taken.refused == 1
    assert taken.reset_in_s > 3500


async def test_one_place_left_beside_a_spent_limit_is_not_the_refusing_one(store: LimitStore, me: str) -> None:
    roomy, spent = Charge((me, "r"), 2, 3600), Charge((me, "s"), 1, 60)
    assert (await store.take([roomy, spent])).allowed
    assert (await store.take([roomy, spent])).refused == 1
    assert (await store.take([roomy])).allowed


async def test_the_tightest_of_the_admitted_is_named(store: LimitStore, me: str) -> None:
    taken = await store.take([Charge((me, "a"), 50, 60), Charge((me, "b"), 5, 60), Charge((me, "c"), 20, 60)])
    assert (taken.refused, taken.tightest, taken.remaining, taken.reset_in_s) == (-1, 1, 4, 0.0)


async def test_a_key_named_twice_is_counted_twice(store: LimitStore, me: str) -> None:
    charge = Charge((me,), 3, 60)
    assert (await store.take([charge, charge])).allowed
    assert not (await store.take([charge, charge])).allowed
    assert (await store.take([charge])).allowed


async def test_cost_counts(store: LimitStore, me: str) -> None:
    charge = Charge((me,), 10, 60, cost=4)
    assert [(await store.take([charge])).allowed for _ in range(3)] == [True, True, False]
    assert (await store.take([Charge((me,), 10, 60, cost=2)])).remaining == 0


async def test_more_than_the_limit_at_once_never_fits(store: LimitStore, me: str) -> None:
    taken = await store.take([Charge((me,), 3, 60, cost=4)])
    assert not taken.allowed
    assert taken.reset_in_s > 0


async def test_count_takes_nothing_and_knows_the_unknown(store: LimitStore, me: str) -> None:
    charge = Charge((me,), 3, 60)
    assert (await store.count(charge)).remaining == 3
    assert (await store.count(charge)).remaining == 3
    await store.take([charge])
    counted = await store.count(charge)
    assert (counted.allowed, counted.remaining) == (True, 2)


async def test_count_of_a_spent_window_says_refused(store: LimitStore, me: str) -> None:
    charge = Charge((me,), 1, 60)
    await store.take([charge])
    counted = await store.count(charge)
    assert (counted.allowed, counted.remaining) == (False, 0)
    assert counted.reset_in_s > 50


async def test_the_same_charge_fits_at_the_reset_and_not_before(store: LimitStore, me: str) -> None:
    charge = Charge((me,), 2, 0.5)
    await store.take([charge])
    taken = await store.take([charge])
    assert 0 < taken.reset_in_s <= 0.52
    refused = await store.take([charge])
    loop = asyncio.get_running_loop()
    again_s = loop.time() + refused.reset_in_s
    while loop.time() < again_s - 0.05:
        assert not (await store.take([charge])).allowed
        await asyncio.sleep(0.02)
    await asyncio.sleep(max(0.0, again_s - loop.time()))
    assert (await store.take([charge])).allowed


async def test_reset_forgets_what_is_under_a_prefix_and_nothing_else(store: LimitStore, me: str) -> None:
    mine = [Charge((me, "a", "client"), 1, 60), Charge((me, "a", "burst"), 1, 1)]
    others = [Charge((me, "ab", "client"), 1, 60), Charge((me, "*", "client"), 1, 60)]
    await store.take([*mine, *others])
    assert await store.reset((me, "a")) == 2
    assert [(await store.count(charge)).remaining for charge in (*mine, others[0], others[1])] == [1, 1, 0, 0]
    assert (await store.take([mine[0]])).allowed


async def test_a_wildcard_in_a_prefix_is_a_letter(store: LimitStore, me: str) -> None:
    await store.take([Charge((me, "a"), 1, 60)])
    assert await store.reset((me, "*")) == 0
    assert await store.reset((me, "?")) == 0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a/b", "c"), ("a", "b/c")),
        (("a:b", "c"), ("a", "b:c")),
        (("a%3Ab",), ("a:b",)),
        (("a", ""), ("a",)),
        (("", "a"), ("a", "")),
        (("é",), ("e\u0301",)),
        (("x" * 300,), ("x" * 301,)),
        (("a\r\nb",), ("a\nb",)),
        (("{limits}",), ("limits",)),
    ],
)
async def test_no_two_keys_meet(store: LimitStore, me: str, one: tuple[str, ...], other: tuple[str, ...]) -> None:
    await store.take([Charge((me, *one), 1, 60)])
    assert (await store.count(Charge((me, *other), 1, 60))).remaining == 1
    assert (await store.count(Charge((me, *one), 1, 60))).remaining == 0


async def test_a_window_of_another_length_is_another_window(store: LimitStore, me: str) -> None:
    await store.take([Charge((me,), 1, 60)])
    assert (await store.take([Charge((me,), 1, 61)])).allowed


async def test_concurrent_takes_admit_exactly_the_limit(store: LimitStore, me: str) -> None:
    """RATE-03"""
    charge = Charge((me,), 40, 60)
    taken = await asyncio.gather(*(store.take([charge]) for _ in range(200)))
    assert sum(one.allowed for one in taken) == 40
