"""RES-03"""

import asyncio
import json
from typing import Any

import msgspec
import pytest
from tests.core.body import Body
from tests.upstreams.before_server import Clock, Server, a_call

from mantlet.core import refusal as r
from mantlet.core.call import Call, Reply
from mantlet.core.clock import Clock as Clocks
from mantlet.upstreams.breaker import Breaker, BreakerConfig
from mantlet.upstreams.guarded import Guarded
from mantlet.upstreams.retry.config import RetryConfig
from mantlet.upstreams.retry.idempotent import Idempotent
from mantlet.upstreams.retry.retried import Retried

GOOD = Reply(200, [], b'{"jsonrpc":"2.0","id":1,"result":{}}')


def retried(server: Any, clock: Clock, told: list[str] | None = None, **settings: object) -> Retried:
    config = msgspec.convert({"tools": ["get_*"], "budget_percent": 100, **settings}, RetryConfig)
    return Retried(
        server,
        config,
        Idempotent(config.tools),
        clock=Clocks(clock, clock),
        chance=lambda: 0.5,
        sleep=clock.sleep,
        tell=(told if told is not None else []).append,
    )


def answering(*ends: Any) -> tuple[Server, Clock]:
    """A server whose calls end so in turn; then well, each under the id that it was asked by."""
    clock = Clock()
    server = Server(clock)
    left = list(ends)

    def end(call: Call) -> Any:
        if left:
            return left.pop(0)
        return Reply(200, [], b'{"jsonrpc":"2.0","id":%b,"result":{"a": 1}}' % (call.id or b"0"))

    server.end = end
    return server, clock


FAILURES = {
    "vanished": lambda: r.BadUpstream(why="the connection ended before an answer"),
    "502": lambda: Reply(502, [], b"bad"),
    "503": lambda: Reply(503, [], b"busy"),
    "504": lambda: Reply(504, [], b"late"),
}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("tool", ["send_mail", "got_it", "forget_it", "GET_it"])
async def test_a_call_that_may_change_something_is_sent_once_whatever_becomes_of_it(failure: str, tool: str) -> None:
    """RES-03"""
    server, clock = answering(FAILURES[failure]())
    try:
        reply = await retried(server, clock).send(a_call(target=tool))
        assert reply.status >= 500
    except r.BadUpstream:
        pass
    assert len(server.calls) == 1


@pytest.mark.parametrize("failure", FAILURES)
async def test_a_call_that_changes_nothing_is_made_again_under_a_new_id(failure: str) -> None:
    """RES-03: re-issued with an id of its own, answered under the caller's."""
    server, clock = answering(FAILURES[failure]())
    call = a_call(target="get_time", params={"name": "get_time", "arguments": {"b": 1.50, "a": "ü"}}, identity="mine")
    reply = await retried(server, clock).send(call)
    assert reply.body == b'{"jsonrpc":"2.0","id":"mine","result":{"a": 1}}'
    first, second = server.calls
    assert first is call
    assert second.id != first.id
    assert json.loads(second.body)["id"] == second.message["id"] == json.loads(second.id or b"")
    # Nothing else differs, not even a digit.
    assert second.body.replace(second.id or b"", first.id or b"") == first.body
    assert second.deadline_s == first.deadline_s
    assert call.trail.notes["retries"] == "1"


async def test_what_could_not_be_sent_is_sent_again_as_it_is() -> None:
    """RES-03: before the first byte any call may be tried again."""
    server, clock = answering(r.UpstreamUnavailable())
    call = a_call(target="send_mail")
    reply = await retried(server, clock).send(call)
    assert reply.status == 200
    assert server.calls == [call, call]


@pytest.mark.parametrize(
    "refusal",
    [
        r.DeadlineExceeded(),
        r.EgressDenied(),
        r.BreakerOpen(),
        r.Overloaded(),
        r.SessionNotFound(),
        r.BadUpstream.answered("it answered 403"),
        r.BadUpstream.answered("it answered 429", "busy"),
        r.EraUnavailable("x", ()),
        r.Denied(),
    ],
    ids=lambda refusal: type(refusal).__name__,
)
async def test_what_another_time_cannot_mend_is_told_at_once(refusal: r.Refusal) -> None:
    """RES-03"""
    server, clock = answering(refusal)
    with pytest.raises(type(refusal)):
        await retried(server, clock).send(a_call(target="get_time"))
    assert len(server.calls) == 1


@pytest.mark.parametrize("reason", ["breaker_open", "bad_upstream"])
async def test_what_a_node_tells_of_those_behind_it_is_its_own_to_try_again(reason: str) -> None:
    """RES-01, RES-03: nodes in a row do not multiply their retries."""
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "error": {"code": 4503, "data": {"reason": reason}}})
    server, clock = answering(Reply(503, [], body))
    assert (await retried(server, clock).send(a_call(target="get_time"))).status == 503
    assert len(server.calls) == 1


