"""RES-03: a second call only where it changes nothing, and the slower one is told to stop."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from tests.upstreams.before_server import Clock, Server, a_call

from mantlet.core import refusal as r
from mantlet.core.call import Call, Reply
from mantlet.core.tasks import Tasks
from mantlet.upstreams.hedge.config import HedgeConfig
from mantlet.upstreams.hedge.hedged import Hedged
from mantlet.upstreams.retry.idempotent import Idempotent


class Gated(Server):
    """Each call waits until the test ends it."""

    def __init__(self) -> None:
        super().__init__(Clock())
        self.ends: list[asyncio.Future[Reply]] = []
        self.came = asyncio.Condition()

    async def send(self, call: Call, /) -> Reply:
        self.calls.append(call)
        end: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.ends.append(end)
        async with self.came:
            self.came.notify_all()
        return await end

    async def has(self, calls: int) -> None:
        async with self.came:
            await self.came.wait_for(lambda: len(self.calls) >= calls)

    def answer(self, place: int, **more: Any) -> None:
        call = self.calls[place]
        body = b'{"jsonrpc":"2.0","id":%b,"result":{"by":%d}}' % (call.id or b"", place)
        self.ends[place].set_result(Reply(more.pop("status", 200), [], body))


def hedged(server: Any, **settings: object) -> tuple[Hedged, Tasks]:
    errors: list[BaseException] = []
    tasks = Tasks(errors.append)
    config = msgspec.convert({"after_ms": 1, "budget_percent": 100, **settings}, HedgeConfig)
    return Hedged(server, config, Idempotent(("get_*",)), tasks), tasks


async def settle(tasks: Tasks) -> None:
    while len(tasks):
        await asyncio.sleep(0)


async def test_the_faster_of_two_answers_and_the_other_is_cancelled() -> None:
    """RES-03"""
    server = Gated()
    hedge, tasks = hedged(server)
    call = a_call(target="get_time", identity="mine")
    asked = asyncio.ensure_future(hedge.send(call))
    await server.has(2)
    assert server.calls[0] is call
    assert server.calls[1].id != call.id
    server.answer(1)
    assert (await asked).body == b'{"jsonrpc":"2.0","id":"mine","result":{"by":1}}'
    await settle(tasks)
    assert server.ends[0].cancelled()
    assert call.trail.notes["hedged"] == "1"


async def test_a_legacy_server_is_told_which_call_nobody_waits_for() -> None:
    """RES-03: there a closed connection does not say so."""
    server = Gated()
    hedge, tasks = hedged(server)
    call = a_call(target="get_time", era="legacy", session="s")
    asked = asyncio.ensure_future(hedge.send(call))
    await server.has(2)
    server.answer(1)
    await asked
    await server.has(3)
    told = server.calls[2]
    assert (told.kind, told.method, told.session) == ("notification", "notifications/cancelled", "s")
    assert told.params["requestId"] == 1
    server.ends[2].set_exception(r.SessionNotFound())
    await settle(tasks)


async def test_the_first_may_still_win() -> None:
    server = Gated()
    hedge, tasks = hedged(server)
    asked = asyncio.ensure_future(hedge.send(a_call(target="get_time")))
    await server.has(2)
    server.answer(0)
    assert b'"by":0' in (await asked).body  # type: ignore[operator]
    await settle(tasks)
    assert server.ends[1].cancelled()


async def test_what_may_change_something_is_called_once_however_slow() -> None:
    """RES-03"""
    server = Gated()
    hedge, _ = hedged(server)
    asked = asyncio.ensure_future(hedge.send(a_call(target="send_mail")))
    await server.has(1)
    await asyncio.sleep(0.02)
    assert len(server.calls) == 1
    server.answer(0)
    await asked


async def test_a_quick_answer_makes_no_second_call() -> None:
    server = Server(Clock())
    hedge, tasks = hedged(server, after_ms=60_000)
    await hedge.send(a_call(target="get_time"))
    assert len(server.calls) == 1
    assert len(tasks) == 0


async def test_a_quick_failure_is_told_at_once() -> None:
    server = Server(Clock())
    server.end = r.BadUpstream(why="broken")
    hedge, _ = hedged(server, after_ms=60_000)
    with pytest.raises(r.BadUpstream, match="broken"):
        await hedge.send(a_call(target="get_time"))
    assert len(server.calls) == 1


async def test_one_that_fails_leaves_the_other_its_time() -> None:
    server = Gated()
    hedge, _ = hedged(server)
    asked = asyncio.ensure_future(hedge.send(a_call(target="get_time")))
    await server.has(2)
    server.ends[1].set_exception(r.BreakerOpen())
    await asyncio.sleep(0)
    server.answer(0)
    assert (await asked).status == 200


async def test_where_all_fail_the_first_failure_is_told() -> None:
    server = Gated()
    hedge, _ = hedged(server)
    asked = asyncio.ensure_future(hedge.send(a_call(target="get_time")))
    await server.has(2)
    server.ends[1].set_exception(r.BreakerOpen())
    server.ends[0].set_exception(r.BadUpstream(why="first"))
    with pytest.raises(r.BadUpstream, match="first"):
        await asked


async def test_a_caller_that_leaves_ends_both() -> None:
    """RES-03"""
    server = Gated()
    hedge, tasks = hedged(server)
    asked = asyncio.ensure_future(hedge.send(a_call(target="get_time")))
    await server.has(2)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    await settle(tasks)
    assert all(end.cancelled() for end in server.ends)


async def test_a_stream_that_lost_is_closed() -> None:
    """RES-03: the server hears that nobody reads it."""

    class Stream:
        is_closed = False

        def __aiter__(self) -> AsyncIterator[bytes]:
            return self

        async def __anext__(self) -> bytes:
            raise StopAsyncIteration

        async def aclose(self) -> None:
            self.is_closed = True

    server = Gated()
    hedge, tasks = hedged(server)
    asked = asyncio.ensure_future(hedge.send(a_call(target="get_time")))
    await server.has(2)
    streams = [Stream(), Stream()]
    for end, stream in zip(server.ends, streams, strict=True):
        end.set_result(Reply(200, [], stream))
    await asked
    await settle(tasks)
    assert [stream.is_closed for stream in streams] == [False, True]


async def test_when_everything_is_slow_the_budget_ends_it() -> None:
    """RES-03"""
    server = Gated()
    hedge, _ = hedged(server, budget_percent=10)
    asked = [asyncio.ensure_future(hedge.send(a_call(target="get_time"))) for _ in range(100)]
    await server.has(100)
    await asyncio.sleep(0.05)
    assert 100 < len(server.calls) <= 100 + 11
    for place in range(len(server.calls)):
        if not server.ends[place].done():
            server.answer(place)
    await asyncio.gather(*asked)
