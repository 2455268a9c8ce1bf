import asyncio
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from tests.core.body import Body
from tests.upstreams.before_server import a_call
from tests.upstreams.endpoints.support import FINE, TERMS, House

from mantlet.core.call import Reply
from mantlet.core.caller import Caller
from mantlet.core.headers import Headers
from mantlet.core.refusal import (
    BadUpstream,
    BreakerOpen,
    DeadlineExceeded,
    EraUnavailable,
    InvalidRequest,
    IssuerUnavailable,
    Overloaded,
    SessionNotFound,
    UpstreamUnavailable,
)
from mantlet.upstreams.breaker import Breaker, BreakerConfig
from mantlet.upstreams.endpoints.endpoint import mark_of
from mantlet.upstreams.endpoints.endpoints import MAX_TRIES, NOTE
from mantlet.upstreams.endpoints.group import LOAD_KEPT_S
from mantlet.upstreams.health.state import Terms

MODERN, LEGACY = frozenset({"modern"}), frozenset({"legacy"})


async def ask(house: House, times: int = 1, **more: Any) -> None:
    for _ in range(times):
        await house.upstream.send(a_call(**more))


# --- choosing -------------------------------------------------------------------------------------------------------


async def test_calls_go_round_and_the_record_says_where() -> None:
    house = House()
    call = a_call()
    await house.upstream.send(call)
    assert call.trail.notes[NOTE] == "e0"
    await ask(house, 5)
    assert house.served() == {"e0": 2, "e1": 2, "e2": 2}


async def test_one_that_is_down_gets_none_until_it_is_up() -> None:
    """RES-06"""
    house = House()
    house.down("e1")
    await ask(house, 6)
    assert house.served() == {"e0": 3, "e1": 0, "e2": 3}
    house.upstream.probed(house.one("e1"), "")
    await ask(house, 6)
    assert house.served()["e1"] == 2
    assert house.told == [
        ("e1", "healthy", "degraded"),
        ("e1", "degraded", "unhealthy"),
        ("e1", "unhealthy", "healthy"),
    ]


async def test_when_all_are_down_it_says_so_at_once_and_asks_nobody() -> None:
    house = House()
    for name in house.transports:
        house.down(name)
    with pytest.raises(UpstreamUnavailable) as refused:
        await ask(house)
    assert "e0 unhealthy; e1 unhealthy" in refused.value.why
    assert refused.value.detail == "Upstream unavailable"  # which endpoints there are is nobody's affair (ERR-01)
    assert not any(house.served().values())


async def test_what_nothing_is_known_of_is_used_where_nothing_better_is_there() -> None:
    house = House(is_known=False)
    await ask(house, 3)
    assert house.served() == {"e0": 3, "e1": 0, "e2": 0}  # the first has answered, the others wait for their probe
    house.upstream.probed(house.one("e2"), "")
    await ask(house, 4)
    assert house.served() == {"e0": 5, "e1": 0, "e2": 2}


async def test_where_nobody_probes_the_unknown_are_used() -> None:
    house = House(is_known=False, is_probed=False)
    await ask(house, 6)
    assert house.served() == {"e0": 2, "e1": 2, "e2": 2}


async def test_a_zone_is_preferred_while_it_has_somebody() -> None:
    house = House(zones={"e0": "a", "e1": "b", "e2": "b"}, prefer_zone="b")
    await ask(house, 4)
    assert house.served() == {"e0": 0, "e1": 2, "e2": 2}
    house.down("e1")
    house.down("e2")
    await ask(house)
    assert house.served()["e0"] == 1


async def test_least_connections_counts_what_is_under_way() -> None:
    house = House(2, "least_connections")
    gate = house.transports["e0"].gate = house.transports["e1"].gate = asyncio.Event()
    work = [asyncio.ensure_future(ask(house)) for _ in range(6)]
    while sum(house.served().values()) < 6:
        await asyncio.sleep(0)
    assert [one.in_flight for one in house.endpoints] == [3, 3]
    gate.set()
    await asyncio.gather(*work)
    assert [one.in_flight for one in house.endpoints] == [0, 0]


async def test_least_load_believes_what_is_told_for_a_while() -> None:
    house = House(2, "least_load")
    busy = house.one("e0")
    busy.loaded(Headers([(b"endpoint-load-metrics", b"TEXT cpu_utilization=0.9")]), house.clock.now_s)
    await ask(house, 10)
    assert house.served() == {"e0": 0, "e1": 10}
    assert busy.report()["load"] == 0.9
    house.clock.now_s += LOAD_KEPT_S + 1
    house.upstream.tick()
    await ask(house, 10)
    assert house.served()["e0"] == 5


