"""RES-01, RES-02"""

import asyncio
from collections.abc import Callable

import msgspec
import pytest
from tests.upstreams.before_server import Clock, Server, a_call

from mantlet.core import refusal as r
from mantlet.core.call import Reply
from mantlet.upstreams.breaker import Breaker, BreakerConfig
from mantlet.upstreams.guarded import Guarded


def behind(**settings: object) -> tuple[Guarded, Server, Clock]:
    clock = Clock()
    config = msgspec.convert({"open": 30, **settings}, BreakerConfig)
    server = Server(clock)
    return Guarded(server, Breaker(config, clock, lambda: 0.0), config.patience, clock), server, clock


def error(status: int, reason: str) -> Reply:
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "error": {"code": 4503, "data": {"reason": reason}}})
    return Reply(status, [], body)


async def ends(guarded: Guarded, times: int = 1) -> None:
    for _ in range(times):
        try:
            await guarded.send(a_call())
        except r.BreakerOpen:
            raise
        except (r.Refusal, RuntimeError):
            pass


@pytest.mark.parametrize(
    ("make", "takes_s", "opens"),
    [
        (r.UpstreamUnavailable, 0.0, True),
        (r.BadUpstream, 0.0, True),
        (r.DeadlineExceeded, 30.0, True),
        (lambda: Reply(502, [], b""), 0.0, True),
        (lambda: Reply(503, [], b"busy"), 0.0, True),
        (lambda: Reply(504, [], b'{"reason"'), 0.0, True),
        (lambda: error(503, "overloaded"), 0.0, True),
        (lambda: error(503, "audit_unavailable"), 0.0, True),
        (r.DeadlineExceeded, 0.1, False),  # the caller's own short deadline
        (r.EgressDenied, 0.0, False),
        (r.Overloaded, 0.0, False),
        (r.StoreUnavailable, 0.0, False),
        (r.IssuerUnavailable, 0.0, False),
        (lambda: r.BadUpstream(why="identity: the token endpoint answered 500"), 0.0, False),
        (lambda: r.BadUpstream.answered("it answered 403"), 0.0, False),
        (lambda: r.BadUpstream.answered("it answered 429", "busy"), 0.0, False),
        (r.SessionNotFound, 0.0, False),
        (r.InvalidRequest, 0.0, False),
        (lambda: r.EraUnavailable("2025-11-25", ()), 0.0, False),
        (lambda: RuntimeError("ours"), 0.0, False),
        (lambda: Reply(400, [], b""), 0.0, False),
        (lambda: Reply(429, [], b""), 0.0, False),
        (lambda: Reply(500, [], b""), 0.0, False),
        (lambda: Reply(200, [], b'{"error":{}}'), 90.0, False),
        (lambda: error(503, "breaker_open"), 0.0, False),
        (lambda: error(502, "bad_upstream"), 0.0, False),
        (lambda: error(503, "upstream_unavailable"), 0.0, False),
        (lambda: error(504, "deadline_exceeded"), 0.0, False),
        (lambda: Reply(503, [], b'{"status":503,"reason":"breaker_open"}'), 0.0, False),
        (lambda: Reply(503, [], b'{"reason":["breaker_open"]}'), 0.0, True),
        (lambda: Reply(503, [], b'["reason", {"reason":"breaker_open"}]'), 0.0, True),
        (lambda: Reply(503, [], b"[" * 60_000 + b'"reason"'), 0.0, True),
    ],
)
async def test_only_what_is_the_servers_own_failure_opens_it(
    make: Callable[[], Reply | BaseException], takes_s: float, opens: bool
) -> None:
    """RES-01: 4xx, own limits, and what a server tells of those behind it do not count."""
    guarded, server, _ = behind(window=10_000)
    server.end, server.takes_s = make(), takes_s
    await ends(guarded, 5)
    assert guarded.breaker.state == ("open" if opens else "closed")


