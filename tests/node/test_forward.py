import asyncio

import pytest
from tests.policies.support import call, reply

from mantlet.core.call import Call, Reply
from mantlet.core.refusal import BadUpstream, DeadlineExceeded, NotFound, Overloaded
from mantlet.node.forward import Forward


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
    forward._expire(forward._waiting[0])
    late.cancel()
    await asyncio.wait({late})
    assert (forward.under_way, forward.waiting) == (1, 0)
    first.cancel()
    await asyncio.wait({first})
    assert forward.under_way == 0