@pytest.mark.parametrize(
    ("header", "given", "key"),
    [
        (None, {"era": "legacy", "session": "s"}, "s"),
        (None, {}, "default\0local\0a"),
        ("X-User", {}, "default\0local\0a"),
        ("X-User", {"user": b"u"}, "u"),
        ("X-User", {"user": b"u", "era": "legacy", "session": "s"}, "u"),
    ],
)
async def test_what_keeps_calls_together(header: str | None, given: dict[str, Any], key: str) -> None:
    house = House(5, "session_affinity", affinity_header=header)
    user = given.pop("user", None)
    call = a_call(**given)
    if user is not None:
        call.arrival.headers = Headers([(b"x-user", user)])
    assert house.upstream._key(call) == key
    for _ in range(5):
        await house.upstream.send(call)
    assert sorted(house.served().values()) == [0, 0, 0, 0, 5]


async def test_callers_spread_and_one_caller_stays() -> None:
    house = House(4, "session_affinity")
    for number in range(100):
        await ask(house, 2, subject=f"caller {number}")
    served = house.served()
    assert all(count % 2 == 0 for count in served.values())
    assert min(served.values()) > 20


# --- failing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("refusal", [UpstreamUnavailable(why="no connection"), Overloaded(why="the pool is full")])
async def test_what_could_not_be_sent_goes_to_another_at_once(refusal: Exception) -> None:
    house = House()
    house.transports["e0"].end = refusal
    await ask(house, 3)
    assert house.served() == {"e0": 2, "e1": 2, "e2": 1}


async def test_of_many_that_cannot_be_reached_a_few_are_tried() -> None:
    house = House(20, given=Terms(fall=2))
    for transport in house.transports.values():
        transport.end = UpstreamUnavailable(why="no connection")
    with pytest.raises(UpstreamUnavailable):
        await ask(house)
    assert sum(house.served().values()) == MAX_TRIES


async def test_each_is_tried_once_and_the_last_refusal_is_the_answer() -> None:
    house = House()
    for name, transport in house.transports.items():
        transport.end = UpstreamUnavailable(why=f"no connection to {name}")
    with pytest.raises(UpstreamUnavailable, match="e2"):
        await ask(house)
    assert house.served() == {"e0": 1, "e1": 1, "e2": 1}


@pytest.mark.parametrize("end", [BadUpstream(why="it vanished"), DeadlineExceeded(), Reply(503, [], b"{}")])
async def test_what_was_sent_is_not_sent_again(end: Any) -> None:
    """RES-03: whether that is safe is not known here."""
    house = House()
    house.transports["e0"].end = end
    with suppress(BadUpstream, DeadlineExceeded):
        assert (await house.upstream.send(a_call())).status == 503
    assert house.served() == {"e0": 1, "e1": 0, "e2": 0}


async def test_one_whose_calls_fail_is_left_alone_for_a_while() -> None:
    """RES-06"""
    house = House()
    house.transports["e0"].end = BadUpstream(why="nonsense")
    for _ in range(6):
        try:
            await ask(house)
        except BadUpstream:
            continue
    assert house.state("e0") == "unhealthy"
    assert house.served()["e0"] == 2
    house.transports["e0"].end = FINE
    house.clock.now_s += 31
    house.upstream.tick()
    assert house.state("e0") == "degraded"
    await ask(house, 3)
    assert house.state("e0") == "healthy"


@pytest.mark.parametrize(
    ("end", "takes_s", "counts"),
    [
        (BadUpstream(why="x"), 0, True),
        (BadUpstream(why="identity: the token endpoint answered 500"), 0, False),  # its issuer's failure, not its own
        (IssuerUnavailable(why="identity: no connection"), 0, False),
        (UpstreamUnavailable(why="x"), 0, True),
        (DeadlineExceeded(), 2, True),
        (DeadlineExceeded(), 0.1, False),  # the caller gave it no time
        (Reply(503, [], b"{}"), 0, True),
        (Reply(500, [], b"{}"), 0, False),  # a tool that fails is no endpoint that does
        (Reply(404, [], b"{}"), 0, False),
        (Overloaded(), 0, False),
        (InvalidRequest(), 0, False),
        (SessionNotFound(), 0, False),
        (asyncio.CancelledError(), 0, False),
    ],
)
async def test_only_its_own_failures_count(end: Any, takes_s: float, counts: bool) -> None:
    """RES-01, RES-06"""
    house = House(2)
    house.transports["e0"].end = end
    house.transports["e0"].takes_s = takes_s
    for _ in range(8):
        try:
            await ask(house)
        except (Exception, asyncio.CancelledError):
            continue
    assert (house.state("e0") == "unhealthy") is counts
    assert house.one("e0").in_flight == 0


