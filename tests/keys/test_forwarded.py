"""Sealing for one agent, and what does not open (FWD-02)."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from joserfc import jwe
from joserfc.jwk import ECKey, OKPKey

from mantlet.core.config_error import ConfigError
from mantlet.core.refusal import InvalidCredential
from mantlet.core.secret import Secret
from mantlet.keys.forwarded import (
    PrivateKeyOpener,
    SharedKeyOpener,
    derive,
    read_recipient,
    sealer_to,
    sealer_with,
    signer,
)
from mantlet.keys.ring import KeyRing
from mantlet.keys.signing import make_signing_key, read_pem

MASTER = Secret("m7Qx2vR9tK4wZ8nB1cY5hJ0pL3sD6fGa")
CLAIMS = {"iss": "n", "sub": "alice", "jti": "1"}


@pytest.fixture
def node(tmp_path: Path) -> Any:
    return make_signing_key(tmp_path / "node.key")


def pem(key: Any, *, private: bool) -> bytes:
    if private:
        return key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


# --- shared keys -----------------------------------------------------------------------------------------------------


def test_each_agent_has_a_key_of_its_own() -> None:
    """FWD-02: derived, never the shared master."""
    names = ["a", "b", "a/b", "A", "a\x00b"]
    keys = {derive(MASTER, name).reveal() for name in names}
    assert len(keys) == len(names)
    assert derive(MASTER, "a") == derive(MASTER, "a")
    assert all(len(base64.urlsafe_b64decode(key)) == 32 and MASTER.reveal() not in key for key in keys)


def test_a_shared_key_opens_what_was_sealed_with_it_alone() -> None:
    """FWD-02"""
    mine, other = derive(MASTER, "mine"), derive(MASTER, "other")
    token = sealer_with(mine)(CLAIMS).encode()
    assert SharedKeyOpener([mine]).open(token) == CLAIMS
    assert SharedKeyOpener([derive(Secret("n" + MASTER.reveal()), "mine"), mine]).open(token) == CLAIMS  # rotation
    with pytest.raises(InvalidCredential):
        SharedKeyOpener([other]).open(token)
    for changed in (token[:-8], token[:40] + b"AAAA" + token[44:], b"gAAAA", b"", b"gAAAA" + b"A" * 20_000, b"\xff"):
        with pytest.raises(InvalidCredential):
            SharedKeyOpener([mine]).open(changed)


@pytest.mark.parametrize("plain", [b"[1]", b"no json", b'{"a":1,"a":2}', b"", b"\xff"])
def test_what_holds_no_claims_is_refused(plain: bytes) -> None:
    key = derive(MASTER, "a")
    with pytest.raises(InvalidCredential):
        SharedKeyOpener([key]).open(Fernet(key.reveal()).encrypt(plain))


@pytest.mark.parametrize("master", ["short", "a" * 64, "changeme-changeme-changeme-changeme"])
def test_a_weak_master_is_refused(master: str) -> None:
    """TOK-12"""
    with pytest.raises(ConfigError):
        derive(Secret(master), "a")


@pytest.mark.parametrize("key", ["", "x", "A" * 10, MASTER.reveal()])
def test_a_key_that_was_not_derived_is_refused(key: str) -> None:
    with pytest.raises(ConfigError):
        SharedKeyOpener([Secret(key)])


# --- public keys -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [lambda: OKPKey.generate_key("X25519"), lambda: ECKey.generate_key("P-256")])
def test_a_private_key_opens_what_was_sealed_to_it_alone(node: Any, make: Any) -> None:
    """FWD-02"""
    key, former, other = make(), make(), make()
    public = type(key).import_key(key.as_dict(private=False))
    token = sealer_to(public, node)(CLAIMS).encode()
    jws = PrivateKeyOpener([key]).open(token)
    KeyRing([node.verification]).check(jws)
    assert jws.claims == CLAIMS
    assert PrivateKeyOpener([former, key]).open(token).claims == CLAIMS
    with pytest.raises(InvalidCredential):
        PrivateKeyOpener([other]).open(token)
    with pytest.raises(ValueError, match="private"):
        PrivateKeyOpener([public])


def test_what_anybody_could_have_sealed_is_not_the_nodes(node: Any, tmp_path: Path) -> None:
    """FWD-02: a public key is public; the signature inside is what counts."""
    key = OKPKey.generate_key("X25519")
    forger = make_signing_key(tmp_path / "forger.key")
    jws = PrivateKeyOpener([key]).open(sealer_to(key, forger)(CLAIMS).encode())
    with pytest.raises(InvalidCredential):
        KeyRing([node.verification]).check(jws)


def sealed_by_hand(key: Any, plain: bytes, **header: Any) -> bytes:
    whole = {"alg": "ECDH-ES", "enc": "A256GCM", "typ": "JWE", "cty": "JWT", "kid": key.thumbprint(), **header}
    algorithms = [whole["alg"], whole["enc"], "DEF"]
    return jwe.encrypt_compact(whole, plain, key, registry=jwe.JWERegistry(algorithms=algorithms)).encode()


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "ECDH-ES+A128KW"},
        {"enc": "A128GCM"},
        {"enc": "A128CBC-HS256"},
        {"zip": "DEF"},
        {"cty": "json"},
        {"typ": "JOSE"},
        {"kid": "other"},
        {"jku": "https://evil.example"},
        {"apu": "YQ"},
    ],
    ids=str,
)
def test_only_the_one_way_of_sealing_opens(node: Any, header: dict[str, Any]) -> None:
    """TOK-02, TOK-03: no choice of algorithm, key or compression is the sender's."""
    key = OKPKey.generate_key("X25519")
    plain = signer(node, "mantlet-sealed+jwt")(CLAIMS).encode()
    assert PrivateKeyOpener([key]).open(sealed_by_hand(key, plain)).claims == CLAIMS
    with pytest.raises(InvalidCredential):
        PrivateKeyOpener([key]).open(sealed_by_hand(key, plain, **header))


