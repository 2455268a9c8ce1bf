"""RES-01"""

import asyncio
import random
from collections.abc import Callable

import msgspec
import pytest

from mantlet.upstreams.breaker import Breaker, BreakerConfig, State


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


class Bench:
    """A breaker, its clock, and what it told."""

    def state(self) -> State:
        return self.breaker.state

    def __init__(self, chance: Callable[[], float] = lambda: 0.0, **settings: object) -> None:
        self.clock = Clock()
        self.told: list[tuple[State, str]] = []
        self.config = msgspec.convert(settings, BreakerConfig)
        self.breaker = Breaker(self.config, self.clock, chance, lambda state, why: self.told.append((state, why)))

    def run(self, ends: str) -> None:
        """`.` an answer, `x` a failure, `s` a slow answer, `c` a cancelled call, `1`-`9` seconds that pass."""
        for end in ends:
            if end.isdigit():
                self.clock.now_s += int(end)
                continue
            ticket = self.breaker.admit()
            assert ticket is not None
            match end:
                case ".":
                    self.breaker.succeeded(ticket, 0.01)
                case "x":
                    self.breaker.failed(ticket)
                case "s":
                    self.breaker.succeeded(ticket, 9.0)
                case "c":
                    self.breaker.cancelled(ticket)

    def open(self) -> None:
        self.run("x" * self.config.failures)
        assert self.breaker.state == "open"


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ("xxxx", "closed"),
        ("xxxxx", "open"),
        ("ccccccccc" + "xxxx", "closed"),  # a call whose caller left says nothing
        ("xxxx" + "c" * 9, "closed"),
        ("......xxxxx", "closed"),  # five failed, but of eleven
        (".....xxxxx", "open"),  # of ten: one half
        ("x9x9x9x9x", "closed"),  # never five in 30 s
        ("xx9xx9x", "open"),
        ("." * 90 + "999999" + "xxxxx", "open"),  # what was long ago does not excuse
        ("xxxx" + "9999" + "xxxx", "closed"),
        ("sssss", "closed"),  # nothing is slow unless the operator says what that is
    ],
)
def test_it_opens_on_many_failures_that_are_a_large_part_of_the_window(ends: str, expected: State) -> None:
    """RES-01"""
    bench = Bench(failures=5, window=30)
    bench.run(ends)
    assert bench.state() == expected


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ("sssss", "open"),
        ("ssss", "closed"),
        (".ssss", "open"),
        ("..sss", "closed"),
        ("xssss", "open"),
        ("xxsss", "closed"),  # neither two failures nor three slow ones are enough alone
    ],
)
def test_it_opens_on_slow_answers_where_the_operator_says_what_is_slow(ends: str, expected: State) -> None:
    """RES-01"""
    bench = Bench(failures=5, slow_ms=1000, slow_percent=80)
    bench.run(ends)
    assert bench.state() == expected


@pytest.mark.parametrize(("ends", "expected"), [("x" * 5, "closed"), ("x" * 19, "closed"), ("x" * 20, "open")])
def test_of_too_few_calls_nothing_is_concluded(ends: str, expected: State) -> None:
    """RES-01"""
    bench = Bench(failures=5, min_calls=20)
    bench.run(ends)
    assert bench.state() == expected


def test_open_it_lets_nothing_through_until_its_time_has_come() -> None:
    """RES-01, RES-02"""
    bench = Bench(open=30)
    bench.open()
    assert bench.breaker.retry_after_s == 30
    for _ in range(29):
        assert bench.breaker.admit() is None
        bench.clock.now_s += 1
    assert bench.breaker.retry_after_s == 1
    bench.clock.now_s += 1
    assert bench.state() == "half_open"
    assert bench.breaker.admit() is not None
    assert bench.breaker.refused == 29


