"""Streams and connections of tokens that their issuer is asked about: it is asked again while they live."""

import asyncio
from typing import Any

import pytest
from tests.policies.authenticate.introspection.test_introspection import ACTIVE, ASKING, house
from tests.policies.authenticate.issuers.stub import House, StubIdp

from mantlet.core.caller import Caller
from mantlet.core.clock import Clock
from mantlet.core.refusal import IssuerUnavailable, Overloaded
from mantlet.core.tasks import Tasks
from mantlet.policies.authenticate.introspection import held as module
from mantlet.policies.authenticate.introspection.held import MAX_ASKING, UNANSWERED_S, HeldTokens

ALICE = Caller("alice", "idp", "introspection")


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def watched(home: House, caller: Caller, until_s: float, step_s: float = 2.0) -> float | None:
    """As an open stream is: looked at every two seconds. When it ended, or None."""
    while home.passed_s < until_s:
        home.passed_s += step_s
        if not home.policy.is_current(caller):
            return home.passed_s
        await settle()
    return None


@pytest.mark.parametrize(("cache", "by_s"), [(60, 64), (10, 14), (0, 6)])
async def test_a_stream_ends_soon_after_its_token_was_revoked(cache: float, by_s: float) -> None:
    """AUTHN-06, OAUTH-05: as long after as an answer is believed, and a look."""
    idp = StubIdp()
    idp.opaque["opaque1"] = ACTIVE
    home = house(idp, cache=cache)
    caller = await home.come("opaque1")
    idp.opaque["opaque1"] = {"active": False}
    ended_s = await watched(home, caller, 200)
    assert ended_s is not None
    assert ended_s <= by_s
    assert not home.policy.is_current(caller), "over is over"


async def test_a_stream_of_a_good_token_is_asked_about_once_a_lifetime() -> None:
    idp = StubIdp()
    idp.opaque["opaque1"] = ACTIVE
    home = house(idp)
    caller = await home.come("opaque1")
    assert await watched(home, caller, 250) is None
    assert idp.asked["/introspect"] == 1 + 4


async def test_a_signed_token_that_is_asked_about_ends_its_stream_too() -> None:
    """AUTHN-06: `tokens: all`."""
    idp = StubIdp()
    token = idp.token()
    idp.opaque[token] = ACTIVE
    home = house(idp, tokens="all")
    caller = await home.come(token)
    assert await watched(home, caller, 100) is None
    idp.opaque[token] = {"active": False}
    ended_s = await watched(home, caller, 250)
    assert ended_s is not None
    assert ended_s <= 100 + 64


@pytest.mark.parametrize("less", [{"scope": "mcp:read"}, {"sub": "bob"}, {"aud": "https://other.example"}], ids=repr)
async def test_a_token_that_gives_less_than_it_did_ends_what_it_opened(less: dict[str, Any]) -> None:
    """AUTHN-06"""
    idp = StubIdp()
    idp.opaque["opaque1"] = ACTIVE
    home = house(idp)
    caller = await home.come("opaque1")
    idp.opaque["opaque1"] = ACTIVE | less
    assert await watched(home, caller, 100) is not None


async def test_an_issuer_that_does_not_answer_vouches_for_nobody_after_a_while() -> None:
    """OAUTH-05: a short outage ends nothing, a long one does."""
    idp = StubIdp()
    idp.opaque["opaque1"] = ACTIVE
    home = house(idp)
    caller = await home.come("opaque1")
    idp.down = True
    assert await watched(home, caller, 66) is None
    idp.down = False
    assert await watched(home, caller, 120) is None
    idp.down = True
    ended_s = await watched(home, caller, 300)
    assert ended_s is not None
    assert 120 < ended_s <= 66 + 60 + UNANSWERED_S + 6


async def test_a_reload_goes_on_asking() -> None:
    """AUTHN-06: the table outlives the configuration."""
    idp = StubIdp()
    idp.opaque["opaque1"] = ACTIVE
    home = house(idp)
    caller = await home.come("opaque1")
    again = House([idp], [{"introspection": ASKING}], held=home.held)
    idp.opaque["opaque1"] = {"active": False}
    home.passed_s = again.passed_s = 61
    assert again.policy.is_current(caller)
    await settle()
    assert not again.policy.is_current(caller)


async def test_a_token_of_another_process_holds_until_its_end() -> None:
    idp = StubIdp()
    idp.opaque["opaque1"] = ACTIVE
    caller = await house(idp).come("opaque1")
    other = house(idp)
    assert other.policy.is_current(caller)
    other.passed_s = 301
    assert not other.policy.is_current(caller)


class Table:
    """`HeldTokens` alone, and an issuer that answers as a test says."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.unexpected: list[BaseException] = []
        self.held = HeldTokens(Clock(lambda: self.now_s, lambda: self.now_s), Tasks(self.unexpected.append))
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.asking = self.most = self.asked = 0

    async def look(self, _: bytes) -> Caller | None:
        self.asked += 1
        self.asking += 1
        self.most = max(self.most, self.asking)
        try:
            await self.gate.wait()
            if self.error is not None:
                raise self.error
            return ALICE
        finally:
            self.asking -= 1

    def holds(self, name: str) -> bool:
        return self.held.holds(name, ALICE, self.look, 60)


async def test_questions_are_few_at_once_and_all_get_their_turn() -> None:
    table = Table()
    names = [table.held.keep(b"%d" % n, ALICE, 60) for n in range(100)]
    table.now_s = 61
    table.gate.clear()
    for _ in range(3):
        assert all(table.holds(name) for name in names)
        await settle()
    table.gate.set()
    await settle()
    await settle()
    assert (table.most, table.asked) == (MAX_ASKING, 100)
    assert not table.unexpected


async def test_our_own_bound_is_no_fault_of_a_token() -> None:
    table = Table()
    name = table.held.keep(b"1", ALICE, 60)
    table.error = Overloaded(why="others")
    for table.now_s in range(0, 500, 2):
        assert table.holds(name)
        await settle()
    table.error = IssuerUnavailable(why="down")
    assert table.holds(name)
    await settle()
    table.now_s += 2
    assert table.holds(name)
    await settle()
    table.now_s += 2
    assert not table.holds(name)


async def test_what_nobody_holds_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A credential has no business in memory that outlives what it opened."""
    table = Table()
    kept = table.held.keep(b"kept", ALICE, 60)
    for n in range(50):
        table.held.keep(b"%d" % n, ALICE, 60)
    table.now_s = 69
    assert table.holds(kept)
    await settle()
    table.now_s = 75
    table.held.keep(b"new", ALICE, 60)
    assert len(table.held) == 2
    monkeypatch.setattr(module, "MAX_HELD", 3)
    for n in range(50):
        table.held.keep(b"%d" % n, ALICE, 60)
    assert len(table.held) == 3
