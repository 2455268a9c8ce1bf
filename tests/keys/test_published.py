"""Key sets that others publish, and proofs that bring their key."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, get_default_algorithms

from mantlet.core.refusal import InvalidCredential, InvalidProof
from mantlet.keys.jwk import public_jwk
from mantlet.keys.proof import check_proof
from mantlet.keys.ring import published_ring
from mantlet.wire.jws import Jws

SIGNERS = get_default_algorithms()
EC = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)
ED = ed25519.Ed25519PrivateKey.generate()


def jwk(key: Any, algorithm: str, **more: Any) -> dict[str, Any]:
    whole = {**public_jwk(key.public_key(), algorithm), **more}
    return {name: value for name, value in whole.items() if value is not None}


def signed(key: Any, algorithm: str, kid: str | None = None) -> Jws:
    return Jws(algorithm, kid, None, {}, b"signed", SIGNERS[algorithm].sign(b"signed", key))


def ring(*keys: dict[str, Any], algorithms: tuple[str, ...] = ("ES256", "RS256")) -> Any:
    return published_ring(json.dumps({"keys": keys}).encode(), algorithms, "https://idp.example/jwks")


def test_each_key_verifies_with_its_own_and_listed_algorithms() -> None:
    """TOK-01: also a key that does not say what it is for."""
    keys = ring(jwk(EC, "ES256", kid="e"), jwk(RSA, "RS256", kid="r", alg=None), jwk(ED, "EdDSA", kid="o"))
    keys.check(signed(EC, "ES256", "e"))
    keys.check(signed(RSA, "RS256", "r"))
    for bad in (
        signed(RSA, "PS256", "r"),
        signed(RSA, "RS512", "r"),
        signed(RSA, "RS256", "e"),
        signed(ED, "EdDSA", "o"),
    ):
        with pytest.raises(InvalidCredential):
            keys.check(bad)


def test_whether_a_newer_set_would_say_something_else() -> None:
    """TOK-07: only a kid that is not there is worth a fetch."""
    keys = ring(jwk(EC, "ES256", kid="e"))
    assert keys.has(signed(EC, "ES256", "e"))
    assert keys.has(signed(EC, "ES256"))
    assert not keys.has(signed(EC, "ES256", "f"))


@pytest.mark.parametrize(
    "member",
    [
        {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA", "alg": "HS256", "kid": "h"},
        json.loads(ECAlgorithm.to_jwk(EC)) | {"kid": "private"},
        jwk(EC, "ES256", use="enc"),
        jwk(EC, "ES256", key_ops=["encrypt"]),
        jwk(EC, "ES256", alg="RS256"),
        jwk(EC, "ES256", kid=7),
        jwk(EC, "ES256", x="AAAA"),
        {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
        {"kty": "RSA"},
        {},
        "text",
        None,
        7,
    ],
)
def test_members_that_are_no_key_for_us_are_passed_over(member: Any) -> None:
    """TOK-01, RFC 7517 section 5: alone they make no set, beside a good one they do no harm."""
    with pytest.raises(ValueError):
        ring(member)
    ring(member, jwk(RSA, "RS256", kid="r")).check(signed(RSA, "RS256", "r"))


def test_a_published_secret_is_none_even_when_it_is_listed() -> None:
    """TOK-01"""
    with pytest.raises(ValueError):
        ring({"kty": "oct", "k": "c2VjcmV0" * 8, "kid": "h"}, algorithms=("HS256",))


@pytest.mark.parametrize(("key", "algorithm"), [(EC, "ES256"), (ED, "EdDSA"), (RSA, "PS256")])
def test_a_proof_is_of_the_key_it_brings(key: Any, algorithm: str) -> None:
    """TOK-11: the thumbprint is of the required members alone, whatever else stands beside them."""
    own = jwk(key, algorithm)
    assert check_proof(signed(key, algorithm), {**own, "kid": "x", "extra": [1]}) == own["kid"]
    other = {EC: ED, ED: RSA, RSA: EC}[key]
    with pytest.raises(InvalidProof):
        check_proof(signed(key, algorithm), jwk(other, {EC: "ES256", ED: "EdDSA", RSA: "RS256"}[other]))


@pytest.mark.parametrize(
    "bad",
    [
        {}, {"kty": "oct", "k": "AAAA"}, {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}, {"kty": ["EC"]},
        {"kty": "OKP", "crv": "X25519", "x": "A" * 43}, {"kty": "EC", "crv": "secp256k1", "x": "A" * 43, "y": "A" * 43},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB"}, {"kty": "EC", "crv": 7, "x": 7, "y": 7}, {"kty": "NONE"},
        json.loads(ECAlgorithm.to_jwk(EC)),
    ],
)  # fmt: skip
def test_a_proof_by_no_public_key_is_refused(bad: dict[str, Any]) -> None:
    """TOK-11: RFC 9449 section 4.3, a private key in it too."""
    with pytest.raises(InvalidProof):
        check_proof(signed(EC, "ES256"), bad)