@pytest.mark.parametrize(("chance", "open_s"), [(0.0, 30.0), (0.5, 33.0), (0.999, 35.994)])
def test_chance_makes_the_open_time_longer_and_never_shorter(chance: float, open_s: float) -> None:
    """RES-01"""
    bench = Bench(lambda: chance, open=30, jitter_percent=20)
    bench.open()
    assert bench.breaker.retry_after_s == pytest.approx(open_s)


@pytest.mark.parametrize("probes", [1, 2, 7])
def test_half_open_it_admits_exactly_so_many_probes(probes: int) -> None:
    """RES-01"""
    bench = Bench(open=30, half_open_probes=probes)
    bench.open()
    bench.clock.now_s += 30
    tickets = [bench.breaker.admit() for _ in range(1_000)]
    admitted = [ticket for ticket in tickets if ticket is not None]
    assert len(admitted) == probes
    for ticket in admitted[:-1]:
        bench.breaker.succeeded(ticket, 0.1)
        assert bench.breaker.admit() is None
    assert bench.breaker.retry_after_s == 1
    bench.breaker.succeeded(admitted[-1], 0.1)
    assert bench.state() == "closed"
    assert bench.breaker.retry_after_s == 0
    assert [state for state, _ in bench.told] == ["open", "half_open", "closed"]


@pytest.mark.parametrize("probes", [1, 3])
async def test_of_a_thousand_concurrent_callers_as_many_call_as_there_are_probes(probes: int) -> None:
    """RES-01"""
    bench = Bench(open=30, half_open_probes=probes)
    bench.open()
    bench.clock.now_s += 30
    under_way, most, made = 0, 0, 0
    answered = asyncio.Event()

    async def caller() -> bool:
        nonlocal under_way, most, made
        ticket = bench.breaker.admit()
        if ticket is None:
            return False
        made += 1
        under_way += 1
        most = max(most, under_way)
        await answered.wait()
        under_way -= 1
        bench.breaker.succeeded(ticket, 0.0)
        return True

    callers = [asyncio.ensure_future(caller()) for _ in range(1_000)]
    await asyncio.sleep(0)
    answered.set()
    assert sum(await asyncio.gather(*callers)) == made == most == probes


def test_one_failed_probe_opens_it_again_and_the_others_say_nothing_more() -> None:
    """RES-01"""
    bench = Bench(open=30, half_open_probes=3)
    bench.open()
    bench.clock.now_s += 30
    first, second, third = (bench.breaker.admit() for _ in range(3))
    assert first is not None
    assert second is not None
    assert third is not None
    bench.breaker.succeeded(first)
    bench.breaker.failed(second)
    assert bench.state() == "open"
    bench.breaker.succeeded(third)
    bench.breaker.failed(third)
    assert bench.state() == "open"
    assert bench.breaker.opened == 2
    assert bench.breaker.retry_after_s == 30


def test_a_slow_probe_is_no_recovery() -> None:
    """RES-01"""
    bench = Bench(open=30, slow_ms=500)
    bench.open()
    bench.clock.now_s += 30
    bench.run("s")
    assert bench.told[-1] == ("open", "a probe was slow")


def test_a_cancelled_probe_frees_its_place() -> None:
    """RES-01"""
    bench = Bench(open=30)
    bench.open()
    bench.clock.now_s += 30
    for _ in range(100):
        ticket = bench.breaker.admit()
        assert ticket is not None
        assert bench.breaker.admit() is None
        bench.breaker.cancelled(ticket)
    assert bench.state() == "half_open"


@pytest.mark.parametrize("end", ["succeeded", "failed", "cancelled"])
def test_results_of_an_earlier_state_are_ignored(end: str) -> None:
    """RES-01"""
    bench = Bench(open=30)
    early = bench.breaker.admit()
    assert early is not None
    bench.open()
    bench.clock.now_s += 30
    probe = bench.breaker.admit()
    assert probe is not None
    getattr(bench.breaker, end)(early)
    assert bench.state() == "half_open"
    assert bench.breaker.admit() is None, "the place of a probe was freed by a call that is none"
    bench.breaker.succeeded(probe)
    for _ in range(9):
        getattr(bench.breaker, end)(early)
        getattr(bench.breaker, end)(probe)
    assert bench.state() == "closed"