@pytest.mark.parametrize(
    ("count", "percent", "left_alone"),
    [(1, 100, 0), (2, 50, 1), (3, 50, 1), (4, 50, 2), (4, 0, 0), (4, 100, 3)],
)
async def test_not_all_are_left_alone(count: int, percent: int, left_alone: int) -> None:
    house = House(count, max_ejected_percent=percent)
    for transport in house.transports.values():
        transport.end = BadUpstream(why="all fail alike")
    for _ in range(50):
        with pytest.raises(BadUpstream):
            await ask(house)
    assert sum(one.health.is_ejected for one in house.endpoints) == left_alone


async def test_a_failure_makes_the_prober_look() -> None:
    house = House(2)
    doubts: list[str] = []
    house.one("e0").prober = type("Prober", (), {"doubt": lambda self: doubts.append("e0")})()  # type: ignore[assignment]
    house.transports["e0"].end = UpstreamUnavailable(why="no connection")
    await ask(house)
    assert doubts == ["e0"]


async def test_what_came_back_gets_its_share_bit_by_bit() -> None:
    house = House(2, given=Terms(fall=2, rise=1, slow_start_s=100))
    house.down("e0")
    house.upstream.probed(house.one("e0"), "")
    await ask(house, 110)
    assert house.served()["e0"] == pytest.approx(10, abs=2)
    house.clock.now_s += 50
    house.upstream.tick()
    await ask(house, 150)
    assert house.served()["e0"] == pytest.approx(60, abs=3)
    house.clock.now_s += 50
    house.upstream.tick()
    await ask(house, 100)
    assert house.served()["e0"] == pytest.approx(110, abs=4)


# --- a second try by somebody who knows that it is safe --------------------------------------------------------------


async def test_a_second_try_goes_elsewhere_where_there_is_an_elsewhere() -> None:
    house = House(2)
    tried: set[str] = set()
    await house.upstream.send(a_call(), tried)
    assert tried == {"e0"}
    await house.upstream.send(a_call(), tried)
    assert tried == {"e0", "e1"}
    await house.upstream.send(a_call(), tried)
    assert sum(house.served().values()) == 3


# --- breakers -------------------------------------------------------------------------------------------------------


def breakers(house_count: int) -> dict[str, Breaker]:
    config = BreakerConfig(failures=1, failure_percent=1, open=30, jitter_percent=0)
    clock = {"now": 0.0}
    return {f"e{n}": Breaker(config, lambda: clock["now"], lambda: 0.0) for n in range(house_count)}


async def test_one_whose_breaker_is_open_is_not_picked() -> None:
    """RES-01, RES-02"""
    made = breakers(2)
    house = House(2, breakers=made, given=Terms(fall=2))
    house.transports["e0"].end = BadUpstream(why="x")
    with pytest.raises(BadUpstream):
        await ask(house)
    assert made["e0"].state == "open"
    await ask(house, 5)
    assert house.served() == {"e0": 1, "e1": 5}
    assert house.one("e0").report()["breaker"] == "open"


async def test_an_endpoint_that_will_not_do_a_call_is_none_that_fails() -> None:
    """RES-01: else one caller's refused calls would take every endpoint from the others."""
    made = breakers(2)
    house = House(2, breakers=made, given=Terms(fall=2))
    for transport in house.transports.values():
        transport.end = BadUpstream.answered("it answered 403")
    for _ in range(20):
        with pytest.raises(BadUpstream, match="403"):
            await ask(house)
    assert house.served() == {"e0": 10, "e1": 10}
    assert {one.state for one in made.values()} == {"closed"}
    assert house.told == []


