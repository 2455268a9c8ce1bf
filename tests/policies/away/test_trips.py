"""Browsers that are sent away and come back: whose answer counts, and when."""

import asyncio
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import pytest

from mantlet.core.call import Arrival, Reply
from mantlet.core.caller import Caller
from mantlet.core.clock import Clock
from mantlet.core.headers import Headers
from mantlet.core.record import Trail
from mantlet.core.refusal import BadUpstream, GrantRefused, InvalidCredential, IssuerUnavailable, Refusal
from mantlet.policies.away.logins import Logins
from mantlet.policies.away.trips import LIFE_S, Trips, refused
from mantlet.stores.state import MemoryState


@dataclass
class Tokens:
    access_token: str = "at"


@dataclass
class Far:
    """A flow at a server that says what a test wants."""

    name: str = "docs"
    issuer: str = "https://login.example"
    answer: Any = field(default_factory=Tokens)
    states: list[str] = field(default_factory=list)
    redeemed: list[tuple[str, str]] = field(default_factory=list)
    down: Refusal | None = None

    async def begin(self, state: str, /) -> tuple[str, str]:
        if self.down is not None:
            raise self.down
        self.states.append(state)
        return f"{self.issuer}/authorize?state={state}&a=<b>", f"verifier-{len(self.states)}"

    async def is_own(self, iss: str | None, /) -> bool:
        return iss == self.issuer

    async def redeem(self, code: str, verifier: str, /) -> Any:
        self.redeemed.append((code, verifier))
        await asyncio.sleep(0)
        if isinstance(self.answer, Refusal):
            raise self.answer
        return self.answer


class World:
    def __init__(self, *, is_secure: bool = True) -> None:
        self.now_s = 1_000.0
        self.clock = Clock(lambda: self.now_s, lambda: self.now_s)
        self.state = MemoryState(self.clock)
        self.trips = Trips(self.state, is_secure=is_secure, purpose="grant")
        self.cookies: dict[str, str] = {}

    def arrival(self, query: str = "", *, cookies: dict[str, str] | None = None) -> Arrival:
        jar = self.cookies if cookies is None else cookies
        fields = [(b"cookie", "; ".join(f"{name}={value}" for name, value in jar.items()).encode())] if jar else []

        async def read() -> bytes:
            return b""

        trail = Trail("r-1", "http", "192.0.2.1", 0.0)
        return Arrival("GET", "/oauth/callback/docs", query.encode(), Headers(fields), "192.0.2.1", read, 1e9, trail)

    async def leave(self, flow: Far, asked: bytes = b"why") -> Reply:
        reply = await self.trips.away(self.arrival(), flow, asked)
        given = (reply.header(b"set-cookie") or b"").decode()
        name, _, value = given.partition(";")[0].partition("=")
        self.cookies[name] = value
        return reply

    async def back(self, flow: Far, *, cookies: dict[str, str] | None = None, **answer: str) -> tuple[bytes, Any]:
        whole = {"state": flow.states[-1] if flow.states else "", "iss": flow.issuer, "code": "c", **answer}
        query = urlencode({name: value for name, value in whole.items() if value != "..."})
        return await self.trips.back(self.arrival(query, cookies=cookies), flow)


async def test_there_and_back() -> None:
    """OAUTH-03: by a page of ours, with a cookie that no other host could have set."""
    world, flow = World(), Far()
    reply = await world.leave(flow, b"for this")
    assert isinstance(reply.body, bytes)
    assert b"&lt;b&gt;" in reply.body
    cookie = (reply.header(b"set-cookie") or b"").decode()
    assert re.fullmatch(
        r"__Host-mantlet-grant-[0-9a-f]{16}=[\w-]{22}; Path=/; HttpOnly; SameSite=Lax; Max-Age=600; Secure", cookie
    )
    assert flow.states[0] not in cookie
    assert await world.back(flow) == (b"for this", flow.answer)
    assert flow.redeemed == [("c", "verifier-1")]


async def test_two_at_a_time_do_not_get_into_each_others_way() -> None:
    world, one, two = World(), Far("one"), Far("two")
    await world.leave(one, b"1")
    await world.leave(two, b"2")
    assert (await world.back(two))[0] == b"2"
    assert (await world.back(one))[0] == b"1"


@pytest.mark.parametrize(
    "answer",
    [
        {"state": "invented"},
        {"state": "..."},
        {"state": "x" * 100_000},
        {"iss": "https://evil.example"},
        {"iss": "..."},
        {"iss": "https://login.example/"},
        {"code": "..."},
        {"code": "x" * 5_000},
        {"error": "access_denied"},
        {"error": "server_error", "code": "..."},
    ],
)
async def test_what_does_not_fit_is_never_redeemed(answer: dict[str, str]) -> None:
    """OAUTH-03"""
    world, flow = World(), Far()
    await world.leave(flow)
    with pytest.raises(GrantRefused):
        await world.back(flow, **answer)
    assert not flow.redeemed


async def test_no_word_of_a_stranger_is_shown_and_little_recorded() -> None:
    """OAUTH-03"""
    world, flow = World(), Far()
    await world.leave(flow)
    arrival = world.arrival(
        urlencode({"state": flow.states[0], "iss": flow.issuer, "error": "<b>call\u202e 555</b>" + "x" * 500})
    )
    with pytest.raises(GrantRefused) as told:
        await world.trips.back(arrival, flow)
    page = refused(arrival, told.value)
    assert isinstance(page.body, bytes)
    assert b"call" not in page.body
    assert len(arrival.trail.notes["answered"]) <= 64
    assert "<" not in arrival.trail.notes["answered"]