def test_a_probe_without_a_result_counts_as_failed_in_the_end() -> None:
    """RES-01"""
    bench = Bench(open=30, probe_timeout=60)
    bench.open()
    bench.clock.now_s += 30
    lost = bench.breaker.admit()
    assert lost is not None
    bench.clock.now_s += 59
    assert bench.breaker.admit() is None
    bench.clock.now_s += 1
    assert bench.breaker.admit() is None
    assert bench.told[-1] == ("open", "a probe had no result in time")
    bench.clock.now_s += 30
    assert bench.breaker.admit() is not None
    bench.breaker.succeeded(lost)
    assert bench.state() == "half_open"


def test_it_begins_anew_once_it_has_closed() -> None:
    """RES-01"""
    bench = Bench(open=30)
    bench.open()
    bench.clock.now_s += 30
    bench.run(".xxxx")
    assert bench.state() == "closed"
    bench.run("x")
    assert bench.state() == "open"
    bench.breaker.reset()
    assert bench.told[-1] == ("closed", "by hand")
    bench.run("xxxx.")


@pytest.mark.parametrize("seed", range(20))
def test_in_a_long_run_of_chance_it_keeps_what_it_promises(seed: int) -> None:
    """RES-01: against a plain model that remembers every call."""
    chance = random.Random(seed)
    probes = chance.randint(1, 4)
    bench = Bench(chance.random, failures=4, window=10, open=5, half_open_probes=probes, slow_ms=1000, min_calls=6)
    breaker, clock = bench.breaker, bench.clock
    out: list[tuple[int, int]] = []
    ends: list[tuple[float, bool]] = []
    era = 0  # counts changes as they are told
    given: dict[int, int] = {}
    opened_at_s = 0.0
    for _ in range(20_000):
        clock.now_s += chance.expovariate(20)
        changes = len(bench.told)
        sick = int(clock.now_s / 25) % 2 == 1
        if chance.random() < 0.6 or not out:
            before = breaker.state
            ticket = breaker.admit()
            if len(bench.told) != changes:
                era += 1
            if ticket is not None:
                assert before != "open"
                given[era] = given.get(era, 0) + 1
                out.append((ticket, era))
                if bench.told and bench.told[-1][0] == "half_open":
                    assert given[era] <= probes, "more probes than allowed"
            elif before == "closed":
                raise AssertionError("closed, and yet refused")
            continue
        ticket, asked_in = out.pop(chance.randrange(len(out)))
        kind = chance.random()
        if kind < 0.1:
            breaker.cancelled(ticket)
            if asked_in == era:
                given[era] -= 1
        elif sick and kind < 0.9:
            breaker.failed(ticket)
            if asked_in == era:
                ends.append((clock.now_s, True))
        else:
            breaker.succeeded(ticket, 0.0)
            if asked_in == era:
                ends.append((clock.now_s, False))
        if len(bench.told) != changes:
            era += 1
            state, why = bench.told[-1]
            if state == "open":
                assert clock.now_s >= opened_at_s + 5
                opened_at_s = clock.now_s
                if why.endswith("calls failed"):
                    recent = [failed for at_s, failed in ends if at_s > clock.now_s - 10]
                    assert sum(recent) >= 4
                    assert len(recent) >= 6
            ends.clear()
    assert breaker.opened > 3
    assert [state for state, _ in bench.told].count("closed") > 0


@pytest.mark.parametrize(
    "bad",
    [
        {"failures": 0},
        {"window": 0},
        {"open": 0},
        {"half_open_probes": 0},
        {"failure_percent": 0},
        {"failure_percent": 101},
        {"slow_ms": 0},
        {"min_calls": 0},
        {"jitter_percent": -1},
        {"probe_timeout": 0},
        {"failure": 5},
    ],
)
def test_settings_that_mean_nothing_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(bad, BreakerConfig)
