import asyncio
from collections.abc import Sequence
from typing import Literal

import pytest
from tests.policies.support import BOB, call, reply

from mantlet.core.call import Call, Reply
from mantlet.core.caller import Caller
from mantlet.core.refusal import BadUpstream, DeadlineExceeded, NotFound, Overloaded
from mantlet.node.steps.forward import Forward
from mantlet.policies.admission.config import AdaptiveConfig, PriorityMatch, PriorityRule
from mantlet.wire import answer


class Upstream:
    name = "one"

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.got: list[Call] = []
        self.error: Exception | None = None

    async def send(self, call: Call, /) -> Reply:
        self.got.append(call)
        await self.gate.wait()
        if self.error:
            raise self.error
        return reply({})

    async def health(self) -> dict[str, object]:
        return {}


async def test_a_call_goes_to_the_server_it_names_and_to_no_other() -> None:
    """TOOL-05"""
    one = Upstream()
    one.gate.set()
    forward = Forward({"one": one}, 10, 0, lambda: 0.0)
    item = call()
    assert (await forward(item)).status == 200
    for server in ("two", "", "ONE"):
        with pytest.raises(NotFound):
            await forward(call(server=server))
    assert one.got == [item]


async def test_more_than_the_limit_at_once_is_refused_and_not_sent() -> None:
    """RES-04"""
    one = Upstream()
    forward = Forward({"one": one}, 3, 0, lambda: 0.0)
    under_way = [asyncio.ensure_future(forward(call())) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await forward(call())
    assert len(one.got) == 3
    under_way[0].cancel()
    await asyncio.wait({under_way[0]})
    assert forward.under_way == 2
    one.error = BadUpstream()
    one.gate.set()
    await asyncio.wait(under_way)
    assert forward.under_way == 0
    assert [type(task.exception()) for task in under_way[1:]] == [BadUpstream, BadUpstream]


async def turns(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_calls_that_wait_go_in_the_order_they_came_and_the_next_too_many_is_refused() -> None:
    """RES-04: a bounded queue."""
    one = Upstream()
    forward = Forward({"one": one}, 1, 2, lambda: 0.0)
    items = [call() for _ in range(3)]
    tasks = [asyncio.ensure_future(forward(item)) for item in items]
    await turns()
    assert (one.got, forward.waiting) == (items[:1], 2)
    with pytest.raises(Overloaded):
        await forward(call())
    one.gate.set()
    await asyncio.gather(*tasks)
    assert one.got == items
    assert (forward.under_way, forward.waiting) == (0, 0)


async def test_a_client_that_leaves_while_it_waits_is_never_sent_and_frees_its_place() -> None:
    one = Upstream()
    forward = Forward({"one": one}, 1, 2, lambda: 0.0)
    tasks = [asyncio.ensure_future(forward(call())) for _ in range(3)]
    await turns()
    tasks[1].cancel()
    await turns()
    assert forward.waiting == 1
    # The last leaves in the very turn in which the place is handed to it.
    tasks[0].cancel()
    await turns(1)
    assert (forward.under_way, forward.waiting) == (1, 0)
    tasks[2].cancel()
    await asyncio.wait({tasks[2]})
    assert len(one.got) == 1
    assert (forward.under_way, forward.waiting) == (0, 0)


async def test_a_call_past_its_deadline_is_not_started() -> None:
    """RES-03"""
    one = Upstream()
    forward = Forward({"one": one}, 1, 2, lambda: 0.0)
    first = asyncio.ensure_future(forward(call()))
    await turns()
    late = call()
    late.deadline_s = -1.0
    with pytest.raises(DeadlineExceeded):
        await forward(late)
    assert len(one.got) == 1
    first.cancel()
    await asyncio.wait({first})
    assert (forward.under_way, forward.waiting) == (0, 0)


async def test_a_client_that_leaves_in_the_turn_in_which_a_place_frees_loses_nobodys_place() -> None:
    one = Upstream()
    forward = Forward({"one": one}, 1, 3, lambda: 0.0)
    tasks = [asyncio.ensure_future(forward(call())) for _ in range(3)]
    await turns()
    one.gate.set()  # the first ends in the turn in which the second, next in line, is cancelled
    tasks[1].cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(outcomes[1], asyncio.CancelledError)
    assert [type(outcome) for outcome in outcomes[::2]] == [Reply, Reply]
    assert (forward.under_way, forward.waiting) == (0, 0)


async def test_a_client_that_leaves_in_the_turn_of_its_deadline_gives_up_no_place_it_never_had() -> None:
    one = Upstream()
    forward = Forward({"one": one}, 1, 3, lambda: 0.0)
    first = asyncio.ensure_future(forward(call()))
    await turns()
    late = asyncio.ensure_future(forward(call()))
    await turns()
    forward._expire(next(iter(next(iter(forward._line._lines.values())).values())))
    late.cancel()
    await asyncio.wait({late})
    assert (forward.under_way, forward.waiting) == (1, 0)
    first.cancel()
    await asyncio.wait({first})
    assert forward.under_way == 0


def someone(number: int) -> Caller:
    return Caller(f"caller {number}", "iss", "bearer")


async def close(tasks: Sequence[asyncio.Future[Reply]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_server_that_hangs_takes_no_place_from_the_others() -> None:
    """RES-04"""
    hangs, well = Upstream(), Upstream()
    well.gate.set()
    forward = Forward({"hangs": hangs, "well": well}, 10, 20, lambda: 0.0)
    tasks = [asyncio.ensure_future(forward(call(server="hangs", caller=someone(n)))) for n in range(40)]
    await turns()
    assert (forward.under_way, forward.waiting) == (7, 14)
    for number in range(100):
        assert (await forward(call(server="well", caller=someone(number)))).status == 200
    assert len(hangs.got) == 7
    await close(tasks)
    assert (forward.under_way, forward.waiting) == (0, 0)


async def test_several_that_hang_leave_places_too() -> None:
    """RES-04"""
    well = Upstream()
    well.gate.set()
    forward = Forward({"a": Upstream(), "b": Upstream(), "c": Upstream(), "well": well}, 40, 0, lambda: 0.0)
    tasks = [asyncio.ensure_future(forward(call(server=name))) for name in "abc" for _ in range(40)]
    await turns()
    assert forward.under_way < 40
    assert (await forward(call(server="well"))).status == 200
    await close(tasks)


async def test_a_call_whose_deadline_has_passed_is_not_begun() -> None:
    """RES-03"""
    one = Upstream()
    one.gate.set()
    item = call()
    forward = Forward({"one": one}, 10, 0, lambda: item.deadline_s)
    with pytest.raises(DeadlineExceeded):
        await forward(item)
    assert one.got == []
    assert forward.under_way == 0


async def test_a_server_whose_calls_fail_has_fewer_and_gets_them_back() -> None:
    """RES-04"""
    one = Upstream()
    one.gate.set()
    one.error = DeadlineExceeded()
    takes_s, now_s = 0.5, [0.0]

    def monotonic() -> float:
        now_s[0] += takes_s
        return now_s[0]

    forward = Forward({"one": one}, 10, 20, monotonic, adaptive=AdaptiveConfig(min=2))
    for _ in range(40):
        with pytest.raises(DeadlineExceeded):
            await forward(call())
    assert forward.limits() == {"one": (10, 10)}, "callers that wait for less than a second took its places"
    takes_s = 2.0
    for _ in range(40):
        with pytest.raises(DeadlineExceeded):
            await forward(call(fields=[(b"x-request-timeout-ms", b"2000")]))
    assert forward.limits() == {"one": (10, 10)}, "callers in a hurry took its places"
    for _ in range(40):
        with pytest.raises(DeadlineExceeded):
            await forward(call())
    assert forward.limits() == {"one": (2, 10)}
    takes_s = 0.0
    one.error = None
    one.gate.clear()
    tasks = [asyncio.ensure_future(forward(call())) for _ in range(12)]
    await turns()
    assert (forward.under_way, forward.waiting) == (2, 10)
    one.gate.set()
    await asyncio.gather(*tasks)
    assert forward.limits()["one"][0] > 2
    assert (forward.under_way, forward.waiting) == (0, 0)


@pytest.mark.parametrize(("refusal", "left"), [("no", 10), ("busy", 2), ("", 2)])
async def test_a_server_that_will_not_do_a_callers_calls_is_none_that_has_too_much_to_do(
    refusal: Literal["", "no", "busy"], left: int
) -> None:
    """RES-04"""
    one = Upstream()
    one.gate.set()
    one.error = BadUpstream(why="it answered")
    one.error.said = refusal
    forward = Forward({"one": one}, 10, 20, lambda: 0.0, adaptive=AdaptiveConfig(min=2))
    for _ in range(40):
        with pytest.raises(BadUpstream):
            await forward(call())
    assert forward.limits() == {"one": (left, 10)}


async def test_switched_off_the_limit_stays_what_it_is() -> None:
    one = Upstream()
    one.gate.set()
    one.error = BadUpstream()
    forward = Forward({"one": one}, 10, 0, lambda: 0.0, adaptive=AdaptiveConfig(enabled=False))
    for _ in range(40):
        with pytest.raises(BadUpstream):
            await forward(call())
    assert forward.limits() == {"one": (10, 10)}


@pytest.mark.parametrize(("slow_ms", "limit"), [(500, 2), (2000, 10), (None, 10)])
async def test_slow_is_failed_only_where_the_config_says_what_slow_is(slow_ms: int | None, limit: int) -> None:
    """RES-04"""
    now_s = 0.0

    class Slow(Upstream):
        async def send(self, call: Call, /) -> Reply:
            nonlocal now_s
            now_s += 1.0
            return reply({})

    forward = Forward({"one": Slow()}, 10, 0, lambda: now_s, adaptive=AdaptiveConfig(min=2, slow_ms=slow_ms))
    for _ in range(40):
        await forward(call())
    assert forward.limits()["one"][0] == limit


async def test_under_load_the_low_give_way_to_the_high_and_are_told_to_come_again() -> None:
    """RES-04: 503 and Retry-After."""
    one = Upstream()
    rules = [
        PriorityRule(match=PriorityMatch(methods=["tools/list"]), priority="high"),
        PriorityRule(match=PriorityMatch(methods=["tools/call"]), priority="low"),
    ]
    forward = Forward({"one": one}, 1, 2, lambda: 0.0, priorities=rules)
    low = [asyncio.ensure_future(forward(call())) for _ in range(3)]
    await turns()
    item = call("tools/list", caller=BOB)
    high = asyncio.ensure_future(forward(item))
    await turns()
    refused = low[2].exception()
    assert isinstance(refused, Overloaded)
    assert (answer.refused(refused, item.trail).status, refused.retry_after_s) == (503, 1.0)
    assert (forward.waiting, forward.shed) == (2, 1)
    one.gate.set()
    await asyncio.gather(high, *low[:2])
    assert one.got[1] is item
    assert (forward.under_way, forward.waiting) == (0, 0)


async def test_one_caller_that_floods_leaves_the_others_room_to_wait() -> None:
    """RES-04"""
    one = Upstream()
    forward = Forward({"one": one}, 1, 10, lambda: 0.0)
    flood = [asyncio.ensure_future(forward(call())) for _ in range(50)]
    await turns()
    assert forward.waiting == 7
    other = asyncio.ensure_future(forward(call(caller=BOB)))
    await turns()
    assert not other.done()
    one.gate.set()
    assert (await other).status == 200
    await asyncio.gather(*flood, return_exceptions=True)
    assert (forward.under_way, forward.waiting, forward.shed) == (0, 0, 42)
