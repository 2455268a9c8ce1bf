"""Another node's callers as callers here, and its keys as it publishes them."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from mantlet.core.call import Arrival
from mantlet.core.clock import SYSTEM, Clock
from mantlet.core.headers import Headers
from mantlet.core.record import Trail
from mantlet.core.refusal import InvalidCredential, IssuerUnavailable, UpstreamUnavailable
from mantlet.core.secret import Secret
from mantlet.embed import MemoryUsed
from mantlet.keys.forwarded import SharedKeyOpener, derive, sealer_with, signer
from mantlet.keys.jwk import write_set
from mantlet.keys.ring import KeyRing, published_ring
from mantlet.keys.signing import make_signing_key
from mantlet.policies.forwarded.config import PeerConfig
from mantlet.policies.forwarded.provider import ExchangedCallers, Peer, SealedCallers
from mantlet.policies.forwarded.published import COOLDOWN_S, MAX_AGE_S, REFRESH_S, PublishedKeys
from mantlet.policies.forwarded.receiver import Receiver
from mantlet.wire.forwarded import Expected, request_digest
from mantlet.wire.jws import parse

HERE = "https://here/mcp"
BODY = b'{"a":1}'


def claims(issuer: str, **more: Any) -> dict[str, Any]:
    now = int(time.time())
    return {
        "iss": issuer, "aud": HERE, "sub": "i#alice", "sub_id": {"format": "iss_sub", "iss": "i", "sub": "alice"},
        "tenant": "acme", "kind": "user", "act": {"sub": "edge"}, "iat": now, "exp": now + 60,
        "jti": str(time.monotonic_ns()), "env": "production", "scope": "a b", "roles": ["user", "admin"],
        "req": request_digest(b"POST", b"/mcp?x=1", BODY), **more,
    }  # fmt: skip


class One:
    """A node, as it signs and seals."""

    def __init__(self, folder: Path, name: str, **config: Any) -> None:
        self.issuer = f"https://{name}"
        key = make_signing_key(folder / f"{name}.key")
        self.sign, self.ring = signer(key), KeyRing([key.verification])
        shared = derive(Secret(f"{name}-m7Qx2vR9tK4wZ8nB1cY5hJ0pL3sD6fGa"), "here")
        self.seal = sealer_with(shared)
        receiver = Receiver(
            Expected(self.issuer, HERE, "production"),
            SYSTEM,
            used=MemoryUsed(),
            keys=self,
            shared=SharedKeyOpener([shared]),
        )
        self.peer = Peer(PeerConfig(name=name, issuer=self.issuer, **config), receiver)

    async def check(self, jws: Any, /) -> None:
        self.ring.check(jws)


def arrival(body: bytes = BODY, **more: Any) -> Arrival:
    async def read() -> bytes:
        return body

    given: dict[str, Any] = {"verb": "POST", "path": "/mcp", "query": b"x=1", **more}
    return Arrival(headers=Headers(), peer="", read=read, deadline_s=0, trail=Trail("r", "http", "", 0), **given)


@pytest.fixture
def one(tmp_path: Path) -> One:
    return One(tmp_path, "one", role_map={"user": "caller"}, scopes=("a",), roles=("peer",), tenant="ours")


@pytest.fixture
def two(tmp_path: Path) -> One:
    return One(tmp_path, "two")


async def test_a_callers_rights_here_are_what_this_node_gives(one: One) -> None:
    """AUTHN-09, OAUTH-07: the peer's word is on who it is, not on what it may."""
    for provider, token in (
        (ExchangedCallers([one.peer], SYSTEM), one.sign(claims(one.issuer))),
        (SealedCallers([one.peer], SYSTEM), one.seal(claims(one.issuer))),
    ):
        caller = await provider.recognise(arrival(), token.encode())
        assert caller is not None
        assert caller.key == ("ours", "https://one", "i#alice")
        assert (caller.roles, caller.scopes, caller.act) == ({"peer", "caller"}, {"a"}, ("edge",))
        assert caller.method == "forwarded"
        assert provider.is_current(caller) is True


async def test_without_a_map_words_of_the_peer_give_nothing(two: One) -> None:
    caller = await ExchangedCallers([two.peer], SYSTEM).recognise(arrival(), two.sign(claims(two.issuer)).encode())
    assert caller is not None
    assert (caller.roles, caller.scopes, caller.tenant) == (frozenset(), frozenset(), "default")


async def test_each_peer_speaks_for_itself_alone(one: One, two: One) -> None:
    """TOK-06"""
    exchanged, sealed = ExchangedCallers([one.peer, two.peer], SYSTEM), SealedCallers([one.peer, two.peer], SYSTEM)
    caller = await sealed.recognise(arrival(), two.seal(claims(two.issuer)).encode())
    assert caller is not None
    assert caller.issuer == "https://two"
    with pytest.raises(InvalidCredential):
        await exchanged.recognise(arrival(), two.sign(claims(one.issuer)).encode())
    with pytest.raises(InvalidCredential):
        await sealed.recognise(arrival(), two.seal(claims(one.issuer)).encode())