async def test_when_all_breakers_are_open_it_says_when_to_come_again() -> None:
    """RES-02"""
    made = breakers(2)
    house = House(2, breakers=made, given=Terms(fall=2))
    for transport in house.transports.values():
        transport.end = BadUpstream(why="x")
    for _ in range(2):
        with pytest.raises(BadUpstream):
            await ask(house)
    with pytest.raises(BreakerOpen) as refused:
        await ask(house)
    assert refused.value.retry_after_s == 30
    assert sum(house.served().values()) == 2


async def test_a_call_that_is_cancelled_gives_its_ticket_back() -> None:
    """RES-01"""
    given: list[str] = []

    class Noting:
        state, retry_after_s = "half_open", 0.0

        def admit(self) -> int | None:
            given.append("admit")
            return 7

        def succeeded(self, ticket: int, elapsed_s: float = 0.0) -> None:
            given.append(f"succeeded {ticket}")

        def failed(self, ticket: int) -> None:
            given.append(f"failed {ticket}")

        def cancelled(self, ticket: int) -> None:
            given.append(f"cancelled {ticket}")

    house = House(1, breakers={"e0": Noting()})
    house.transports["e0"].gate = asyncio.Event()
    work = asyncio.ensure_future(ask(house))
    while not house.transports["e0"].calls:
        await asyncio.sleep(0)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    house.transports["e0"].gate = None
    await ask(house)
    assert given == ["admit", "cancelled 7", "admit", "succeeded 7"]
    assert house.one("e0").in_flight == 0


# --- eras -----------------------------------------------------------------------------------------------------------


async def test_a_call_goes_to_one_that_speaks_its_era() -> None:
    house = House(3, eras={"e0": LEGACY, "e1": MODERN, "e2": LEGACY})
    await ask(house, 6)
    assert house.served() == {"e0": 0, "e1": 6, "e2": 0}
    assert house.upstream.spoken == {"modern", "legacy"}


async def test_when_none_speaks_it_the_servers_own_refusal_is_the_answer() -> None:
    house = House(2, eras={"e0": LEGACY, "e1": LEGACY})
    for transport in house.transports.values():
        transport.end = EraUnavailable("2026-07-28", ["2025-11-25"], "speaks another")
    assert house.upstream.spoken == LEGACY
    with pytest.raises(EraUnavailable) as refused:
        await ask(house)
    assert refused.value.supported == ["2025-11-25"]
    assert house.state("e0") == house.state("e1") == "healthy"


async def test_an_era_that_turns_out_only_on_asking_is_no_failure() -> None:
    house = House(2)
    house.transports["e0"].end = EraUnavailable("2026-07-28", [], "speaks another")
    await ask(house, 4)
    assert house.served()["e1"] == 4
    assert house.upstream.spoken is None
    assert house.state("e0") == "healthy"


# --- sessions -------------------------------------------------------------------------------------------------------


class Sealed:
    """Opens ids that are the name of an endpoint."""

    def get(self, session: str, caller: Caller) -> bytes:
        if session == "forged":
            raise SessionNotFound
        if session == "unmarked":  # from when the server had one URL
            return b"theirs"
        return mark_of(f"https://{session}.internal/mcp") + b"-theirs"


def in_session(name: str) -> dict[str, Any]:
    return {"era": "legacy", "session": name}


@pytest.mark.parametrize("balance", ["round_robin", "session_affinity", "least_connections"])
async def test_a_session_stays_at_its_endpoint(balance: Any) -> None:
    """MCP-04"""
    house = House(balance=balance, sessions=Sealed())
    await ask(house, 4, **in_session("e1"))
    assert house.served() == {"e0": 0, "e1": 4, "e2": 0}


@pytest.mark.parametrize("session", ["forged", "unmarked", "e9"])
async def test_a_session_of_nobody_is_not_found(session: str) -> None:
    """MCP-04"""
    house = House(sessions=Sealed())
    with pytest.raises(SessionNotFound):
        await ask(house, **in_session(session))
    assert not any(house.served().values())


async def test_an_endpoint_that_dies_loses_its_own_sessions_only() -> None:
    house = House(sessions=Sealed())
    house.down("e1")
    with pytest.raises(SessionNotFound):
        await ask(house, **in_session("e1"))
    await ask(house, **in_session("e2"))
    assert house.served() == {"e0": 0, "e1": 0, "e2": 1}


async def test_sessions_wait_for_the_only_endpoint_instead_of_being_lost() -> None:
    house = House(1, sessions=Sealed())
    house.down("e0")
    house.transports["e0"].end = UpstreamUnavailable(why="no connection")
    with pytest.raises(UpstreamUnavailable):
        await ask(house, **in_session("e0"))


