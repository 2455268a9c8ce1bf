"""RES-04: the limit of a server follows how its calls end."""

import pytest

from mantlet.policies.admission.adaptive import Adaptive


def rounds(adaptive: Adaptive, count: int, *, failed: int = 0, under_way: int | None = None) -> None:
    """So many rounds, each with `failed` of a hundred calls failing, evenly."""
    for _ in range(count):
        for number in range(adaptive.limit):
            if failed and number % 100 < failed:
                adaptive.failed()
            else:
                adaptive.succeeded(adaptive.limit if under_way is None else under_way)


def test_it_begins_with_the_most_and_stays_there_while_calls_are_answered() -> None:
    adaptive = Adaptive(20, 200)
    rounds(adaptive, 10)
    assert adaptive.limit == 200


def test_a_server_that_only_fails_keeps_the_least_and_no_less() -> None:
    adaptive = Adaptive(20, 200)
    for _ in range(200):
        adaptive.failed()
    assert adaptive.limit == 20
    rounds(adaptive, 10, failed=100)
    assert adaptive.limit == 20


@pytest.mark.parametrize(("failed", "limit"), [(1, 200), (5, 200), (9, 200), (30, 20), (80, 20)])
def test_some_failures_are_ordinary_and_many_are_not(failed: int, limit: int) -> None:
    adaptive = Adaptive(20, 200)
    rounds(adaptive, 20, failed=failed)
    assert adaptive.limit == limit


def test_it_comes_back_when_calls_are_answered_again() -> None:
    adaptive = Adaptive(20, 200)
    for _ in range(1000):
        adaptive.failed()
    rounds(adaptive, 1)
    assert adaptive.limit == 21
    rounds(adaptive, 60)
    assert adaptive.limit == 200


def test_what_is_not_used_is_not_given() -> None:
    adaptive = Adaptive(20, 200)
    for _ in range(1000):
        adaptive.failed()
    rounds(adaptive, 60, under_way=9)
    assert adaptive.limit == 20


def test_one_failure_is_never_enough() -> None:
    adaptive = Adaptive(1, 4)
    adaptive.failed()
    assert adaptive.limit == 4


def test_the_least_is_not_above_the_most() -> None:
    adaptive = Adaptive(20, 3)
    for _ in range(50):
        adaptive.failed()
    assert adaptive.limit == 3