async def test_what_is_of_another_kind_is_left_to_others(one: One) -> None:
    """AUTHN-02"""
    exchanged, sealed = ExchangedCallers([one.peer], SYSTEM), SealedCallers([one.peer], SYSTEM)
    stranger = one.sign(claims("https://stranger")).encode()
    assert await exchanged.recognise(arrival(), stranger) is None
    assert await exchanged.recognise(arrival(), b"mk_key") is None
    assert await exchanged.recognise(arrival(), one.seal(claims(one.issuer)).encode()) is None
    assert await sealed.recognise(arrival(), stranger) is None
    assert await sealed.recognise(arrival(), b"mk_key") is None


async def test_a_sealed_token_is_never_remembered(one: One) -> None:
    """FWD-02: a step that remembers credentials would take it twice."""
    sealed = SealedCallers([one.peer], SYSTEM)
    assert sealed.fresh_s == 0.0
    token = one.seal(claims(one.issuer)).encode()
    assert await sealed.recognise(arrival(), token)
    with pytest.raises(InvalidCredential):
        await sealed.recognise(arrival(), token)


@pytest.mark.parametrize(
    "other",
    [
        arrival(b"other"),
        arrival(verb="PUT"),
        arrival(path="/mcp/x"),
        arrival(query=b""),
        arrival(verb="GET"),
        arrival(is_message=True),
    ],
)
async def test_a_sealed_token_is_for_one_request(one: One, other: Arrival) -> None:
    """FWD-02"""
    with pytest.raises(InvalidCredential):
        await SealedCallers([one.peer], SYSTEM).recognise(other, one.seal(claims(one.issuer)).encode())


async def test_the_body_is_read_for_the_peer_alone_and_kept(one: One) -> None:
    unread = arrival()
    with pytest.raises(InvalidCredential):
        await SealedCallers([one.peer], SYSTEM).recognise(unread, b"gAAAA" + b"x" * 99)
    assert unread.body is None
    assert await SealedCallers([one.peer], SYSTEM).recognise(unread, one.seal(claims(one.issuer)).encode())
    assert unread.body == BODY


# --- published keys --------------------------------------------------------------------------------------------------


class Site:
    """Where a node publishes its keys."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.now_s, self.asked = folder, 1_000.0, 0
        self.fails: Exception | None = None
        self.roll()
        self.keys = PublishedKeys(
            self._fetch,
            lambda body: published_ring(body, ["EdDSA"], "test"),
            Clock(lambda: self.now_s, lambda: 0.0),
        )

    def roll(self) -> None:
        self.key = make_signing_key(self.folder / "site.key", replace=True)

    async def _fetch(self) -> bytes:
        self.asked += 1
        await asyncio.sleep(0)
        if self.fails is not None:
            raise self.fails
        return write_set([self.key.jwk])

    def token(self) -> Any:
        return parse(signer(self.key)({"a": 1}).encode())


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


async def test_keys_are_asked_for_once_and_again_after_a_while(site: Site) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(site.keys.check(site.token()))
    assert site.asked == 1
    site.now_s += REFRESH_S + 1
    await site.keys.check(site.token())
    assert site.asked == 2


async def test_a_new_key_is_found_at_once_but_forgers_do_not_make_us_ask(site: Site) -> None:
    """TOK-07"""
    await site.keys.check(site.token())
    site.now_s += COOLDOWN_S
    site.roll()
    await site.keys.check(site.token())
    assert site.asked == 2
    stranger = site.token()
    site.roll()
    foreign = site.token()
    for _ in range(10):
        with pytest.raises(InvalidCredential):
            await site.keys.check(foreign)
    assert site.asked == 2
    await site.keys.check(stranger)


@pytest.mark.parametrize("error", [UpstreamUnavailable(), ValueError(), OSError()])
async def test_old_keys_hold_on_for_a_while_when_there_are_no_new_ones(site: Site, error: Exception) -> None:
    await site.keys.check(site.token())
    site.fails = error
    site.now_s += REFRESH_S + 1
    await site.keys.check(site.token())
    site.now_s += MAX_AGE_S
    with pytest.raises(IssuerUnavailable):
        await site.keys.check(site.token())


async def test_without_any_key_nobody_is_taken_or_refused(site: Site) -> None:
    """TOK-07: 503, not 401"""
    site.fails = OSError()
    with pytest.raises(IssuerUnavailable):
        await site.keys.check(site.token())


def test_a_peer_has_a_name_and_an_issuer() -> None:
    for given in ({"name": "", "issuer": "x"}, {"name": "x", "issuer": ""},
                  {"name": "x", "issuer": "y", "jwks_url": "z", "jwks_file": "z"}):  # fmt: skip
        with pytest.raises(ValueError, match=r"auth\.peers"):
            PeerConfig(**given)
