"""Proving that one has an API key without showing it, after SCRAM-SHA-256 (RFC 5802 section 3, RFC 7677).

A key has 256 random bits, so nothing is salted or iterated: there is no dictionary to be slowed down. Of the key the
node keeps StoredKey, with which it can tell a proof and cannot make one, and ServerKey, with which it proves itself;
both masked with the pepper outside the database, so that who reads the database alone can do neither. (A proof that was
overheard, StoredKey *and* pepper together give a client's key away; TLS and the pepper's place see to that.)
"""

import base64
import hmac
import re
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

_CLIENT: Final = b"mantlet/api-key/client/v1"
_SERVER: Final = b"mantlet/api-key/server/v1"
_MASK: Final = b"mantlet/api-key/mask/v1\x00"
_PROOF: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_BYTES: Final = 32


@dataclass(slots=True)
class KeyProof:
    """What a client answers a challenge with. `message` is what both sides signed; `answer` is the node's own proof,
    set by who found the first one good."""

    key_id: str
    message: bytes
    proof: str = field(repr=False)
    answer: str = field(default="", repr=False)


def message_of(key_id: str, nonce: str, challenge: str, server: str) -> bytes:
    """What is signed (SCRAM's AuthMessage): everything that both sides said. No part may hold a line end."""
    return "\n".join(("mantlet-auth-1", key_id, nonce, challenge, server)).encode()


def proof_of(key: bytes, message: bytes) -> str:
    """The client's proof."""
    client_key = _hmac(key, _CLIENT)
    return _text(_xor(client_key, _hmac(sha256(client_key).digest(), message)))


def answer_of(key: bytes, message: bytes) -> str:
    """What the node must answer to be the right one."""
    return _text(_hmac(_hmac(key, _SERVER), message))


def verifier_of(key: bytes, key_id: str, pepper: bytes) -> str:
    """What is kept of `key` for this."""
    plain = sha256(_hmac(key, _CLIENT)).digest() + _hmac(key, _SERVER)
    return _xor(plain, _mask(key_id, pepper)).hex()


def check(proof: KeyProof, verifier: str, pepper: bytes) -> bool:
    """Whether `proof` was made with the key of `verifier`; then it has its `answer`. A key without a verifier proves
    nothing, in the same time."""
    kept = bytes.fromhex(verifier) if verifier else bytes(2 * _BYTES)
    plain = _xor(kept, _mask(proof.key_id, pepper))
    stored_key, server_key = plain[:_BYTES], plain[_BYTES:]
    is_shaped = _PROOF.fullmatch(proof.proof) is not None
    signed = base64.urlsafe_b64decode(proof.proof + "=") if is_shaped else bytes(_BYTES)
    client_key = _xor(signed, _hmac(stored_key, proof.message))
    is_good = hmac.compare_digest(sha256(client_key).digest(), stored_key) and is_shaped and bool(verifier)
    if is_good:
        proof.answer = _text(_hmac(server_key, proof.message))
    return is_good


def _mask(key_id: str, pepper: bytes) -> bytes:
    # Two blocks of a function that nobody can compute without the pepper; each key has an id of its own.
    named = _MASK + key_id.encode()
    return _hmac(pepper, b"1" + named) + _hmac(pepper, b"2" + named)


def _hmac(key: bytes, said: bytes) -> bytes:
    return hmac.digest(key, said, "sha256")


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
