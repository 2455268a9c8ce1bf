import os
from pathlib import Path

import pytest

from mantlet.core.clock import Clock
from mantlet.core.ports import Charge
from mantlet.core.refusal import Overloaded
from mantlet.stores.memory import MAX_WINDOWS, MemoryLimits


class Hands:
    """A clock that is turned by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.clock = Clock(lambda: self.now_s, lambda: self.now_s)


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def charges(name: str, limit: int = 5) -> tuple[Charge, ...]:
    return (Charge(("network", name, "client"), limit, 60), Charge(("global", "global"), 10**9, 60, "global"))


async def test_a_full_table_refuses_the_unknown_and_keeps_the_known() -> None:
    """RATE-02"""
    hands = Hands()
    store = MemoryLimits(hands.clock, max_keys=4)
    for name in "abc":
        assert (await store.take(charges(name))).allowed
    assert store.is_full
    with pytest.raises(Overloaded):
        await store.take(charges("d"))
    assert (await store.take(charges("a"))).remaining == 3
    # The unknown one spent nothing of what all share.
    assert (await store.count(charges("a")[1])).remaining == 10**9 - 4


async def test_an_unknown_key_that_comes_last_gives_back_what_the_others_took() -> None:
    store = MemoryLimits(Hands().clock, max_keys=2)
    first, unknown = Charge(("a",), 5, 60), Charge(("c",), 5, 60)
    await store.take([first, Charge(("b",), 5, 60)])
    with pytest.raises(Overloaded):
        await store.take([first, unknown])
    assert (await store.count(first)).remaining == 4
    assert len(store) == 2


async def test_expired_keys_make_room() -> None:
    """RATE-02"""
    hands = Hands()
    store = MemoryLimits(hands.clock, max_keys=100)
    for number in range(99):
        await store.take(charges(str(number)))
    hands.now_s += 62
    for number in range(99):
        assert (await store.take(charges(f"new {number}"))).allowed
    assert len(store) <= 100


async def test_idle_keys_go_even_if_no_new_ones_come() -> None:
    hands = Hands()
    store = MemoryLimits(hands.clock)
    for number in range(500):
        await store.take(charges(str(number), limit=10**6))
    for _ in range(300):
        hands.now_s += 1.3
        await store.take(charges("0", limit=10**6))
    assert len(store) == 2


async def test_a_refused_call_leaves_no_key_behind() -> None:
    """RATE-02: else refusals would fill the table."""
    store = MemoryLimits(Hands().clock)
    spent = Charge(("global", "global"), 1, 60, "global")
    await store.take([spent])
    for number in range(50):
        assert not (await store.take([Charge((str(number),), 5, 60), spent])).allowed
    assert len(store) == 1


async def test_a_clock_that_steps_back_does_not_stop_the_sweep() -> None:
    """RATE-04"""
    hands = Hands()
    hands.now_s = 10_000.0
    store = MemoryLimits(hands.clock, max_keys=50)
    for number in range(49):
        await store.take(charges(str(number)))
    hands.now_s -= 5000
    assert (await store.take(charges("0"))).remaining == 3
    for _ in range(20):  # once around the wheel: each key is seen, and lasts one window from there
        hands.now_s += 4
        await store.take(charges("0", limit=10**6))
    hands.now_s += 65
    for number in range(45):
        assert (await store.take(charges(f"new {number}"))).allowed


async def test_the_number_of_window_lengths_is_bounded() -> None:
    store = MemoryLimits(Hands().clock)
    for number in range(MAX_WINDOWS):
        await store.take([Charge(("a",), 5, 1.0 + number)])
    with pytest.raises(Overloaded):
        await store.take([Charge(("a",), 5, 0.5)])


async def test_a_reset_key_that_comes_back_stands_once_on_the_wheel() -> None:
    hands = Hands()
    store = MemoryLimits(hands.clock)
    for _ in range(200):
        await store.take(charges("a"))
        await store.reset(("network",))
    space = next(iter(store._spaces.values()))
    assert sum(len(slot) for slot in space._wheel) + len(space._due) == 2


async def test_record_counts_our_own_and_our_share_of_what_others_used() -> None:
    """RATE-05"""
    store = MemoryLimits(Hands().clock)
    charge = Charge(("a",), 90, 60)
    store.record([charge], [1], 3, is_counted=True)
    assert (await store.count(charge)).remaining == 89
    store.record([charge], [60], 3, is_counted=True)
    assert (await store.count(charge)).remaining == 70
    store.record([charge], [60], 3, is_counted=False)
    assert (await store.count(charge)).remaining == 70


@pytest.mark.slow
async def test_a_million_keys_stay_under_the_cap() -> None:
    """RATE-02: memory is bounded whatever comes."""
    hands = Hands()
    store = MemoryLimits(hands.clock)
    refused = 0
    before_bytes = resident_bytes()
    for number in range(1_000_000):
        hands.now_s += 0.00001
        try:
            await store.take((Charge(("network", f"{number}", "client"), 100, 60),))
        except Overloaded:
            refused += 1
    held_bytes = resident_bytes() - before_bytes
    assert len(store) <= 65_536
    assert refused == 1_000_000 - 65_536
    assert held_bytes < 55 * 2**20, f"{held_bytes} bytes"
