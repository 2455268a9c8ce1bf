import base64
import json

import pytest

from mantlet.core.refusal import InvalidCredential
from mantlet.wire.jws import MAX_BYTES, looks_like_token, parse


def part(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def token(header: object, claims: object = None, signature: bytes = b"s" * 64) -> bytes:
    return f"{part(header)}.{part({} if claims is None else claims)}.{part(signature)}".encode()


GOOD = token({"alg": "EdDSA", "typ": "at+jwt", "kid": "a"}, {"sub": "x"})


def test_a_plain_token_is_taken_apart() -> None:
    jws = parse(GOOD)
    assert (jws.algorithm, jws.kid, jws.type, jws.claims) == ("EdDSA", "a", "at+jwt", {"sub": "x"})
    assert jws.signed == GOOD.rpartition(b".")[0]
    assert jws.signature == b"s" * 64


@pytest.mark.parametrize("kind", ["at+jwt", "AT+JWT", "application/at+jwt"])
def test_typ_is_a_media_type(kind: str) -> None:
    assert parse(token({"alg": "EdDSA", "typ": kind})).type == "at+jwt"


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "EdDSA", "crit": ["exp"]},
        {"alg": "EdDSA", "crit": []},
        {"alg": "EdDSA", "b64": False},
        {"alg": "EdDSA", "b64": True},
        {"alg": "EdDSA", "zip": "DEF"},
        {"alg": "EdDSA", "jku": "https://evil.example/jwks"},
        {"alg": "EdDSA", "x5u": "https://evil.example/cert"},
        {"alg": "EdDSA", "jwk": {"kty": "OKP"}},
        {"alg": "EdDSA", "x5c": ["MII"]},
        {"alg": "PBES2-HS256+A128KW", "p2c": 2_000_000_000},
        {"alg": "EdDSA", "kid": None},
        {"alg": "EdDSA", "kid": 1},
        {"alg": "EdDSA", "kid": ["a"]},
        {"alg": "EdDSA", "kid": "k" * 257},
        {"alg": "EdDSA", "typ": None},
        {"alg": "EdDSA", "typ": ["at+jwt"]},
        {"alg": None},
        {"alg": ["EdDSA"]},
        {},
        [],
        "EdDSA",
        None,
        b'{"alg":"EdDSA","alg":"none"}',
        b'{"alg":"EdDSA"',
        b'\xff{"alg":"EdDSA"}',
        b'{"alg":"EdDSA"}{}',
        b"{" * 5000,
    ],
    ids=repr,
)
def test_headers_that_change_the_meaning_are_refused(header: object) -> None:
    """TOK-02, TOK-03."""
    with pytest.raises(InvalidCredential):
        parse(token(header))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b".",
        b"..",
        GOOD + b".",
        b"." + GOOD,
        GOOD + b"=",
        GOOD.replace(b".", b"=.", 1),
        GOOD + b"\n",
        GOOD + b" ",
        b" " + GOOD,
        GOOD + b"\x00",
        GOOD.replace(b".", b"..", 1),
        GOOD.rpartition(b".")[0],
        GOOD.rpartition(b".")[0] + b".",
        GOOD + b".e30.e30",  # five parts: a JWE
        GOOD.replace(b"e", "\u0435".encode(), 1),  # a Cyrillic letter
        GOOD.replace(b".", "\uff0e".encode(), 1),  # a full-width dot
        json.dumps({"payload": part({}), "protected": part({"alg": "EdDSA"}), "signature": "AA"}).encode(),
        json.dumps({"payload": part({}), "signatures": []}).encode(),
        token({"alg": "EdDSA"}, []),
        token({"alg": "EdDSA"}, b'{"sub":"a","sub":"b"}'),
        token({"alg": "EdDSA"}, {"pad": "x" * MAX_BYTES}),
    ],
    ids=lambda text: text[:24],
)
def test_only_the_compact_form_is_read(text: bytes) -> None:
    """TOK-08."""
    with pytest.raises(InvalidCredential):
        parse(text)


def test_stray_bits_at_the_end_of_a_part_are_refused() -> None:
    """TOK-09: or one token would have sixteen spellings."""
    head, claims, _ = GOOD.split(b".")
    assert parse(b".".join((head, claims, b"AA"))).signature == b"\x00"
    with pytest.raises(InvalidCredential):
        parse(b".".join((head, claims, b"AB")))


def test_what_means_to_be_a_token_is_known_as_one() -> None:
    assert looks_like_token(GOOD)
    assert looks_like_token(b'{"payload":')
    assert looks_like_token(b"eyJ.broken")
    assert not looks_like_token(b"mk_abc_def")
    assert not looks_like_token(b"k" * 40)