async def test_an_open_breaker_refuses_with_a_time_to_come_again_and_sends_nothing() -> None:
    """RES-02"""
    guarded, server, clock = behind()
    server.end = r.BadUpstream()
    await ends(guarded, 5)
    clock.now_s += 10.5
    with pytest.raises(r.BreakerOpen) as refused:
        await guarded.send(a_call())
    assert refused.value.retry_after_s == 20
    assert len(server.calls) == 5
    health = await guarded.health()
    assert health["breaker"] == {"state": "open", "opened": 1, "refused": 1, "retry_after_s": 19.5}


@pytest.mark.parametrize("probes", [1, 4])
async def test_a_thousand_callers_at_half_open_make_exactly_so_many_calls(probes: int) -> None:
    """RES-01"""
    guarded, server, clock = behind(half_open_probes=probes)
    server.end = r.BadUpstream()
    await ends(guarded, 5)
    clock.now_s += 30
    server.calls, server.end, server.gate = [], Reply(200, [], b"{}"), asyncio.Event()
    callers = [asyncio.ensure_future(guarded.send(a_call())) for _ in range(1_000)]
    await asyncio.sleep(0)
    server.gate.set()
    results = await asyncio.gather(*callers, return_exceptions=True)
    assert len(server.calls) == probes
    assert sum(isinstance(result, Reply) for result in results) == probes
    assert sum(isinstance(result, r.BreakerOpen) for result in results) == 1_000 - probes
    assert guarded.breaker.state == "closed"


async def test_a_cancelled_probe_lets_the_next_one_through() -> None:
    """RES-01"""
    guarded, server, clock = behind()
    server.end = r.BadUpstream()
    await ends(guarded, 5)
    clock.now_s += 30
    server.gate = asyncio.Event()
    probe = asyncio.ensure_future(guarded.send(a_call()))
    await asyncio.sleep(0)
    with pytest.raises(r.BreakerOpen):
        await guarded.send(a_call())
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    server.gate, server.end = None, Reply(200, [], b"{}")
    await guarded.send(a_call())
    assert guarded.breaker.state == "closed"


async def test_messages_that_are_only_taken_do_not_make_up_for_calls_that_fail() -> None:
    """RES-01: a bridge sends two messages for one call."""
    guarded, server, clock = behind()
    for kind in ("notification", "response", "stream", "end"):
        await guarded.send(a_call("", "", kind=kind))
    for _ in range(5):
        server.end = Reply(202, [], b"")
        await guarded.send(a_call("notifications/cancelled", "", kind="notification"))
        server.end = r.BadUpstream()
        await ends(guarded)
    assert guarded.breaker.state == "open"
    clock.now_s += 30
    server.end = Reply(202, [], b"")
    await guarded.send(a_call("notifications/cancelled", "", kind="notification"))
    assert guarded.breaker.state == "half_open"


async def test_a_probe_that_is_refused_shows_that_the_server_is_there() -> None:
    """RES-01: a caller whose calls the server will not do neither opens a breaker nor keeps it open."""
    guarded, server, clock = behind(failures=1)
    server.end = r.BadUpstream(why="no JSON")
    await ends(guarded)
    assert guarded.breaker.state == "open"
    clock.now_s += 60
    server.end = r.BadUpstream.answered("it answered 413")
    await ends(guarded)
    assert guarded.breaker.state == "closed"


@pytest.mark.parametrize(("takes_s", "opens"), [(1.5, False), (9.9, False), (10.0, True), (29.9, True)])
async def test_a_caller_in_a_hurry_does_not_take_the_server_from_the_others(takes_s: float, opens: bool) -> None:
    """RES-01: a tool that takes two seconds, asked for with a deadline of one and a half; but a server that hangs is
    noticed by the calls of other nodes, which always tell what time is left."""
    guarded, server, _ = behind(window=10_000)
    server.end, server.takes_s = r.DeadlineExceeded(), takes_s
    for _ in range(5):
        with pytest.raises(r.DeadlineExceeded):
            await guarded.send(a_call(headers=[(b"x-request-timeout-ms", b"%d" % (takes_s * 1000))]))
    assert guarded.breaker.state == ("open" if opens else "closed")
