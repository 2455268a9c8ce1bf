"""RES-01: what is counted, against a list of everything."""

import random

import pytest

from mantlet.upstreams.breaker.window import SLOTS, Window


@pytest.mark.parametrize("seed", range(10))
def test_it_counts_what_the_last_slots_saw(seed: int) -> None:
    """RES-01"""
    chance = random.Random(seed)
    window_s = chance.choice([1.0, 10.0, 30.0])
    slot_s = window_s / SLOTS
    now_s = began_s = 100.0
    window = Window(window_s, now_s)
    seen: list[tuple[int, str]] = []
    cleared_at = 0
    for _ in range(5_000):
        now_s += chance.expovariate(50 / window_s) if chance.random() < 0.995 else window_s * chance.random() * 3
        steps = int((now_s - window.ends_s) / slot_s) + 1 if now_s >= window.ends_s else 0
        if steps >= SLOTS:
            seen.clear()
            began_s, cleared_at = now_s, 0
        else:
            cleared_at += steps
        kind = chance.choice(["passed", "passed", "failed", "slow"])
        if kind == "passed":
            if now_s >= window.ends_s:
                window.turn(now_s)
            window.calls += 1
        else:
            window.went_wrong(now_s, slow=kind == "slow")
        seen.append((cleared_at, kind))
        recent = [kind for slot, kind in seen if slot > cleared_at - SLOTS]
        assert (window.calls, window.failed, window.slow) == (
            len(recent),
            recent.count("failed"),
            recent.count("slow"),
        )
    assert began_s > 100.0