@pytest.mark.parametrize("cookies", [{}, {"mantlet-grant": "x"}, {"__Host-mantlet-grant-0000000000000000": "x"}])
async def test_another_browser_takes_nothing_and_spends_nothing(cookies: dict[str, str]) -> None:
    """OAUTH-03: else whoever sends the link decides whose account it is."""
    world, flow = World(), Far()
    await world.leave(flow)
    with pytest.raises(GrantRefused):
        await world.back(flow, cookies=cookies)
    with pytest.raises(GrantRefused):
        await world.back(flow, cookies=dict.fromkeys(world.cookies, "guessed"))
    assert (await world.back(flow))[1] == flow.answer


async def test_an_answer_for_one_flow_is_none_for_another() -> None:
    """OAUTH-03: mix-up."""
    world, one, two = World(), Far("one"), Far("two")
    await world.leave(one)
    two.states = one.states
    with pytest.raises(GrantRefused):
        await world.back(two)
    other = Trips(world.state, is_secure=True, purpose="login")
    with pytest.raises(GrantRefused):
        await other.back(world.arrival(urlencode({"state": one.states[0], "iss": one.issuer, "code": "c"})), one)
    assert not two.redeemed


async def test_once_and_not_for_ever() -> None:
    """OAUTH-03: also of those that come in one moment."""
    world, flow = World(), Far()
    await world.leave(flow)
    ended = await asyncio.gather(*(world.back(flow) for _ in range(20)), return_exceptions=True)
    assert sum(not isinstance(one, BaseException) for one in ended) == 1
    assert len(flow.redeemed) == 1
    await world.leave(flow)
    world.now_s += LIFE_S
    with pytest.raises(GrantRefused):
        await world.back(flow)
    assert len(flow.redeemed) == 1


async def test_a_code_that_fails_is_spent_all_the_same() -> None:
    world, flow = World(), Far()
    for answer in ("invalid_grant", IssuerUnavailable(), BadUpstream()):
        flow.answer = answer
        await world.leave(flow)
        for _ in range(2):
            with pytest.raises(GrantRefused):
                await world.back(flow)
    assert len(flow.redeemed) == 3


@pytest.mark.parametrize("down", [IssuerUnavailable(why="10.0.0.7 refused"), BadUpstream(why="no metadata")])
async def test_a_server_that_cannot_be_asked_is_told_without_its_address(down: Refusal) -> None:
    """ERR-01"""
    world, flow = World(), Far(down=down)
    arrival = world.arrival()
    with pytest.raises(GrantRefused) as told:
        await world.trips.away(arrival, flow, b"")
    page = refused(arrival, told.value)
    assert page.status == 502
    assert isinstance(page.body, bytes)
    assert b"10.0.0.7" not in page.body
    assert arrival.trail.notes["refused"] == down.why


ALICE = Caller("alice", "https://login.example", "jwt")


async def login(world: World, flow: Far, who: Caller | Refusal) -> tuple[Reply, list[tuple[Caller, bytes]]]:
    """One login from its button to its end."""
    resumed: list[tuple[Caller, bytes]] = []

    async def recognise(_: Arrival, credential: bytes, /) -> Caller:
        assert credential == b"at"
        if isinstance(who, Refusal):
            raise who
        return who

    async def resume(_: Arrival, user: Caller, asked: bytes) -> Reply:
        resumed.append((user, asked))
        return Reply(200, [])

    logins = Logins({"corp": flow}, {flow.issuer: 60.0}, Trips(world.state, is_secure=True, purpose="login"), recognise)
    logins.on_return("grant", resume)
    reply = await logins.away(world.arrival(), "corp", "grant", b"asked")
    name, _, value = (reply.header(b"set-cookie") or b"").decode().partition(";")[0].partition("=")
    world.cookies[name] = value
    arrival = world.arrival(urlencode({"state": flow.states[-1], "iss": flow.issuer, "code": "c"}))
    arrival.path = "/oauth/login/corp"
    return await logins.callback(arrival), resumed


async def test_who_logs_in_is_who_their_token_says() -> None:
    reply, resumed = await login(World(), Far(), ALICE)
    assert reply.status == 200
    assert resumed == [(ALICE, b"asked")]


@pytest.mark.parametrize(
    "who",
    [InvalidCredential("no"), Caller("alice", "https://other.example", "jwt"), Caller("a", "mantlet:api-key", "k")],
)
async def test_whose_token_is_not_taken_is_nobody(who: Caller | Refusal) -> None:
    """OAUTH-03: also a token of another issuer than the one that was asked."""
    reply, resumed = await login(World(), Far(), who)
    assert reply.status == 400
    assert not resumed


async def test_there_is_no_login_that_nobody_offers() -> None:
    world = World()
    logins = Logins({}, {}, world.trips, None)  # type: ignore[arg-type]
    with pytest.raises(GrantRefused):
        await logins.away(world.arrival(), "corp", "grant", b"")
    assert logins.places() == []
    assert logins.life_s("https://x") == 0
