"""Processes and nodes that share a store, and each node's own copy."""

import pytest

from mantlet.core.clock import Clock
from mantlet.core.refusal import StoreUnavailable
from mantlet.policies.kill.switches import Switches
from mantlet.policies.kill.table import Kill, Switch, Table
from mantlet.policies.kill.truth import StateTruth
from mantlet.stores.state import MemoryState

CLOCK = Clock(lambda: 0.0, lambda: 100.0)
TOOL, AGENT = Switch("tool", "one__echo"), Switch("agent", "bot")


class MemoryCopy:
    def __init__(self) -> None:
        self.table: dict[Switch, Kill] = {}

    async def read(self) -> dict[Switch, Kill]:
        return dict(self.table)

    async def replace(self, table: Table, /) -> None:
        self.table = dict(table)


class Broken(MemoryState):
    is_down = False

    async def get(self, key: tuple[str, ...], /) -> bytes | None:
        if self.is_down:
            raise StoreUnavailable
        return await super().get(key)


async def test_what_one_node_stops_the_others_stop_with_the_next_sync_and_keep() -> None:
    state, copies = MemoryState(CLOCK), [MemoryCopy(), MemoryCopy()]
    one, two = (Switches(StateTruth(state), copy, CLOCK) for copy in copies)
    told: list[int] = []
    two.changed = lambda: told.append(1)
    await one.kill(TOOL, "wrong disk", "root")
    assert one.any
    assert not two.any
    await two.sync()
    assert two.in_force() == {TOOL: Kill("wrong disk", "root", 100.0)}
    assert copies[0].table == copies[1].table == two.in_force()
    await two.sync()
    assert told == [1]
    assert await two.unkill(TOOL)
    await one.sync()
    assert not one.any
    assert copies[0].table == copies[1].table == {}
    assert not await one.unkill(TOOL)


async def test_two_at_once_lose_nothing() -> None:
    state = MemoryState(CLOCK)
    one, two = Switches(StateTruth(state), MemoryCopy(), CLOCK), Switches(StateTruth(state), MemoryCopy(), CLOCK)
    await one.kill(TOOL, "", "root")
    await two.kill(AGENT, "", "root")
    await one.sync()
    assert one.in_force().keys() == two.in_force().keys() == {TOOL, AGENT}


async def test_a_restart_finds_what_was_stopped_and_tells_an_empty_store() -> None:
    copy = MemoryCopy()
    await Switches(StateTruth(MemoryState(CLOCK)), copy, CLOCK).kill(TOOL, "", "root")
    emptied = MemoryState(CLOCK)
    again = Switches(StateTruth(emptied), copy, CLOCK)
    await again.open()
    assert again.any  # before anything was asked of the store
    await again.sync()
    other = Switches(StateTruth(emptied), MemoryCopy(), CLOCK)
    await other.sync()
    assert other.any


async def test_a_store_that_lost_everything_pardons_nobody() -> None:
    state = MemoryState(CLOCK)
    one = Switches(StateTruth(state), MemoryCopy(), CLOCK)
    await one.kill(TOOL, "", "root")
    state._values.clear()
    await one.sync()
    assert one.any
    assert state._values


async def test_a_node_that_was_away_takes_what_stands_in_the_store() -> None:
    state, copy = MemoryState(CLOCK), MemoryCopy()
    one = Switches(StateTruth(state), copy, CLOCK)
    await one.kill(TOOL, "", "root")
    await Switches(StateTruth(state), MemoryCopy(), CLOCK).sync()
    away, stale = MemoryCopy(), dict(copy.table)
    await one.unkill(TOOL)
    away.table = stale
    back = Switches(StateTruth(state), away, CLOCK)
    await back.open()
    assert back.any
    await back.sync()
    assert not back.any
    assert away.table == {}


async def test_without_the_store_it_acts_here_says_so_and_tells_the_others_later() -> None:
    state, copy = Broken(CLOCK), MemoryCopy()
    one, two = Switches(StateTruth(state), copy, CLOCK), Switches(StateTruth(state), MemoryCopy(), CLOCK)
    state.is_down = True
    with pytest.raises(StoreUnavailable):
        await one.kill(TOOL, "", "root")
    assert one.stopped.target("one", "tools/call", "echo") == TOOL
    assert TOOL in copy.table
    state.is_down = False
    await one.sync()
    await two.sync()
    assert two.any
