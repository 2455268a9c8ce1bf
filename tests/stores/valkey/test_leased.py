"""Leases against a real store; our own clock is turned by hand (RATE-01, RATE-03)."""

import asyncio
import random

import pytest

import mantlet.stores.valkey.leased
from mantlet.core.clock import Clock
from mantlet.core.ports import Charge, Taken
from mantlet.core.refusal import StoreUnavailable
from mantlet.stores.valkey.client import ValkeyClient
from mantlet.stores.valkey.leased import LeasedLimits
from mantlet.stores.valkey.limits import ValkeyLimits

HOUR_S = 3600.0
"""A sub-bucket is 36 s: none ends while a test runs, unless the test's clock says so (or once in a thousand runs)."""


class Trips(ValkeyLimits):
    """Counts how often the store is asked."""

    asked = 0

    async def run(self, charges: object, extra: object = ()) -> list[int]:
        self.asked += 1
        return await super().run(charges, extra)  # type: ignore[arg-type]


class World:
    """One store, and nodes that lease of it."""

    def __init__(self, client: ValkeyClient) -> None:
        self.now_s = 1000.0
        self.client = client
        self.exact = Trips(client)
        self.charge = Charge((f"{random.random()}",), 1000, HOUR_S)

    def node(self, sharers: int = 1) -> LeasedLimits:
        return LeasedLimits(self.exact, Clock(lambda: self.now_s, lambda: self.now_s), sharers=sharers)

    async def used(self) -> int:
        return self.charge.limit - (await self.exact.count(self.charge)).remaining


@pytest.fixture
def world(client: ValkeyClient) -> World:
    return World(client)


async def admitted(node: LeasedLimits, tries: int, *charges: Charge) -> int:
    return sum([(await node.take(charges)).allowed for _ in range(tries)])


async def test_many_calls_take_few_round_trips_and_none_is_counted_twice_or_not_at_all(world: World) -> None:
    node = world.node()
    assert await admitted(node, 300, world.charge) == 300
    assert world.exact.asked < 40
    assert await world.used() >= 300
    await node.close()
    assert await world.used() == 300


async def test_a_limit_too_small_for_leases_is_asked_for_every_time(world: World) -> None:
    """RATE-03: and so are large ones that stand beside it."""
    node = world.node()
    small = Charge(("small", *world.charge.key), 100, HOUR_S)
    assert await admitted(node, 50, world.charge, small) == 50
    assert world.exact.asked == 50
    assert await world.used() == 50


async def test_two_nodes_together_get_the_limit_and_not_one_more(world: World) -> None:
    """RATE-03: with leases held on both sides all the while."""
    one, other = world.node(2), world.node(2)
    total = 0
    for _ in range(700):
        total += await admitted(one, 1, world.charge) + await admitted(other, 1, world.charge)
    assert total == 1000
    assert world.exact.asked < 1000


@pytest.mark.parametrize(("limits", "sharers"), [((1000, 400), (1, 1)), ((400, 1000), (1, 4)), ((1000, 1000), (4, 1))])
async def test_nodes_whose_configurations_differ_get_no_more_than_the_larger_allows(
    world: World, limits: tuple[int, int], sharers: tuple[int, int]
) -> None:
    """RATE-03: one has been reloaded and the other not; or one believes that it is alone. They count in one window."""
    nodes = [world.node(number) for number in sharers]
    charges = [Charge(world.charge.key, limit, HOUR_S) for limit in limits]
    total = 0
    strict = limits.index(min(limits))
    for _ in range(700):
        for number, (node, charge) in enumerate(zip(nodes, charges, strict=True)):
            taken = (await node.take((charge,))).allowed
            assert not (taken and total >= charge.limit), "beyond what its own configuration says"
            total += taken
            assert number != strict or not taken or total <= min(limits)
    # What the stricter one has on lease and may not spend is for the other again once it is given back.
    await nodes[strict].close()
    total += await admitted(nodes[1 - strict], 200, charges[1 - strict])
    assert total == max(limits)
    await nodes[1 - strict].close()
    assert await world.used() == max(limits)


async def test_all_of_a_call_is_on_lease_or_nothing_is_spent(world: World) -> None:
    """RATE-01"""
    node = world.node()
    tight = Charge(("tight", *world.charge.key), 400, HOUR_S)
    assert await admitted(node, 600, world.charge, tight) == 400
    await node.close()
    assert await world.used() == 400


