"""Nonces of the node's own in proofs (RFC 9449 section 9)."""

import asyncio

import pytest
from tests.policies.authenticate.issuers.stub import NOW, House, Prover, StubIdp

from mantlet.core.clock import Clock
from mantlet.core.config_error import ConfigError
from mantlet.core.refusal import InvalidProof, NonceRequired, RateLimited
from mantlet.keys.proof import check_proof
from mantlet.policies.authenticate.dpop.nonces import Nonces
from mantlet.policies.authenticate.dpop.opening import open_dpop
from mantlet.policies.authenticate.issuers.config import DpopConfig
from mantlet.stores.state import MemoryState
from mantlet.wire.answer import refused

REQUIRED = DpopConfig(nonce="required", nonce_life=60)


class Client:
    """Proves with the last nonce that it was told, as section 8 wants it."""

    def __init__(self, house: House, idp: StubIdp) -> None:
        self.house, self.prover = house, Prover()
        self.token = idp.token(cnf={"jkt": self.prover.jkt}, exp=int(NOW) + 3000)
        self.nonce: str | None = None

    async def come(self, nonce: object = ..., **more: object) -> bytes | None:
        said = self.nonce if nonce is ... else nonce
        proof = self.prover.proof(self.token, now_s=NOW + self.house.passed_s, nonce=said)
        arrival = self.house.arrival(self.token, scheme="DPoP", proof=proof, **more)  # type: ignore[arg-type]
        reply = await self.house.policy(arrival, self.house.onward)
        return reply.header(b"dpop-nonce")


def house_of(idp: StubIdp) -> House:
    return House([idp], [{"max_token_age": 3600}], dpop=REQUIRED)


async def test_the_first_proof_is_answered_with_a_nonce_and_the_second_is_taken() -> None:
    """TOK-11: RFC 9449 sections 8 and 9"""
    idp = StubIdp()
    house = house_of(idp)
    client = Client(house, idp)
    with pytest.raises(NonceRequired) as caught:
        await client.come()
    arrival = house.arrival(client.token, scheme="DPoP")
    answer = refused(caught.value, arrival.trail, challenge=house.policy.challenge(arrival))
    assert answer.status == 401
    assert answer.header(b"dpop-nonce") == caught.value.nonce.encode()
    assert answer.header(b"cache-control") == b"no-store"
    challenge = answer.header(b"www-authenticate") or b""
    assert challenge.startswith(b"DPoP ")
    assert challenge.endswith(b', error="use_dpop_nonce"')
    assert house.onward.reached == []
    client.nonce = caught.value.nonce
    for _ in range(3):
        assert await client.come() is None


async def test_a_client_that_listens_is_asked_once() -> None:
    """RFC 9449 section 8.2: a nonce that ends soon is replaced with an answer that is good."""
    idp = StubIdp()
    house = house_of(idp)
    client = Client(house, idp)
    with pytest.raises(NonceRequired) as caught:
        await client.come()
    client.nonce = caught.value.nonce
    told = []
    for house.passed_s in range(0, 600, 20):  # type: ignore[assignment]
        if (nonce := await client.come()) is not None:
            client.nonce = nonce.decode()
            told.append(client.nonce)
    assert len(told) == len(set(told)) == 10


@pytest.mark.parametrize("said", [None, "", "x", 7, True, [], "\u00e9" * 22], ids=repr)
async def test_what_is_no_nonce_of_ours_is_none(said: object) -> None:
    """TOK-11"""
    idp = StubIdp()
    client = Client(house_of(idp), idp)
    with pytest.raises(NonceRequired):
        await client.come(said)


async def test_a_nonce_holds_for_two_slots_at_most() -> None:
    """TOK-11: what was made in advance is worth nothing."""
    idp = StubIdp()
    house = house_of(idp)
    client = Client(house, idp)
    with pytest.raises(NonceRequired) as caught:
        await client.come()
    client.nonce = caught.value.nonce
    house.passed_s = 121
    with pytest.raises(NonceRequired) as caught:
        await client.come()
    assert caught.value.nonce != client.nonce


async def test_nobody_but_the_keys_holder_is_told_a_nonce() -> None:
    """TOK-11, AUTHN-07: all that is wrong with a proof is said first; a bad one counts, a missing nonce does not."""
    idp, thief = StubIdp(), Prover()
    house = house_of(idp)
    client = Client(house, idp)
    with pytest.raises(InvalidProof) as caught:
        await house.come(client.token, scheme="DPoP", proof=thief.proof(client.token))
    assert not isinstance(caught.value, NonceRequired)


async def test_many_clients_behind_one_address_do_not_shut_one_another_out() -> None:
    """AUTHN-07: each lacks a nonce once; a key that never listens is slowed by itself."""
    idp = StubIdp()
    house = House([idp], [{"max_token_age": 3600}], dpop=REQUIRED, failures=3)
    for _ in range(20):
        client = Client(house, idp)
        with pytest.raises(NonceRequired) as caught:
            await client.come()
        await client.come(caught.value.nonce)
    deaf = Client(house, idp)
    seen = []
    for _ in range(12):
        with pytest.raises((NonceRequired, RateLimited)) as caught:
            await deaf.come()
        seen.append(caught.type)
    assert seen == [NonceRequired] * 8 + [RateLimited] * 4
    await client.come(client.nonce or (await told(client)))


async def told(client: Client) -> str:
    with pytest.raises(NonceRequired) as caught:
        await client.come()
    return caught.value.nonce


async def test_processes_that_share_a_state_share_nonces() -> None:
    """TOK-11: whichever worker gave it; and those that ask at once draw one."""
    clock = Clock(lambda: NOW, lambda: NOW)
    state = MemoryState(clock)
    every = [Nonces(state, clock, 60) for _ in range(8)]

    async def asked(nonces: Nonces) -> str:
        with pytest.raises(NonceRequired) as caught:
            await nonces.check(None)
        return caught.value.nonce

    drawn = set(await asyncio.gather(*(asked(one) for one in every)))
    assert len(drawn) == 1
    assert [await one.check(next(iter(drawn))) for one in every] == [""] * 8


@pytest.mark.parametrize("life", [0, 9, 3601])
def test_a_life_that_makes_no_sense_is_refused(life: int) -> None:
    clock = Clock(lambda: NOW, lambda: NOW)
    with pytest.raises(ConfigError, match="nonce_life"):
        open_dpop(
            DpopConfig(nonce="required", nonce_life=life),
            check_signature=check_proof,
            state=MemoryState(clock),
            clock=clock,
            public_url="https://n.example",
        )
