"""Tokens that are bound to something: a key (RFC 9449), a certificate (RFC 8705)."""

from typing import Any

import pytest
from tests.policies.authenticate.issuers.stub import MCP, NOW, URL, House, Prover, StubIdp, b64, certificate, sign

from mantlet.core.refusal import InvalidCredential, InvalidProof, RateLimited
from mantlet.policies.authenticate.dpop.proof import place_of
from mantlet.policies.authenticate.issuers.config import DpopConfig
from mantlet.wire.answer import refused


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "Ed25519"])
async def test_a_bound_token_is_taken_with_a_fresh_proof_each_time(algorithm: str) -> None:
    """TOK-11: also when the token is known already."""
    idp, prover = StubIdp(), Prover(algorithm)
    house = House([idp])
    token = idp.token(cnf={"jkt": prover.jkt})
    for _ in range(3):
        assert (await house.come(token, scheme="DPoP", proof=prover.proof(token))).subject == "alice"
    assert (await house.come(token, scheme="dpop", proof=prover.proof(token))).subject == "alice"


async def test_a_proof_is_used_once() -> None:
    """TOK-11: RFC 9449 section 11.1, and not anew when its time is nearly over."""
    idp, prover = StubIdp(), Prover()
    house = House([idp])
    token = idp.token(cnf={"jkt": prover.jkt})
    proof = prover.proof(token)
    await house.come(token, scheme="DPoP", proof=proof)
    for passed_s in (0, 59, 60, 61, 300):
        house.passed_s = passed_s
        with pytest.raises(InvalidProof):
            await house.come(token, scheme="DPoP", proof=proof)


@pytest.mark.parametrize(
    ("header", "claims"),
    [
        ({"typ": "JWT"}, {}), ({"typ": "at+jwt"}, {}), ({"jwk": None}, {}), ({"jwk": {}}, {}), ({"jwk": "x"}, {}),
        ({"jwk": {"kty": "oct", "k": "AAAA"}}, {}), ({"jwk": {"kty": ["EC"]}}, {}), ({"crit": ["b64"]}, {}),
        ({"b64": False}, {}), ({"jku": "https://evil.example"}, {}), ({"alg": "none"}, {}),
        ({"alg": "HS256"}, {}), ({"alg": "ES384"}, {}),
        ({}, {"htm": "GET"}), ({}, {"htm": "post"}), ({}, {"htm": None}),
        ({}, {"htu": f"{MCP}/one"}), ({}, {"htu": "https://evil.example/mcp"}), ({}, {"htu": "http://node.example/mcp"}),
        ({}, {"htu": "https://node.example:444/mcp"}), ({}, {"htu": "https://a@node.example/mcp"}), ({}, {"htu": None}),
        ({}, {"htu": "/mcp"}), ({}, {"htu": f"{MCP}/"}), ({}, {"htu": f"{URL}/mcp%2f"}), ({}, {"htu": 7}),
        ({}, {"ath": None}), ({}, {"ath": b64(b"0" * 32)}), ({}, {"ath": ""}),
        ({}, {"iat": int(NOW) - 61}), ({}, {"iat": int(NOW) + 6}), ({}, {"iat": None}), ({}, {"iat": True}),
        ({}, {"iat": "1700000000"}), ({}, {"jti": None}), ({}, {"jti": ""}), ({}, {"jti": 7}), ({}, {"jti": "x" * 257}),
    ],
    ids=repr,
)  # fmt: skip
async def test_a_proof_for_something_else_is_refused(header: dict[str, Any], claims: dict[str, Any]) -> None:
    """TOK-11: RFC 9449 section 4.3"""
    idp, prover = StubIdp(), Prover()
    house = House([idp])
    token = idp.token(cnf={"jkt": prover.jkt})
    with pytest.raises(InvalidProof):
        await house.come(token, scheme="DPoP", proof=prover.proof(token, header=header, **claims))


@pytest.mark.parametrize(
    "htu",
    ["https://node.example/mcp?x=1#y", "HTTPS://NODE.example:443/mcp", "https://node.example/%6dcp", "wss://node.example/mcp"],
)  # fmt: skip
async def test_two_spellings_of_one_place_are_equal(htu: str) -> None:
    """RFC 9449 section 4.3: query and fragment do not count; RFC 3986 section 6.2."""
    idp, prover = StubIdp(), Prover()
    token = idp.token(cnf={"jkt": prover.jkt})
    await House([idp]).come(token, scheme="DPoP", proof=prover.proof(token, htu=htu))


@pytest.mark.parametrize("url", ["", "x", "https://", "https://h:x/", "ftp://h/", "https://[::1/", "https://h/%ff"])
def test_what_is_no_place(url: str) -> None:
    assert place_of(url) is None


async def test_proofs_by_others_none_two_and_private_keys_are_refused() -> None:
    """TOK-11"""
    idp, prover, thief = StubIdp(), Prover(), Prover()
    house = House([idp])
    token = idp.token(cnf={"jkt": prover.jkt})
    private = {**prover.jwk, "d": b64(b"1" * 32)}
    stolen = prover.proof(token).rpartition(".")[0] + "." + thief.proof(token).rpartition(".")[2]
    for proof in (
        thief.proof(token),
        thief.proof(token, header={"jwk": prover.jwk}),
        prover.proof(token, header={"jwk": private}),
        stolen,
        prover.proof("another token"),
        "x",
        "",
        [],
        [prover.proof(token), prover.proof(token)],
        f"{prover.proof(token)}, {prover.proof(token)}",
        prover.proof(token, x="y" * 9000),
    ):
        with pytest.raises(InvalidProof):
            await house.come(token, scheme="DPoP", proof=proof)