@pytest.mark.parametrize(
    ("headers", "calls"),
    [
        ([], 2),
        ([(b"retry-after", b"1")], 2),
        ([(b"retry-after", b"3")], 1),
        ([(b"retry-after", b"Wed, 21 Oct 2026 07:28:00 GMT")], 1),
        ([(b"retry-after", b"99999999999999999999")], 1),
    ],
)
async def test_a_server_that_asks_for_patience_gets_it(headers: list[tuple[bytes, bytes]], calls: int) -> None:
    server, clock = answering(Reply(503, headers, b""))
    before_s = clock.now_s
    await retried(server, clock, max_backoff_ms=2000).send(a_call(target="get_time"))
    assert len(server.calls) == calls
    expected_s = 0.0 if calls == 1 else 1.0 if headers else 0.075
    assert clock.now_s - before_s == pytest.approx(expected_s)


async def test_all_times_share_one_deadline() -> None:
    """RES-03"""
    server, clock = answering(*[r.UpstreamUnavailable()] * 9)
    server.takes_s = 1.0
    call = a_call(target="get_time", deadline_s=clock.now_s + 3.5)
    with pytest.raises(r.UpstreamUnavailable):
        await retried(server, clock, max=5, backoff_ms=1000).send(call)
    assert len(server.calls) == 2
    assert clock.now_s < call.deadline_s


async def test_the_waits_grow_and_have_an_end() -> None:
    server, clock = answering(*[r.UpstreamUnavailable()] * 9)
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    clock.sleep = sleep  # type: ignore[method-assign]
    again = retried(server, clock, max=5, backoff_ms=100, max_backoff_ms=500)
    for _ in range(20):  # enough in store
        again.budget.called()
    with pytest.raises(r.UpstreamUnavailable):
        await again.send(a_call())
    assert waits == pytest.approx([0.075, 0.15, 0.3, 0.375, 0.375])


async def test_a_storm_of_failures_is_bounded_by_the_budget() -> None:
    """RES-03: at most 10 % of traffic, and what quiet times saved."""
    server, clock = answering()
    server.end = Reply(503, [], b"")
    told: list[str] = []
    again = retried(server, clock, told, budget_percent=10, max=3)
    for _ in range(2_000):
        await again.send(a_call(target="get_time"))
    assert len(server.calls) <= 2_000 + 200 + 1
    assert told.count("again") == len(server.calls) - 2_000
    assert told.count("budget") > 1_000
    server.end = GOOD
    for _ in range(10_000):
        await again.send(a_call(target="get_time"))
    server.calls.clear()
    server.end = Reply(503, [], b"")
    for _ in range(100):
        await again.send(a_call(target="get_time"))
    assert len(server.calls) <= 100 + 10 + 10


async def test_an_opening_breaker_ends_the_retries_and_the_failure_is_told() -> None:
    """RES-01, RES-03: each time asks the breaker; a probe is made once."""
    server, clock = answering()
    server.end = r.BadUpstream(why="broken")
    breaker = Breaker(BreakerConfig(failures=5), clock, lambda: 0.0)
    again = retried(Guarded(server, breaker, 0.0, clock), clock, max=5)
    for _ in range(20):
        again.budget.called()
    with pytest.raises(r.BadUpstream, match="broken"):
        await again.send(a_call(target="get_time"))
    assert len(server.calls) == 5
    with pytest.raises(r.BreakerOpen):
        await again.send(a_call(target="get_time"))
    clock.now_s += 10
    with pytest.raises(r.BadUpstream):
        await again.send(a_call(target="get_time"))
    assert len(server.calls) == 6


async def test_the_last_answer_is_one_to_the_callers_id_whatever_came_after_it() -> None:
    """RES-03"""

    def busy(call: Call) -> Reply:
        return Reply(503, [], b'{"jsonrpc":"2.0","id":%b,"error":{"code":1,"message":"busy"}}' % (call.id or b""))

    for ends in (
        [busy, busy, r.BreakerOpen()],
        [busy, r.BreakerOpen()],
        [busy] * 3,
        [busy, r.UpstreamUnavailable(), busy],
    ):
        left: list[Any] = list(ends)
        server, clock = answering()

        def end(call: Call, left: list[Any] = left) -> Any:
            found = left.pop(0)
            return found(call) if callable(found) else found

        server.end = end
        again = retried(server, clock, max=2)
        again.budget.called()
        reply = await again.send(a_call(target="get_time", identity="mine"))
        assert json.loads(reply.body)["id"] == "mine"  # type: ignore[arg-type]
        assert len(server.calls) == len(ends)


