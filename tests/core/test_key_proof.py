"""A key is proved and not shown. AUTHN-05, AUTHN-10"""

import base64
import hashlib
import hmac

import pytest

from mantlet.core.key_proof import KeyProof, answer_of, check, message_of, proof_of, verifier_of

KEY, OTHER = (b"mk_abcdefghijkl_" + letter * 43 for letter in (b"a", b"b"))
KEY_ID, PEPPER = "abcdefghijkl", b"p" * 32
VERIFIER = verifier_of(KEY, KEY_ID, PEPPER)
MESSAGE = message_of(KEY_ID, "n" * 22, "c" * 32, "time")


def proved(
    key: bytes = KEY, message: bytes = MESSAGE, seen: bytes = MESSAGE, verifier: str = VERIFIER,
    key_id: str = KEY_ID, pepper: bytes = PEPPER,
) -> KeyProof | None:  # fmt: skip
    proof = KeyProof(key_id, seen, proof_of(key, message))
    return proof if check(proof, verifier, pepper) else None


def test_who_has_the_key_is_told_from_who_has_not_and_hears_a_proof_in_return() -> None:
    good = proved()
    assert good is not None
    assert good.answer == answer_of(KEY, MESSAGE)
    assert good.answer != answer_of(OTHER, MESSAGE)


@pytest.mark.parametrize(
    "changed",
    [
        {"key": OTHER},
        {"seen": message_of(KEY_ID, "n" * 22, "d" * 32, "time")},
        {"seen": message_of(KEY_ID, "m" * 22, "c" * 32, "time")},
        {"seen": message_of(KEY_ID, "n" * 22, "c" * 32, "")},
        {"verifier": verifier_of(OTHER, KEY_ID, PEPPER)},
        {"verifier": ""},
        {"key_id": "abcdefghijkm"},
        {"pepper": b"q" * 32},
    ],
)
def test_anything_else_proves_nothing(changed: dict[str, bytes]) -> None:
    assert proved(**changed) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "x", "A" * 42, "A" * 44, "A" * 43, "=" * 43, "ä" * 43, "A" * 42 + "\n"])
@pytest.mark.parametrize("verifier", [VERIFIER, ""])
def test_what_is_no_proof_proves_nothing(text: str, verifier: str) -> None:
    proof = KeyProof(KEY_ID, MESSAGE, text)
    assert not check(proof, verifier, PEPPER)
    assert proof.answer == ""


def test_who_reads_the_database_and_even_the_pepper_can_make_no_proof() -> None:
    """What is kept is the hash of what makes proofs (RFC 5802 section 9)."""
    raw = bytes.fromhex(VERIFIER)
    mask = b"".join(
        hmac.digest(PEPPER, number + b"mantlet/api-key/mask/v1\x00" + KEY_ID.encode(), "sha256")
        for number in (b"1", b"2")
    )
    plain = bytes(a ^ b for a, b in zip(raw, mask, strict=True))
    for client_key in (plain[:32], plain[32:], raw[:32], raw[32:], hashlib.sha256(plain[:32]).digest()):
        for stored_key in (plain[:32], hashlib.sha256(client_key).digest()):
            signature = hmac.digest(stored_key, MESSAGE, "sha256")
            made = base64.urlsafe_b64encode(bytes(a ^ b for a, b in zip(client_key, signature, strict=True)))
            assert not check(KeyProof(KEY_ID, MESSAGE, made.decode().rstrip("=")), VERIFIER, PEPPER)


def test_two_keys_leave_nothing_in_common() -> None:
    twin = verifier_of(KEY, "another0000x", PEPPER)
    assert len(VERIFIER) == 128
    assert VERIFIER[:64] != VERIFIER[64:]
    assert twin[:64] != VERIFIER[:64]
    assert twin[64:] != VERIFIER[64:]


def test_a_proof_is_not_shown() -> None:
    """AUD-06"""
    good = proved()
    assert good is not None
    assert good.proof not in repr(good)
    assert good.answer not in repr(good)