async def test_bad_proofs_do_not_shut_out_who_holds_the_key() -> None:
    """TOK-11, AUTHN-07: whoever stole the token can be slowed, and its holder is not."""
    idp, prover, thief = StubIdp(), Prover(), Prover()
    house = House([idp], failures=3)
    token = idp.token(cnf={"jkt": prover.jkt})
    outcomes = []
    for _ in range(5):
        with pytest.raises((InvalidProof, RateLimited)) as caught:
            await house.come(token, scheme="DPoP", proof=thief.proof(token), peer="198.51.100.1")
        outcomes.append(caught.type)
    assert outcomes == [InvalidProof] * 3 + [RateLimited] * 2
    assert (await house.come(token, scheme="DPoP", proof=prover.proof(token))).subject == "alice"


async def test_scheme_and_token_must_fit() -> None:
    """TOK-11: RFC 9449 sections 7.1 and 7.2; in any order, and whatever is remembered."""
    idp, prover = StubIdp(), Prover()
    house = House([idp])
    bound, plain = idp.token(cnf={"jkt": prover.jkt}), idp.token()
    for _ in range(2):
        with pytest.raises(InvalidCredential):
            await house.come(bound, proof=prover.proof(bound))
        assert (await house.come(bound, scheme="DPoP", proof=prover.proof(bound))).subject == "alice"
        assert (await house.come(plain)).subject == "alice"
        with pytest.raises(InvalidCredential):
            await house.come(plain, scheme="DPoP", proof=prover.proof(plain))
    assert (await house.come(plain, proof=prover.proof(plain))).subject == "alice"  # a client that proves to everybody


async def test_the_challenge_of_a_bad_proof() -> None:
    """RFC 9449 section 7.1: algs, and the error of the scheme that was used."""
    idp, prover = StubIdp(), Prover()
    house = House([idp])
    token = idp.token(cnf={"jkt": prover.jkt})
    arrival = house.arrival(token, scheme="DPoP")
    with pytest.raises(InvalidProof) as caught:
        await house.policy(arrival, house.onward)
    reply = refused(caught.value, arrival.trail, challenge=house.policy.challenge(arrival))
    assert reply.status == 401
    metadata = f'resource_metadata="{URL}/.well-known/oauth-protected-resource/mcp"'
    expected = f'DPoP realm="mantlet", algs="ES256 Ed25519 EdDSA", {metadata}, error="invalid_dpop_proof"'
    assert reply.header(b"www-authenticate") == expected.encode()


async def test_where_no_proof_is_taken_bound_tokens_are_not() -> None:
    idp, prover = StubIdp(), Prover()
    house = House([idp], dpop=DpopConfig(enabled=False))
    token = idp.token(cnf={"jkt": prover.jkt})
    for scheme in ("Bearer", "DPoP"):
        with pytest.raises(InvalidCredential):
            await house.come(token, scheme=scheme, proof=prover.proof(token))
    assert house.policy.challenge(house.arrival(token, scheme="DPoP")).startswith("Bearer ")


async def test_the_admin_door_has_no_place_to_prove_for() -> None:
    idp, prover = StubIdp(), Prover()
    token = idp.token(cnf={"jkt": prover.jkt})
    with pytest.raises(InvalidProof):
        await House([idp]).come(token, scheme="DPoP", proof=prover.proof(token), door="admin")


async def test_a_token_of_a_certificate_is_taken_over_its_connections_alone() -> None:
    """TOK-11: RFC 8705 section 3; with another certificate or none 401, also when the token is known."""
    idp = StubIdp()
    house = House([idp])
    token = idp.token(cnf={"x5t#S256": b64(b"c" * 32)})
    for _ in range(2):
        for shown in (None, certificate(b"d" * 32)):
            with pytest.raises(InvalidCredential):
                await house.come(token, certificate=shown)
        assert (await house.come(token, certificate=certificate())).subject == "alice"


async def test_a_token_of_both_needs_both() -> None:
    idp, prover = StubIdp(), Prover()
    house = House([idp])
    token = idp.token(cnf={"x5t#S256": b64(b"c" * 32), "jkt": prover.jkt})
    with pytest.raises(InvalidCredential):
        await house.come(token, scheme="DPoP", proof=prover.proof(token))
    with pytest.raises(InvalidCredential):
        await house.come(token, certificate=certificate())
    await house.come(token, scheme="DPoP", proof=prover.proof(token), certificate=certificate())


@pytest.mark.parametrize(
    "cnf",
    [{}, [], None, 7, {"jkt": ""}, {"jkt": 7}, {"jkt": "x" * 43 + "="}, {"kid": "k"}, {"jwk": {}},
     {"x5t#S256": b64(b"c" * 31)}, {"x5t#S256": "é" * 43}, {"jkt": "!" * 43}, {"jkt": "A" * 43, "x": "A" * 43}],
    ids=repr,
)  # fmt: skip
async def test_a_binding_that_cannot_be_read_is_no_bearer_token(cnf: Any) -> None:
    """TOK-11: nothing missing ever means yes."""
    idp = StubIdp()
    claims = {
        "iss": idp.issuer, "sub": "alice", "aud": MCP, "iat": int(NOW), "exp": int(NOW) + 300, "cnf": cnf,
    }  # fmt: skip
    token = sign({"typ": "at+jwt", "kid": "k1"}, claims, idp.keys[0])
    with pytest.raises(InvalidCredential):
        await House([idp]).come(token, certificate=certificate())
