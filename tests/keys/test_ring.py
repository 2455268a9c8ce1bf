import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from mantlet.core.config_error import ConfigError
from mantlet.core.refusal import InvalidCredential
from mantlet.core.secret import Secret
from mantlet.keys.files import write_secret
from mantlet.keys.jwk import public_jwk, read_set, thumbprint, write_set
from mantlet.keys.ring import KeyRing, open_ring
from mantlet.keys.signing import make_signing_key, read_pem, shared_secret
from mantlet.wire.jws import parse

GOOD_SECRET = Secret("q8Zr2mXw0Lk7Vt4Nc9Yb1Hd6Jf3Gs5Pa8Ue2Io7Wx0Q")
RSA = rsa.generate_private_key(65537, 2048)
P256 = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


def pem_of(key: Any) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def public_pem(key: Any) -> str:
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def jwks_file(folder: Path, *jwks: dict[str, Any]) -> str:
    file = folder / "jwks.json"
    file.write_text(json.dumps({"keys": jwks}))
    file.chmod(0o644)
    return str(file)


def opened(**options: Any) -> KeyRing:
    ring = open_ring(**options)
    assert ring is not None
    return ring


def accepts(ring: KeyRing, token: str | bytes) -> bool:
    try:
        ring.check(parse(token if isinstance(token, bytes) else token.encode()))
    except InvalidCredential:
        return False
    return True


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [(RSA, "RS256"), (P256, "ES256"), (ED, "EdDSA"), (ED, "Ed25519")],
    ids=["rsa", "ec", "ed", "ed-9864"],
)
def test_a_key_file_verifies_with_its_own_algorithm(tmp_path: Path, key: Any, algorithm: str) -> None:
    """TOK-01: public and private files alike, named by their thumbprint."""
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    write_secret(private, pem_of(key))
    public.write_text(public_pem(key))
    kid = read_pem(private).kid
    token = jwt.encode({}, key, algorithm, {"kid": kid})
    for file in (private, public):
        ring = opened(key_file=str(file))
        # RFC 9864: one thing with two names, and an issuer may use either.
        assert ring.algorithms == ({"EdDSA", "Ed25519"} if key is ED else {algorithm})
        assert accepts(ring, token)
        assert accepts(ring, jwt.encode({}, key, algorithm)), "without a kid the one key that fits is meant"
        assert not accepts(ring, jwt.encode({}, key, algorithm, {"kid": "other"}))
        assert not accepts(ring, jwt.encode({}, "", "none", {"kid": kid}) + "AA")


def test_a_public_key_is_never_taken_for_a_shared_secret(tmp_path: Path) -> None:
    """TOK-01: the HS/RS confusion, with every spelling of the public key as the secret."""
    write_secret(tmp_path / "k.pem", pem_of(RSA))
    ring = opened(key_file=str(tmp_path / "k.pem"), algorithms=["RS256"])
    der = RSA.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    import hashlib
    import hmac

    signed = jwt.encode({}, GOOD_SECRET.reveal(), "HS256").rpartition(".")[0]
    for secret in (public_pem(RSA).encode(), public_pem(RSA).strip().encode(), der):
        mac = hmac.digest(secret, signed.encode(), hashlib.sha256)
        from base64 import urlsafe_b64encode

        assert not accepts(ring, f"{signed}.{urlsafe_b64encode(mac).rstrip(b'=').decode()}")


def test_a_key_as_secret_is_refused_at_start() -> None:
    with pytest.raises(ConfigError, match="public keys are no secrets"):
        open_ring(secret=Secret(public_pem(RSA)))


def test_algorithms_are_spelt_exactly(tmp_path: Path) -> None:
    """TOK-01"""
    for name in ("none", "None", "hs256", "HS256 ", "RSA1_5", ""):
        with pytest.raises(ConfigError, match="algorithms"):
            open_ring(secret=GOOD_SECRET, algorithms=[name])


