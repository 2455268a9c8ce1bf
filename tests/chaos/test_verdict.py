"""A judge that lets everything pass is worth nothing: each wrong is found in what holds it."""

import itertools

import pytest
from tests.chaos.schedule import schedule
from tests.chaos.verdict import effects, limits, most_in_window, recorded

ASKED = {"a/1": "echo", "a/2": "charge"}


@pytest.mark.parametrize(
    ("answered", "executions", "said"),
    [
        (["a/1", "a/2"], [(0.0, "echo", "a/1"), (1.0, "echo", "a/1"), (2.0, "charge", "a/2")], ""),
        ([], [(0.0, "charge", "a/2"), (1.0, "charge", "a/2")], "ran 2 times"),
        ([], [(0.0, "echo", "a/1")] * 3, "ran 3 times"),
        (["a/1"], [], "never ran"),
        ([], [(0.0, "echo", "b/1")], "never asked"),
    ],
)
def test_effects_are_counted(answered: list[str], executions: list[tuple[float, str, str]], said: str) -> None:
    found = effects(ASKED, answered, executions)
    assert bool(found) == bool(said)
    assert said in "".join(found)


def test_windows_are_true_ones() -> None:
    assert most_in_window([0.0, 1.0, 4.9, 5.0, 5.1], 5.0) == (4, 1.0)
    assert most_in_window([], 5.0) == (0, 0.0)


def test_limits_are_exact_but_where_the_store_was_away() -> None:
    eleven = [("alice", 100.0 + n / 10) for n in range(11)]
    assert limits(eleven, 11, 5.0, []) == ([], 11)
    (wrong,), most = limits(eleven, 10, 5.0, [])
    assert (wrong.partition(":")[0], most) == ("alice", 11)
    assert limits(eleven, 10, 5.0, [(98.0, 99.0)])[0] == []
    assert limits(eleven, 9, 5.0, [(98.0, 99.0)])[0]


def test_each_answer_is_recorded_once() -> None:
    records = [{"event": "call", "request_id": "r1"}, {"event": "other", "request_id": "r2"}]
    assert recorded({"a/1": "r1"}, records) == []
    assert recorded({"a/1": "r1"}, records * 2)
    assert recorded({"a/2": "r2"}, records)


def test_a_seed_is_a_schedule_and_one_node_is_always_there() -> None:
    for seed in range(20):
        faults = list(schedule(seed, 300))
        assert faults == list(schedule(seed, 300))
        assert len({fault.target for fault in faults}) == 7
        nodes = [fault for fault in faults if fault.target.startswith("node")]
        assert all(b.at_s > a.at_s + a.lasts_s for a, b in itertools.pairwise(nodes))