async def test_a_lease_is_not_spent_after_its_sub_bucket(world: World) -> None:
    """RATE-03"""
    node = world.node()
    await admitted(node, 20, world.charge)
    before = world.exact.asked
    await admitted(node, 1, world.charge)
    assert world.exact.asked == before
    world.now_s += 73
    await admitted(node, 1, world.charge)
    assert world.exact.asked == before + 1


async def test_what_a_sub_bucket_leaves_is_given_back_when_it_ends(world: World) -> None:
    node = world.node()
    await admitted(node, 20, world.charge)
    assert await world.used() > 20
    world.now_s += 73
    node._end(HOUR_S)  # what the timer does
    # By our clock 73 s went by, by the store's none: that is a clock that stepped, and nothing is given back then.
    assert await world.used() > 20
    again = World(world.client)
    node = again.node()
    await admitted(node, 20, again.charge)
    for lease in node._leases.values():
        lease.until_s = again.now_s
    node._end(HOUR_S)
    assert await again.used() == 20


async def test_what_was_reset_meanwhile_is_not_given_back(world: World) -> None:
    """RATE-03: or the next ones would get it twice."""
    node = world.node()
    await admitted(node, 20, world.charge)
    assert await world.exact.reset(world.charge.key) == 1
    for _ in range(5):
        await world.exact.take([world.charge])
    await node.close()
    assert await world.used() == 5


async def test_a_reset_forgets_what_is_on_lease_here(world: World) -> None:
    node = world.node()
    await admitted(node, 20, world.charge)
    await node.reset(world.charge.key)
    before = world.exact.asked
    await admitted(node, 1, world.charge)
    assert world.exact.asked == before + 1
    await node.close()
    assert await world.used() == 1


async def test_what_was_flushed_is_not_given_back_and_not_spent_on(world: World) -> None:
    """RATE-05"""
    node = world.node()
    await admitted(node, 20, world.charge)
    other = Charge(("other", *world.charge.key), 1000, HOUR_S)
    await world.client.call("FLUSHALL")
    await admitted(node, 1, other)  # hears of it
    before = world.exact.asked
    await admitted(node, 1, world.charge)
    assert world.exact.asked == before + 1
    await node.close()
    assert await world.used() == 1


async def test_of_calls_at_once_one_asks_and_the_others_wait_for_it(world: World) -> None:
    node = world.node()
    await admitted(node, 60, world.charge)
    spare = sum(lease.left for lease in node._leases.values())
    before = world.exact.asked
    taken = await asyncio.gather(*(node.take([world.charge]) for _ in range(spare + 11)))
    assert all(one.allowed for one in taken)
    assert world.exact.asked == before + 1
    await node.close()
    assert await world.used() == 60 + spare + 11


async def test_who_waits_is_woken_when_the_one_that_asks_is_cancelled(world: World) -> None:
    """RES-02: nobody hangs."""
    node = world.node()
    await admitted(node, 3, world.charge)
    for lease in node._leases.values():
        lease.left = 0
    first = asyncio.ensure_future(node.take([world.charge]))
    await asyncio.sleep(0)
    others = [asyncio.ensure_future(node.take([world.charge])) for _ in range(3)]
    await asyncio.sleep(0)
    first.cancel()
    async with asyncio.timeout(5):
        assert all(one.allowed for one in await asyncio.gather(*others))


async def test_a_store_that_goes_leaves_nothing_on_lease(world: World) -> None:
    """RATE-05: it must look as gone as it is."""
    node = world.node()
    await admitted(node, 20, world.charge)
    await world.client.close()
    assert (await node.take([world.charge])).allowed  # it was counted there, before it went
    with pytest.raises(StoreUnavailable):
        await node.take([Charge(("other",), 1000, HOUR_S)])
    with pytest.raises(StoreUnavailable):
        await node.take([world.charge])
    await node.close()


async def test_windows_that_are_watched_are_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """RATE-02"""
    monkeypatch.setattr(mantlet.stores.valkey.leased, "MAX_LEASES", 50)
    node = world.node()
    await admitted(node, 20, world.charge)
    for number in range(200):
        await node.take([Charge((f"{number}",), 1000, HOUR_S)])
        assert len(node) <= 50
    assert await world.used() == 20


async def test_remaining_only_falls(world: World) -> None:
    node = world.node()
    told = [await node.take([world.charge]) for _ in range(100)]
    assert [one.remaining for one in told] == sorted((one.remaining for one in told), reverse=True)
    assert isinstance(told[0], Taken)
    assert told[-1].remaining <= 900