async def test_another_endpoint_is_asked_where_there_is_one() -> None:
    server, clock = answering(r.BadUpstream())
    asked: list[set[str]] = []

    async def elsewhere(call: Call, tried: set[str]) -> Reply:
        asked.append(set(tried))
        tried.add(f"endpoint-{len(asked)}")
        return await server.send(call)

    config = RetryConfig(tools=("*",))
    again = Retried(
        server,
        config,
        Idempotent(config.tools),
        clock=Clocks(clock, clock),
        chance=lambda: 0.0,
        elsewhere=elsewhere,
        sleep=clock.sleep,
    )
    await again.send(a_call())
    assert asked == [set(), {"endpoint-1"}]


async def test_a_streamed_answer_is_one_to_the_callers_own_id() -> None:
    """RES-03"""
    server, clock = answering(r.BadUpstream())
    first = server.end
    source = Body()

    def end(call: Call) -> Any:
        found = first(call)  # type: ignore[operator]
        if isinstance(found, BaseException):
            return found
        note = b'data: {"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1}}\n\n'
        answer = b'event: message\nid: 7\ndata: {"jsonrpc":"2.0","id":%b,"result":{"x":[1.0]}}\n\n' % (call.id or b"")
        whole = b": keep\n" + note + answer
        source.chunks = [whole[at : at + 7] for at in range(0, len(whole), 7)]
        return Reply(200, [], source)

    server.end = end
    reply = await retried(server, clock).send(a_call(target="get_time", identity=5))
    assert not isinstance(reply.body, bytes)
    text = b"".join([chunk async for chunk in reply.body])
    assert text == (
        b': keep\ndata: {"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1}}\n\n'
        b'event: message\nid: 7\ndata: {"jsonrpc":"2.0","id":5,"result":{"x":[1.0]}}\n\n'
    )
    await reply.body.aclose()  # type: ignore[attr-defined]
    assert source.is_closed


async def test_a_caller_that_leaves_while_it_waits_leaves_nothing_open() -> None:
    """RES-03"""
    failed = Body()
    server, clock = answering(Reply(503, [], failed))
    forever = asyncio.Event()

    async def sleep(seconds: float) -> None:
        await forever.wait()

    clock.sleep = sleep  # type: ignore[method-assign]
    waiting = asyncio.ensure_future(retried(server, clock).send(a_call(target="get_time")))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert failed.is_closed
    assert len(server.calls) == 1


def annotated(**said: object) -> Any:
    return lambda server, tool: said


@pytest.mark.parametrize(
    ("call", "annotations", "expected"),
    [
        (a_call(target="get_time"), None, True),
        (a_call(target="set_time"), None, False),
        (a_call(target="get_time", params={"name": "get_time", "task": {}}), None, False),
        (a_call(target="set_time"), annotated(readOnlyHint=True), True),
        (a_call(target="set_time"), annotated(idempotentHint=True), True),
        (a_call(target="set_time"), annotated(readOnlyHint="yes", idempotentHint=1), False),
        (a_call(target="set_time"), annotated(), False),
        (a_call("tools/list", ""), None, True),
        (a_call("resources/read", "file:///x"), None, True),
        (a_call("prompts/get", "p"), None, True),
        (a_call("ping", "", era="legacy"), None, True),
        (a_call("server/discover", ""), None, True),
        (a_call("initialize", "", era="legacy"), None, False),
        (a_call("logging/setLevel", "", era="legacy"), None, False),
        (a_call("resources/subscribe", "x", era="legacy"), None, False),
        (a_call("subscriptions/listen", ""), None, False),
        (a_call("tasks/cancel", "x"), None, False),
        (a_call("tasks/update", "x"), None, False),
        (a_call("anything/else", ""), None, False),
        (a_call("notifications/cancelled", "", kind="notification"), None, False),
        (a_call("", "", kind="stream"), None, False),
        (a_call("GET", "/x"), None, True),
        (a_call("POST", "/x"), None, False),
        (a_call("PUT", "/x"), None, False),
        (a_call("DELETE", "/x"), None, False),
    ],
)
def test_what_may_be_made_twice(call: Call, annotations: Any, expected: bool) -> None:
    """RES-03: only what is known to change nothing."""
    assert Idempotent(("get_*",), annotations)(call) is expected


@pytest.mark.parametrize(
    "bad",
    [{"max": -1}, {"max": 6}, {"budget_percent": 0}, {"budget_percent": 101}, {"backoff_ms": 5_000}, {"retries": 1}],
)
def test_settings_that_mean_nothing_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(bad, RetryConfig)