async def test_sessions_go_on_where_calls_fail_but_the_server_lives() -> None:
    house = House(2, sessions=Sealed())
    house.transports["e0"].end = BadUpstream(why="x")
    for _ in range(2):
        with pytest.raises(BadUpstream):
            await ask(house, **in_session("e0"))
    assert house.state("e0") == "unhealthy"
    house.transports["e0"].end = FINE
    await ask(house, **in_session("e0"))
    assert house.served() == {"e0": 3, "e1": 0}


async def test_a_modern_call_is_bound_to_nothing() -> None:
    house = House(sessions=Sealed())
    await ask(house, 3, era="modern", session="e1")
    assert house.served() == {"e0": 1, "e1": 1, "e2": 1}


# --- draining -------------------------------------------------------------------------------------------------------


async def test_a_drained_endpoint_keeps_its_sessions_for_a_while() -> None:
    """RES-05"""
    house = House(2, sessions=Sealed(), drain_s=60)
    assert house.upstream.drain("e0")
    await ask(house, 4)
    await ask(house, **in_session("e0"))
    assert house.served() == {"e0": 1, "e1": 4}
    house.clock.now_s += 61
    house.upstream.tick()
    assert house.state("e0") == "stopped"
    with pytest.raises(SessionNotFound):
        await ask(house, **in_session("e0"))
    assert house.upstream.undrain("e0")
    house.upstream.probed(house.one("e0"), "")
    await ask(house, 2)
    assert house.served()["e0"] == 2


async def test_who_waits_for_a_connection_is_turned_away_when_it_is_gone_and_not_before() -> None:
    house = House(2)
    away: list[str] = []
    house.transports["e0"].pool = SimpleNamespace(turn_away=away.append)
    house.upstream.drain("e0")
    house.upstream.undrain("e0")
    house.transports["e0"].end = BadUpstream(why="x")
    while house.state("e0") != "unhealthy":
        with suppress(BadUpstream):
            await ask(house)
    assert away == []  # its calls fail, and sessions that wait there may still be served
    house.down("e0")
    assert away == ["endpoint e0 is unhealthy"]


async def test_the_last_one_can_be_drained_too() -> None:
    house = House(1)
    assert house.upstream.drain("e0", 0)
    house.upstream.tick()
    with pytest.raises(UpstreamUnavailable, match="e0 stopped"):
        await ask(house)
    assert not house.upstream.drain("e7")


# --- streams and reports ----------------------------------------------------------------------------------------------


async def test_a_stream_is_under_way_until_its_end() -> None:
    house = House(1)
    house.transports["e0"].end = Reply(200, [], Body(b"a", b"b"))
    reply = await house.upstream.send(a_call())
    assert house.one("e0").in_flight == 1
    assert not isinstance(reply.body, bytes)
    assert [chunk async for chunk in reply.body] == [b"a", b"b"]
    assert house.one("e0").in_flight == 0


async def test_a_stream_that_is_given_up_is_counted_once() -> None:
    house = House(1)
    body = Body(b"a")
    house.transports["e0"].end = Reply(200, [], body)
    reply: Any = (await house.upstream.send(a_call())).body
    await reply.aclose()
    await reply.aclose()
    assert body.is_closed
    assert house.one("e0").in_flight == 0


@pytest.mark.parametrize(("down", "state"), [([], "healthy"), (["e0"], "degraded"), (["e0", "e1", "e2"], "unhealthy")])
async def test_it_tells_each_endpoints_state_and_reasons(down: list[str], state: str) -> None:
    house = House()
    for name in down:
        house.down(name)
    told = await house.upstream.health()
    assert told["state"] == state
    assert told["reasons"] == [f"{name} is unhealthy" for name in down]
    rows = {row["name"]: row for row in told["endpoints"]}
    assert rows["e1"]["url"] == "https://e1.internal/mcp"
    for name in down:
        assert rows[name]["reasons"] == ["probe: no answer within 5 s (2 in a row)"]


async def test_a_querys_secrets_are_not_told() -> None:
    house = House(1)
    house.one("e0").url = "https://e0/mcp?key=secret"
    assert "secret" not in str(await house.upstream.health())


def test_terms_used_here_are_what_tests_say() -> None:
    assert (TERMS.fall, TERMS.failures) == (2, 2)