@pytest.mark.parametrize("kind", ["at+jwt", "JWT", ""])
def test_a_token_of_another_kind_inside_is_refused(node: Any, kind: str) -> None:
    """RFC 8725 section 3.11: an exchanged token that is wrapped up is no sealed one."""
    key = OKPKey.generate_key("X25519")
    with pytest.raises(InvalidCredential):
        PrivateKeyOpener([key]).open(sealed_by_hand(key, signer(node, kind)(CLAIMS).encode()))
    with pytest.raises(InvalidCredential):
        PrivateKeyOpener([key]).open(sealed_by_hand(key, json.dumps(CLAIMS).encode()))


@pytest.mark.parametrize("part", range(5))
def test_a_changed_part_does_not_open(node: Any, part: int) -> None:
    key = OKPKey.generate_key("X25519")
    parts = sealer_to(key, node)(CLAIMS).split(".")
    parts[part] = ("A" if not parts[part].startswith("A") else "B") + parts[part][1:]
    with pytest.raises(InvalidCredential):
        PrivateKeyOpener([key]).open(".".join(parts).encode())


@pytest.mark.parametrize("token", [b"", b"....", b"a.b.c.d.e", b"eyJ9.....", b"\xff.\xff.\xff.\xff.\xff", b"a.b.c"])
def test_what_is_no_token_is_refused(token: bytes) -> None:
    with pytest.raises(InvalidCredential):
        PrivateKeyOpener([OKPKey.generate_key("X25519")]).open(token)


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [x25519.X25519PrivateKey.generate, lambda: ec.generate_private_key(ec.SECP256R1())])
def test_keys_are_read_out_of_pem_and_jwk(tmp_path: Path, make: Any) -> None:
    key = make()
    private, public = tmp_path / "agent.key", tmp_path / "agent.pub"
    private.write_bytes(pem(key, private=True))
    private.chmod(0o600)
    public.write_bytes(pem(key, private=False))
    public.chmod(0o644)
    ours = read_recipient(private, private=True)
    assert ours.is_private
    theirs = read_recipient(public)
    assert not theirs.is_private
    assert ours.thumbprint() == theirs.thumbprint()
    public.write_text(json.dumps(theirs.as_dict(private=False)))
    assert read_recipient(public).thumbprint() == ours.thumbprint()
    with pytest.raises(ConfigError, match="public"):
        read_recipient(private.with_name("agent.pub").chmod(0o600) or public, private=True)


@pytest.mark.parametrize(
    "key",
    [
        ed25519.Ed25519PrivateKey.generate(),
        rsa.generate_private_key(65537, 2048),
        ec.generate_private_key(ec.SECP256K1()),
    ],
    ids=["Ed25519", "RSA", "secp256k1"],
)
def test_a_key_of_another_kind_is_refused(tmp_path: Path, key: Any) -> None:
    file = tmp_path / "key"
    file.write_bytes(pem(key, private=False))
    file.chmod(0o644)
    with pytest.raises(ConfigError):
        read_recipient(file)


@pytest.mark.parametrize("text", ["", "nonsense", "{}", "[]", '{"kty":"oct","k":"YQ"}', "-----BEGIN PUBLIC KEY-----"])
def test_a_file_with_something_else_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "key"
    file.write_text(text)
    file.chmod(0o644)
    with pytest.raises(ConfigError):
        read_recipient(file)


def test_a_private_key_that_others_read_is_refused(tmp_path: Path) -> None:
    """CFG-04"""
    (tmp_path / "agent.key").write_bytes(pem(x25519.X25519PrivateKey.generate(), private=True))
    (tmp_path / "agent.key").chmod(0o600)
    assert read_recipient(tmp_path / "agent.key", private=True).is_private
    (tmp_path / "agent.key").chmod(0o644)
    with pytest.raises(ConfigError, match="others"):
        read_recipient(tmp_path / "agent.key", private=True)


def test_a_public_key_signs_nothing(tmp_path: Path) -> None:
    make_signing_key(tmp_path / "node.key")
    public = serialization.load_pem_private_key((tmp_path / "node.key").read_bytes(), None).public_key()
    (tmp_path / "node.pub").write_bytes(
        public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    (tmp_path / "node.pub").chmod(0o644)
    with pytest.raises(ValueError, match="private"):
        signer(read_pem(tmp_path / "node.pub"))