def test_a_key_that_no_algorithm_fits_is_refused(tmp_path: Path) -> None:
    write_secret(tmp_path / "k.pem", pem_of(ED))
    with pytest.raises(ConfigError, match="none of the keys"):
        open_ring(key_file=str(tmp_path / "k.pem"), algorithms=["RS256"])
    with pytest.raises(ConfigError, match="none of the keys"):
        open_ring(secret=GOOD_SECRET, algorithms=["EdDSA"])


@pytest.mark.parametrize(
    "secret",
    [
        "short",
        "x" * 64,
        "your-256-bit-secret",
        "a-string-secret-at-least-256-bits-long",
        "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
        "09D25E094FAA6CA2556C818166B7A9563B93F7099F6F0F4CAA6CF63B88E8D3E7",
        "my-test-key-but-now-longer-than-32-bytes",
        "CHANGEME-CHANGEME-CHANGEME-CHANGEME-1",
        "super-secret-jwt-key-of-our-company-2024",
        "0123456789abcdef0123456789abcdef",
        "eW91ci0yNTYtYml0LXNlY3JldC15b3VyLTI1Ni1iaXQtc2VjcmV0",
        "A7fk29Qp" * 4,
    ],
)
def test_weak_and_published_secrets_are_refused(secret: str) -> None:
    """TOK-12: in every environment, and the message does not repeat the secret."""
    with pytest.raises(ConfigError) as caught:
        open_ring(secret=Secret(secret))
    assert secret not in str(caught.value)


def test_a_longer_hash_wants_a_longer_secret() -> None:
    """TOK-12; RFC 7518 section 3.2"""
    assert opened(secret=GOOD_SECRET).algorithms == {"HS256"}
    with pytest.raises(ConfigError, match="64"):
        open_ring(secret=GOOD_SECRET, algorithms=["HS512"])


def test_an_issuer_has_a_secret_or_public_keys_and_not_both(tmp_path: Path) -> None:
    """TOK-01"""
    oct_key = {
        "kty": "oct",
        "k": "cThacjJtWHcwTGs3VnQ0TmM5WWIxSGQ2SmYzR3M1UGE4VWUySW83V3gwUQ",
        "kid": "s",
        "alg": "HS256",
    }
    file = jwks_file(tmp_path, oct_key, public_jwk(ED.public_key(), "EdDSA"))
    with pytest.raises(ConfigError, match="mixes"):
        open_ring(jwks_file=file, algorithms=["HS256", "EdDSA"])
    with pytest.raises(ConfigError, match="several key sources"):
        open_ring(jwks_file=file, secret=GOOD_SECRET)
    assert open_ring() is None


def test_kid_chooses_the_key_and_nothing_else(tmp_path: Path) -> None:
    """TOK-03: paths, statements and links are just texts that are not in the map."""
    one, two = ed25519.Ed25519PrivateKey.generate(), ed25519.Ed25519PrivateKey.generate()
    ring = opened(
        jwks_file=jwks_file(
            tmp_path,
            public_jwk(one.public_key(), "EdDSA") | {"kid": "one"},
            public_jwk(two.public_key(), "EdDSA") | {"kid": "two"},
        )
    )
    assert accepts(ring, jwt.encode({}, one, "EdDSA", {"kid": "one"}))
    assert not accepts(ring, jwt.encode({}, one, "EdDSA", {"kid": "two"}))
    assert not accepts(ring, jwt.encode({}, one, "EdDSA"))
    for kid in ("", "../../dev/null", "' OR 1=1 --", "https://evil.example/k", "ONE", "one\x00"):
        assert not accepts(ring, jwt.encode({}, one, "EdDSA", {"kid": kid}))


@pytest.mark.parametrize(
    "key", [rsa.generate_private_key(65537, 1024), rsa.generate_private_key(3, 2048)], ids=["1024", "e=3"]
)
def test_weak_rsa_keys_are_refused(tmp_path: Path, key: Any) -> None:
    """TOK-01; RFC 8725 section 3.5"""
    write_secret(tmp_path / "k.pem", pem_of(key))
    with pytest.raises(ConfigError, match=r"k\.pem"):
        open_ring(key_file=str(tmp_path / "k.pem"))


