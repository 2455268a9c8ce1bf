import math

import msgspec
import pytest

from mantlet.core.call import Arrival, Call, Reply
from mantlet.core.caller import Caller
from mantlet.core.clock import Clock
from mantlet.core.headers import Headers
from mantlet.core.policy import chain
from mantlet.core.record import Trail
from mantlet.core.refusal import RateLimited
from mantlet.embed.rate_limiter import RateLimiter
from mantlet.policies.limits.client import client_of
from mantlet.policies.limits.config import LimitsConfig
from mantlet.policies.limits.policy import CallerLimits, CallLimits
from mantlet.policies.limits.status import LimitsAdmin
from mantlet.wire.answer import refused

WALL_S = 1_700_000_000.0


class Hands:
    """A clock that is turned by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.clock = Clock(lambda: self.now_s, lambda: WALL_S + self.now_s - 1000)


class Onward:
    """What lies behind the policy: counts what reached it."""

    def __init__(self) -> None:
        self.reached = 0

    async def __call__(self, item: object, /) -> Reply:
        self.reached += 1
        return Reply(200, [(b"content-type", b"application/json")], b"{}")


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def store(hands: Hands):
    # The contract suite proves every store; here any will do, so it is asked for by its port.
    from mantlet.stores.memory import MemoryLimits

    return MemoryLimits(hands.clock)


async def unread() -> bytes:
    raise AssertionError("the body was read")


def arrival(
    *, caller: Caller | None = None, peer: str = "203.0.113.7", path: str = "/mcp", verb: str = "POST"
) -> Arrival:
    return Arrival(
        verb=verb,
        path=path,
        query=b"",
        headers=Headers(),
        peer=peer,
        read=unread,
        deadline_s=0.0,
        trail=Trail("r1", "http", peer, WALL_S),
        caller=caller,
    )


def call(tool: str, *, method: str = "tools/call", server: str = "", caller: Caller | None = None) -> Call:
    caller = caller or ALICE
    return Call(
        arrival=arrival(caller=caller),
        caller=caller,
        kind="request",
        era="modern",
        server=server,
        method=method,
        target=tool,
        params={},
        body=b"",
        id=b"1",
        deadline_s=0.0,
    )


ALICE = Caller("alice", "iss", "bearer")
BOB = Caller("bob", "iss", "bearer")


def config(**sections: object) -> LimitsConfig:
    return msgspec.convert(sections, LimitsConfig)


SMALL = {
    "client": {"requests": 3, "window": 60},
    "global": {"requests": 5, "window": 60},
    "burst": {"requests": 100, "window": 1},
}


async def test_a_spent_client_is_refused_and_nothing_goes_onward(hands, store) -> None:
    """RATE-01: and the body is not read."""
    onward = Onward()
    limits = chain([CallerLimits(config(**SMALL), store, hands.clock)], onward)
    for _ in range(3):
        await limits(arrival(caller=ALICE))
    late = arrival(caller=ALICE)
    with pytest.raises(RateLimited) as caught:
        await limits(late)
    assert onward.reached == 3
    assert late.trail.rule == "limits.client"
    assert (caught.value.limit, caught.value.remaining, caught.value.is_global) == (3, 0, False)


async def test_the_global_limit_says_that_it_is_global(hands, store) -> None:
    limits = chain([CallerLimits(config(**SMALL), store, hands.clock)], Onward())
    for who in (ALICE, ALICE, ALICE, BOB, BOB):
        await limits(arrival(caller=who))
    late = arrival(caller=BOB)
    with pytest.raises(RateLimited) as caught:
        await limits(late)
    assert caught.value.is_global
    assert late.trail.rule == "limits.global"


async def test_a_refused_client_comes_back_at_its_reset_and_not_before(hands, store) -> None:
    """RATE-01: Retry-After is not earlier than the reset."""
    limits = chain([CallerLimits(config(**SMALL), store, hands.clock)], Onward())
    for _ in range(3):
        await limits(arrival(caller=ALICE))
    with pytest.raises(RateLimited) as caught:
        await limits(arrival(caller=ALICE))
    hands.now_s += 59.9
    with pytest.raises(RateLimited):
        await limits(arrival(caller=ALICE))
    hands.now_s += caught.value.retry_after_s - 59.9
    assert (await limits(arrival(caller=ALICE))).status == 200


async def test_the_429_has_the_documented_body_and_parsable_fields(hands, store) -> None:
    """RATE-01"""
    limits = chain([CallerLimits(config(**SMALL), store, hands.clock)], Onward())
    for _ in range(3):
        await limits(arrival(caller=ALICE))
    late = arrival(caller=ALICE)
    with pytest.raises(RateLimited) as caught:
        await limits(late)
    reply = refused(caught.value, late.trail)
    body = msgspec.json.decode(reply.body)
    wait_s = body["retry_after"]
    assert 60 <= wait_s <= 63
    assert body == {
        "error": "Rate limit exceeded",
        "limit": 3,
        "remaining": 0,
        "reset": body["reset"],
        "retry_after": wait_s,
        "global_limit_hit": False,
        "reason": "rate_limited",
        "request_id": "r1",
    }
    assert body["reset"] <= WALL_S + wait_s
    assert reply.header(b"ratelimit-policy") == b'"client";q=3;w=60'
    assert reply.header(b"ratelimit") == b'"client";r=0;t=%d' % wait_s
    assert reply.header(b"retry-after") == b"%d" % wait_s


async def test_an_admitted_reply_tells_of_the_tightest_limit(hands, store) -> None:
    """RATE-01"""
    limits = chain([CallerLimits(config(**SMALL), store, hands.clock)], Onward())
    reply = await limits(arrival(caller=ALICE))
    assert reply.header(b"x-ratelimit-limit") == b"3"
    assert reply.header(b"x-ratelimit-remaining") == b"2"
    assert reply.header(b"x-ratelimit-reset") == b"%d" % math.ceil(WALL_S + 60)
    assert reply.header(b"ratelimit") == b'"client";r=2;t=60'


async def test_principals_do_not_share_even_behind_one_address(hands, store) -> None:
    """RATE-02"""
    limits = chain([CallerLimits(config(client={"requests": 1}), store, hands.clock)], Onward())
    other_issuer = Caller("alice", "other", "bearer")
    other_tenant = Caller("alice", "iss", "bearer", tenant="acme")
    for who in (ALICE, BOB, other_issuer, other_tenant, None):
        await limits(arrival(caller=who))
    with pytest.raises(RateLimited):
        await limits(arrival(caller=ALICE, peer="198.51.100.1"))


@pytest.mark.parametrize(
    ("peer", "network"),
    [
        ("203.0.113.7", "203.0.113.7/32"),
        ("::ffff:203.0.113.7", "203.0.113.7/32"),
        ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64"),
        ("2001:0db8:0001:0002::ffff", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("unix", "unix"),
    ],
)
def test_who_is_not_known_is_counted_by_network(peer: str, network: str) -> None:
    """RATE-02"""
    assert client_of(None, peer) == ("network", network)


async def test_a_tenant_limit_counts_all_of_a_tenant(hands, store) -> None:
    limits = chain([CallerLimits(config(tenant={"requests": 2}), store, hands.clock)], Onward())
    await limits(arrival(caller=ALICE))
    await limits(arrival(caller=BOB))
    with pytest.raises(RateLimited) as caught:
        await limits(arrival(caller=ALICE))
    assert caught.value.name == "tenant"
    await limits(arrival())  # no principal, no tenant


async def test_a_path_profile_is_taken_with_the_others_in_one_step(hands, store) -> None:
    """RATE-01: a refusal by the endpoint's limit spends nothing of the client's."""
    routes = [{"match": {"path": "/api/status"}, "client": {"requests": 1}}]
    settings = config(client={"requests": 4}, routes=routes)
    limits = chain([CallerLimits(settings, store, hands.clock)], Onward())
    await limits(arrival(caller=ALICE, path="/api/status"))
    for _ in range(5):
        late = arrival(caller=ALICE, path="/api/status")
        with pytest.raises(RateLimited):
            await limits(late)
        assert late.trail.rule == "limits.path:/api/status"
    for _ in range(3):
        await limits(arrival(caller=ALICE, path="/api/other"))
    assert not CallLimits(settings, store, hands.clock).is_needed


async def test_an_http_method_in_capitals_is_told_from_a_json_rpc_method(hands, store) -> None:
    routes = [
        {"match": {"path": "/api/*", "method": "DELETE"}, "client": {"requests": 1}},
        {"match": {"method": "tools/list"}, "client": {"requests": 1}, "name": "lists"},
    ]
    settings = config(routes=routes)
    limits = chain([CallerLimits(settings, store, hands.clock)], Onward())
    await limits(arrival(caller=ALICE, path="/api/x", verb="DELETE"))
    await limits(arrival(caller=ALICE, path="/api/x", verb="GET"))
    with pytest.raises(RateLimited):
        await limits(arrival(caller=ALICE, path="/api/y", verb="DELETE"))
    calls = chain([CallLimits(settings, store, hands.clock)], Onward())
    await calls(call("", method="tools/list"))
    with pytest.raises(RateLimited) as caught:
        await calls(call("", method="tools/list"))
    assert caught.value.name == "lists"


async def test_tool_profiles_match_by_pattern_and_leave_others_alone(hands, store) -> None:
    routes = [{"match": {"tool": "optimizer__*"}, "client": {"requests": 2, "window": 60}}]
    onward = Onward()
    calls = chain([CallLimits(config(routes=routes), store, hands.clock)], onward)
    await calls(call("optimizer__run"))
    reply = await calls(call("optimizer__plan"))
    assert reply.header(b"x-ratelimit-remaining") == b"0"
    late = call("optimizer__run")
    with pytest.raises(RateLimited):
        await calls(late)
    assert late.trail.rule == "limits.tool:optimizer__*"
    await calls(call("optimizer__run", caller=BOB))
    plain = await calls(call("time__now"))
    assert plain.header(b"x-ratelimit-limit") is None
    # A prompt of that name is no tool.
    await calls(call("optimizer__run", method="prompts/get"))
    assert onward.reached == 5


async def test_a_profile_for_all_counts_everybody(hands, store) -> None:
    routes = [{"match": {"tool": "x", "server": "s*"}, "global": {"requests": 1}, "name": "one x"}]
    calls = chain([CallLimits(config(routes=routes), store, hands.clock)], Onward())
    await calls(call("x", server="s1"))
    await calls(call("x", server="t1"))
    late = call("x", server="s2", caller=BOB)
    with pytest.raises(RateLimited) as caught:
        await calls(late)
    assert caught.value.is_global
    assert late.trail.rule == "limits.one x.global"


async def test_the_limit_nearest_to_the_tool_tells_and_only_that(hands, store) -> None:
    routes = [{"match": {"tool": "x"}, "client": {"requests": 50}, "name": "x"}]
    settings = config(routes=routes)
    inner = chain([CallLimits(settings, store, hands.clock)], Onward())

    async def parsed(item: Arrival, /) -> Reply:
        return await inner(call("x"))

    reply = await chain([CallerLimits(settings, store, hands.clock)], parsed)(arrival(caller=ALICE))
    assert [name for name, _ in reply.headers].count(b"ratelimit") == 1
    assert reply.header(b"x-ratelimit-limit") == b"50"


async def test_admin_sees_and_resets_one_client(hands, store) -> None:
    routes = [{"match": {"tool": "x"}, "client": {"requests": 50}, "name": "x"}]
    settings = config(**SMALL, routes=routes)
    limits = chain([CallerLimits(settings, store, hands.clock)], Onward())
    for who in (ALICE, ALICE, BOB):
        await limits(arrival(caller=who))
    admin = LimitsAdmin(settings, store, hands.clock)
    alice = client_of(ALICE, "")
    assert {s.name: s.remaining for s in await admin.status(alice)} == {"client": 1, "global": 2, "burst": 98, "x": 50}
    assert await admin.reset(alice) == 2
    assert {s.name: s.remaining for s in await admin.status(alice)} == {"client": 3, "global": 2, "burst": 100, "x": 50}
    assert next(s for s in await admin.status(client_of(BOB, ""))).remaining == 2


async def test_a_reset_needs_a_client(hands, store) -> None:
    """An empty prefix would forget everybody's windows."""
    with pytest.raises(ValueError, match="client key"):
        await LimitsAdmin(config(), store, hands.clock).reset(())


