"""When a session rests for too long. MCP-04"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mantlet.core import last_use
from mantlet.core.clock import Clock
from mantlet.core.last_use import LastUse
from mantlet.core.ports import StateKey
from mantlet.core.refusal import StoreUnavailable
from mantlet.core.tasks import Tasks
from mantlet.stores.state import MemoryState

IDLE_S = 100.0
STEP_S = 25.0
BEGUN_S = 0.0


class Store(MemoryState):
    """Counts what it is asked, and can be away."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.asked: list[str] = []
        self.is_away = False

    async def get(self, key: StateKey, /) -> bytes | None:
        self._note("get")
        return await super().get(key)

    async def put(self, key: StateKey, value: bytes, ttl_s: float, /) -> None:
        self._note("put")
        await super().put(key, value, ttl_s)

    def _note(self, verb: str) -> None:
        if self.is_away:
            raise StoreUnavailable
        self.asked.append(verb)


def _raise(error: BaseException) -> None:
    raise error


class Bench:
    """Processes that share a store and a clock."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.clock = Clock(lambda: self.now_s, lambda: self.now_s)
        self.store = Store(self.clock)
        self.busy: list[str] = []
        self.tasks = Tasks(_raise)

    def process(self) -> LastUse:
        return LastUse(
            self.store,
            self.clock,
            IDLE_S,
            key=lambda name: ("used", name),
            busy=lambda: self.busy,
            tasks=self.tasks,
        )

    @contextmanager
    def round(self, process: LastUse) -> Iterator[None]:
        """A step of the loop's own timer, at once."""
        process._look()
        yield
        process.close()

    async def looked(self, process: LastUse) -> None:
        with self.round(process):
            while len(self.tasks):
                await asyncio.sleep(0)


async def test_a_session_that_is_used_again_and_again_does_not_rest() -> None:
    bench = Bench()
    process = bench.process()
    for _ in range(20):
        assert await process.use("a", bench.now_s if _ == 0 else BEGUN_S)
        bench.now_s += IDLE_S - 1
    process.close()


@pytest.mark.parametrize("is_same", [True, False])
async def test_after_its_time_it_is_over_at_every_process_and_stays_so(is_same: bool) -> None:
    bench = Bench()
    here, there = bench.process(), bench.process()
    assert await here.use("a", bench.now_s)
    begun_s, bench.now_s = bench.now_s, bench.now_s + IDLE_S + STEP_S
    for _ in range(2):
        assert not await (here if is_same else there).use("a", begun_s)
        bench.now_s += 1
    here.close()


async def test_what_one_process_saw_used_no_other_ends() -> None:
    bench = Bench()
    here, there = bench.process(), bench.process()
    assert await here.use("a", bench.now_s)
    for process in (there, here, there, here):
        bench.now_s += IDLE_S - 1
        assert await process.use("a", BEGUN_S)
    here.close()
    there.close()


async def test_a_use_that_was_not_written_down_still_counts_whole() -> None:
    """The mark lives longer by as much as it is behind."""
    bench = Bench()
    here, there = bench.process(), bench.process()
    assert await here.use("a", BEGUN_S + bench.now_s)
    bench.now_s += STEP_S - 1
    assert here.is_fresh("a")
    bench.now_s += IDLE_S
    assert await there.use("a", BEGUN_S)
    here.close()
    there.close()


async def test_a_busy_session_costs_the_store_one_mark_a_step() -> None:
    bench = Bench()
    process = bench.process()
    for _ in range(100):
        if not process.is_fresh("a"):
            assert await process.use("a", bench.now_s)
        bench.now_s += 1
    assert bench.store.asked == ["put"] * 4
    process.close()


async def test_one_that_something_is_under_way_in_does_not_rest() -> None:
    bench = Bench()
    process = bench.process()
    assert await process.use("a", bench.now_s)
    bench.busy = ["a", "a"]
    for _ in range(10):
        bench.now_s += STEP_S
        await bench.looked(process)
    bench.busy = []
    bench.now_s += IDLE_S - 1
    assert await process.use("a", BEGUN_S)
    process.close()


async def test_rounds_go_on_only_while_something_is_under_way() -> None:
    bench = Bench()
    process = bench.process()
    assert await process.use("a", bench.now_s)
    assert process._next is not None
    process.close()
    process._look()
    assert process._next is None
    bench.busy = ["a"]
    process._look()
    assert process._next is not None
    process.close()
    await bench.tasks.close()


async def test_a_store_that_is_away_for_a_round_ends_nothing() -> None:
    bench = Bench()
    process = bench.process()
    assert await process.use("a", bench.now_s)
    bench.busy = ["a"]
    bench.store.is_away = True
    bench.now_s += STEP_S
    await bench.looked(process)
    bench.store.is_away = False
    bench.now_s += STEP_S
    await bench.looked(process)
    bench.busy = []
    bench.now_s += IDLE_S - 1
    assert await process.use("a", BEGUN_S)
    bench.store.is_away = True
    bench.now_s += IDLE_S
    with pytest.raises(StoreUnavailable):
        await process.use("a", BEGUN_S)
    process.close()


async def test_what_one_process_remembers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(last_use, "MAX_KNOWN", 3)
    bench = Bench()
    process = bench.process()
    for number in range(10):
        assert await process.use(str(number), bench.now_s)
    assert list(process._marked) == ["7", "8", "9"]
    bench.now_s += IDLE_S - 1
    assert await process.use("0", BEGUN_S)
    process.close()


async def test_one_that_ended_leaves_nothing() -> None:
    bench = Bench()
    process = bench.process()
    assert await process.use("a", bench.now_s)
    await process.end("a")
    assert len(bench.store) == 0
    process.close()