def test_a_private_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """CFG-04"""
    file = tmp_path / "k.pem"
    file.write_text(pem_of(ED))
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="others may use it"):
        open_ring(key_file=str(file))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        pem_of(ec.generate_private_key(ec.SECP256K1())),
    ],
)
def test_a_file_that_holds_no_key_is_named(tmp_path: Path, text: str) -> None:
    write_secret(tmp_path / "k.pem", text)
    with pytest.raises(ConfigError, match=r"k\.pem"):
        open_ring(key_file=str(tmp_path / "k.pem"))


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"keys":{}}',
        '{"keys":[]}',
        '{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AA","alg":"EdDSA"}]}',
        '{"keys":[],"keys":[]}',
        json.dumps({"keys": [public_jwk(ED.public_key(), "EdDSA")] * 2}),
        json.dumps({"keys": [public_jwk(ED.public_key(), "EdDSA") | {"kid": 1}]}),
        json.dumps({"keys": [public_jwk(ED.public_key(), "EdDSA") | {"use": "enc"}]}),
        json.dumps({"keys": [public_jwk(RSA.public_key(), "RS256") | {"alg": "HS256"}]}),
        json.dumps({"keys": [{}] * 101}),
    ],
)
def test_broken_key_sets_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="set"):
        read_set(text, "set")


def test_foreign_keys_in_a_set_are_passed_over() -> None:
    """RFC 7517 section 5"""
    ours = public_jwk(ED.public_key(), "EdDSA")
    strangers = [{"kty": "AKP", "kid": "pq"}, ours | {"kid": "enc", "use": "enc"}, {"kty": "EC", "crv": "X", "x": "A"}]
    assert [key.kid for key in read_set(json.dumps({"keys": [*strangers, ours]}), "set")] == [ours["kid"]]


def test_the_thumbprint_is_that_of_rfc_8037() -> None:
    """RFC 8037 appendix A.3"""
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    assert thumbprint(jwk) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_a_private_key_is_never_published(tmp_path: Path) -> None:
    """AUD-06"""
    pair = make_signing_key(tmp_path / "k.pem")
    assert set(json.loads(write_set([pair.jwk]))["keys"][0]) == {"kty", "crv", "x", "kid", "use", "alg"}
    assert "PrivateKey" not in repr(pair)
    with pytest.raises(ValueError):
        write_set([pair.jwk | {"d": "x"}])
    with pytest.raises(ValueError):
        _ = shared_secret(GOOD_SECRET, "secret").jwk
    assert GOOD_SECRET.reveal() not in repr(shared_secret(GOOD_SECRET, "secret"))


def test_an_algorithm_by_name_is_that_name_alone(tmp_path: Path) -> None:
    """TOK-01: the list is exact, also where two names are one algorithm (RFC 9864)."""
    file = tmp_path / "k.pem"
    write_secret(file, pem_of(ED))
    for named, other in (("EdDSA", "Ed25519"), ("Ed25519", "EdDSA")):
        ring = opened(key_file=str(file), algorithms=[named])
        assert accepts(ring, jwt.encode({}, ED, named))
        assert not accepts(ring, jwt.encode({}, ED, other))


def test_a_published_key_may_go_by_its_newer_name(tmp_path: Path) -> None:
    """TOK-01, RFC 9864 section 2.2"""
    file = jwks_file(tmp_path, public_jwk(ED.public_key(), "EdDSA") | {"alg": "Ed25519", "kid": "one"})
    ring = opened(jwks_file=file, algorithms=["EdDSA", "Ed25519"])
    assert accepts(ring, jwt.encode({}, ED, "Ed25519", {"kid": "one"}))
    assert not accepts(ring, jwt.encode({}, ED, "EdDSA", {"kid": "one"}))
