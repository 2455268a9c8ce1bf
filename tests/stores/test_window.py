"""The decider against an exact log."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.stores.true_windows import most_in_a_window

from mantlet.stores.window import SPAN, Window, advance, wait_us, width_us

W_US = 1_000_000
WIDTH = width_us(1.0)


def take(window: Window, *, limit: int, now_us: int, cost: int = 1, width: int = WIDTH) -> bool:
    """The take of one charge, as the stores do it."""
    advance(window, now_us // width)
    if window.total + cost > limit:
        return False
    window.total += cost
    window.current += cost
    return True


@given(
    limit=st.integers(1, 30),
    gaps=st.lists(
        st.one_of(
            st.integers(0, 3), st.integers(0, 60_000), st.integers(0, 1_100_000), st.integers(970_000, 1_030_000)
        ),
        min_size=20,
        max_size=300,
    ),
    start=st.integers(0, 10**13),
)
def test_never_more_than_the_limit_and_refused_only_where_a_1_percent_longer_log_would(
    limit: int, gaps: list[int], start: int
) -> None:
    """RATE-03: no true window of W holds more than L; a refusal means that (t - 1.01 W - 101 µs, t] holds L."""
    window = Window(start // WIDTH)
    now_us, log = start, []
    for gap in gaps:
        now_us += gap
        if take(window, limit=limit, now_us=now_us):
            log.append(now_us)
        else:
            seen = sum(1 for at in log if at > now_us - SPAN * WIDTH)
            assert seen >= limit
            wait = wait_us(window, limit=limit, cost=1, now_us=now_us, width=WIDTH)
            assert 0 < wait <= SPAN * WIDTH
    assert most_in_a_window(log, W_US) <= limit


@pytest.mark.parametrize("into_us", [0, 1, WIDTH // 2, WIDTH - 1])
@pytest.mark.parametrize("after_us", [1, 989_000, 990_050, 999_999, W_US])
def test_an_admit_counts_until_a_whole_window_has_passed(into_us: int, after_us: int) -> None:
    """RATE-03: wherever in its sub-bucket it was made. 101 sub-buckets and not 100 is what this needs."""
    window = Window(0)
    start = 7 * WIDTH + into_us
    assert take(window, limit=1, now_us=start)
    assert not take(window, limit=1, now_us=start + after_us)
    assert take(window, limit=1, now_us=start + SPAN * WIDTH)


def test_seeded_crowds_never_get_more_than_the_limit() -> None:
    """RATE-03: half a million tries in rhythms close to the window, to the sub-bucket, and bursts."""
    chance = random.Random(3)
    for limit in (1, 2, 10, 50):
        window, log, now_us = Window(0), [], 0
        for _ in range(125_000):
            now_us += int(chance.choice([chance.random() * 3, chance.expovariate(1 / 20_000), W_US * 0.9 / limit]))
            if take(window, limit=limit, now_us=now_us):
                log.append(now_us)
        assert most_in_a_window(log, W_US) == limit


@given(
    gaps=st.lists(st.integers(0, 400_000), min_size=1, max_size=80),
    limit=st.integers(1, 12),
    cost=st.integers(1, 4),
)
def test_what_is_told_to_wait_fits_then_and_not_a_microsecond_before(gaps: list[int], limit: int, cost: int) -> None:
    window = Window(0)
    now_us = 0
    for gap in gaps:
        now_us += gap
        take(window, limit=limit, now_us=now_us)
    wait = wait_us(window, limit=limit, cost=cost, now_us=now_us, width=WIDTH)
    if cost > limit or wait == 0:
        return
    assert not take(window, limit=limit, cost=cost, now_us=now_us + wait - 1)
    assert take(window, limit=limit, cost=cost, now_us=now_us + wait)


@pytest.mark.parametrize("window_s", [0.2, 1.0, 60.0, 3600.0])
@pytest.mark.parametrize("limit", [1, 7, 100, 1000])
def test_a_caller_that_always_tries_gets_99_percent_of_the_exact_log(window_s: float, limit: int) -> None:
    """RATE-03: under-admission at most 1 % (of 2 allowed), for bursts (the worst case) and for a steady stream."""
    width, length_us = width_us(window_s), int(window_s * 1e6)
    # Tries at every change of sub-bucket take whatever there is: the greediest caller.
    windows = 200
    window, log = Window(0), []
    for number in range(windows * SPAN):
        while take(window, limit=limit, now_us=number * width, width=width):
            log.append(number * width)
    exact = limit * (windows * SPAN * width / length_us)
    assert len(log) >= 0.989 * exact - limit
    assert most_in_a_window(log, length_us) <= limit


@pytest.mark.parametrize("back_us", [1, WIDTH, 30 * WIDTH, SPAN * WIDTH, 1000 * WIDTH + 7, 10**12])
def test_a_clock_that_steps_back_neither_frees_nor_locks_longer_than_a_window(back_us: int) -> None:
    """RATE-04"""
    start = 2 * 10**12
    window = Window(start // WIDTH)
    for number in range(10):
        assert take(window, limit=10, now_us=start + number * 40_000)
    stepped = start + 400_000 - back_us
    assert not take(window, limit=10, now_us=stepped)
    assert not take(window, limit=10, now_us=stepped + 300_000)
    assert take(window, limit=10, now_us=stepped + SPAN * WIDTH)


def test_the_running_total_is_what_the_ring_holds() -> None:
    """Also through steps back: seeded, a hundred thousand moves."""
    chance = random.Random(5)
    window, now_us = Window(0), 10**9
    for _ in range(100_000):
        now_us += chance.choice([0, 1, 5_000, 20_001, 90_000, 700_000, 2_000_000, -30_000, -5_000_000])
        take(window, limit=25, now_us=now_us)
        assert window.total == window.current + sum(window.past or ())
        assert 0 <= window.total <= 25
        assert window.past is None or window.past[window.at % SPAN] == 0
