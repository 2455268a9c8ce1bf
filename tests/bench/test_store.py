import pytest
from bench.store.costs import Cost
from bench.store.exactness import Exactness
from bench.store.failures import LIMIT, Found, best
from bench.store.nodes import Calls, percentile


@pytest.mark.parametrize(
    ("at_s", "most"), [([], 0), ([1.0], 1), ([0.0, 0.5, 1.0], 2), ([0.0, 0.2, 0.4, 1.1, 1.15], 4), ([3.0, 1.0, 1.5], 2)]
)
def test_the_most_of_any_true_window_is_counted(at_s: list[float], most: int) -> None:
    """RATE-03: what lies a whole window apart is in two of them."""
    assert Calls(admitted_s=at_s).most_in_a_window(1.0) == most


@pytest.mark.parametrize(("part", "found"), [(0.0, 1), (0.5, 3), (0.99, 4), (1.0, 4)])
def test_percentiles_are_values_that_were_measured(part: float, found: float) -> None:
    assert percentile([1, 2, 3, 4], part) == found
    assert percentile([], part) == 0


@pytest.mark.parametrize(
    ("p99_ms", "errors", "most", "holds"),
    [(9.9, 0, LIMIT, True), (10.1, 0, LIMIT, False), (1, 1, LIMIT, False), (1, 0, int(LIMIT * 1.1) + 1, False)],
)
def test_a_fault_is_judged_by_its_targets(p99_ms: float, errors: int, most: int, holds: bool) -> None:
    """RATE-05"""
    assert Found("x", 0, 0, p99_ms, 500, errors, most, 0).holds is holds


def test_of_several_rounds_the_quietest_times_and_the_worst_admits_count() -> None:
    rounds = [Found("x", 1, 1, 20, 90, 0, LIMIT + 1, 1), Found("x", 1, 1, 5, 40, 2, LIMIT, 1)]
    assert best(rounds) == Found("x", 1, 1, 5, 40, 2, LIMIT + 1, 1)


def test_tables_have_a_row_for_each_way() -> None:
    from bench.store.report import of_costs, of_exactness, of_failures

    text = of_costs([Cost("one", concurrency, 1.5, 0.25) for concurrency in (1, 16, 64)])
    assert "| one | 1.5 µs, 0.25 | 1.5 µs, 0.25 | 1.5 µs, 0.25 |" in text
    assert "| exact | 100 in 1 s | 99 | 1.0% |" in of_exactness([Exactness("exact", 100, 1.0, 99, 0.01)])
    assert "1.00 L" in of_failures([Found("hung", 1, 2, 3, 4, 0, LIMIT, 1)])
