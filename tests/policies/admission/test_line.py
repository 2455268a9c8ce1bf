"""RES-04: who waits, who goes next, and who is refused."""

import asyncio
import contextlib

import pytest

from mantlet.core.refusal import Overloaded
from mantlet.policies.admission.line import Line, Waiting
from mantlet.policies.admission.priority import HIGH, LOW, NORMAL


def waiting(who: str = "a", server: str = "one", priority: int = NORMAL) -> Waiting:
    return Waiting(asyncio.Future(loop=asyncio.get_running_loop()), server, (who,), priority)


def entered(line: Line, who: list[Waiting]) -> int:
    count = 0
    for one in who:
        with contextlib.suppress(Overloaded):
            line.enter(one)
            count += 1
    return count


def anywhere(server: str) -> bool:
    return True


async def test_first_by_priority_then_in_the_order_they_came() -> None:
    line = Line(10, 2)
    low, first, second, high = waiting(priority=LOW), waiting(), waiting(server="two"), waiting(priority=HIGH)
    for one in (low, first, second, high):
        line.enter(one)
    assert [line.next(anywhere) for _ in range(5)] == [high, first, second, low, None]
    assert len(line) == 0


async def test_who_waits_for_a_server_without_room_holds_nobody_up() -> None:
    line = Line(10, 2)
    first, second = waiting(server="one", priority=HIGH), waiting(server="two", priority=LOW)
    line.enter(first)
    line.enter(second)
    assert line.next(lambda server: server == "two") is second
    assert line.next(lambda server: server == "two") is None
    assert len(line) == 1


async def test_one_principal_does_not_fill_the_line() -> None:
    line = Line(100, 1)
    assert entered(line, [waiting("flooder") for _ in range(100)]) == 67
    for number in range(33):
        line.enter(waiting(f"other {number}"))
    with pytest.raises(Overloaded):
        line.enter(waiting("late"))


async def test_a_server_that_hangs_does_not_fill_the_line() -> None:
    line = Line(100, 2)
    assert entered(line, [waiting(str(number), "hangs") for number in range(100)]) == 67
    line.enter(waiting("x", "well"))


async def test_a_caller_at_one_of_several_servers_leaves_others_room_to_wait_there() -> None:
    line = Line(100, 2)
    assert entered(line, [waiting("flooder") for _ in range(100)]) == 50
    assert entered(line, [waiting("other")]) == 1


async def test_in_a_full_line_the_last_of_the_lowest_priority_gives_way() -> None:
    line = Line(4, 1)
    first, lower, last, high = waiting("a"), waiting("b", priority=LOW), waiting("c", priority=LOW), waiting("d")
    for one in (first, lower, last, high):
        assert line.enter(one) is None
    assert line.enter(waiting("e")) is last
    assert line.enter(waiting("f", priority=HIGH)) is lower
    with pytest.raises(Overloaded):
        line.enter(waiting("g"))
    with pytest.raises(Overloaded):
        line.enter(waiting("g", priority=LOW))
    assert len(line) == 4


async def test_high_priority_lets_no_principal_push_out_all_others() -> None:
    line = Line(10, 1)
    for number in range(10):
        line.enter(waiting(str(number), priority=LOW))
    assert entered(line, [waiting("vip", priority=HIGH) for _ in range(10)]) == 6
    assert len(line) == 10


async def test_who_leaves_is_forgotten() -> None:
    line = Line(10, 1)
    one = waiting()
    line.enter(one)
    assert line.leave(one)
    assert not line.leave(one)
    assert (len(line), line._lines, line._of_principal, line._of_server) == (0, {}, {}, {})