@pytest.mark.parametrize(
    "section",
    [
        {"client": {"requests": 0}},
        {"client": {"requests": 1, "window": 0}},
        {"routes": [{"match": {}, "client": {"requests": 1}}]},
        {"routes": [{"match": {"tool": "x"}}]},
        {"routes": [{"match": {"tool": "x"}, "client": {"requests": 1}, "name": 'a"b'}]},
        {"on_store_failure": "allow"},
        {"globl": {"requests": 1}},
    ],
)
def test_a_section_that_makes_no_sense_is_refused(section: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        config(**section)


@pytest.mark.parametrize("name", ["client", "global", "burst", "twice"])
def test_a_taken_name_is_refused(name: str, hands, store) -> None:
    """Two limits of one name would share a window."""
    route = {"match": {"tool": "x"}, "client": {"requests": 1}}
    with pytest.raises(ValueError, match="taken"):
        CallLimits(config(routes=[{**route, "name": name}, {**route, "name": "twice"}]), store, hands.clock)


def test_the_example_of_the_config_file_is_understood() -> None:
    section = config(
        enabled=True,
        client={"requests": 100, "window": 60},
        **{"global": {"requests": 1000, "window": 60}},
        burst={"requests": 20, "window": 1},
        routes=[
            {"match": {"tool": "optimizer__*"}, "client": {"requests": 10, "window": 60}},
            {"match": {"path": "/api/status"}, "client": {"requests": 30, "window": 60}},
        ],
        connections={"per_address": 50},
        on_store_failure="local_share",
    )
    assert section.all.requests == 1000
    assert config() == config(burst={"requests": 20, "window": 1})


async def test_the_library_limiter_answers_as_documented(hands, store) -> None:
    limiter = RateLimiter(store, client_max_requests=2, global_max_requests=3, clock=hands.clock)
    answers = [await limiter.check_rate_limit("a") for _ in range(3)]
    assert [allowed for allowed, _ in answers] == [True, True, False]
    assert [info["remaining"] for _, info in answers] == [1, 0, 0]
    info = answers[2][1]
    assert set(info) == {"limit", "remaining", "reset", "retry_after", "global_limit_hit"}
    assert (info["limit"], info["global_limit_hit"]) == (2, False)
    assert 60 <= info["retry_after"] <= 62
    assert (await limiter.check_rate_limit("b"))[0]
    allowed, info = await limiter.check_rate_limit("b")
    assert (allowed, info["global_limit_hit"], info["limit"]) == (False, True, 3)
    assert (await limiter.get_client_status("b"))["remaining"] == 1
    assert await limiter.reset_client_limit("a")
    assert not await limiter.reset_client_limit("a")
    assert (await limiter.get_client_status("a"))["remaining"] == 2
