from pathlib import Path

import jwt
import pytest

from mantlet.keys.signing import KeyPair, make_signing_key, read_pem
from mantlet.keys.tokens import MAX_LIFE_S, issue
from mantlet.wire.jws import parse

ASKED = {"issuer": "https://node.example", "audience": "https://node.example/mcp", "subject": "ann", "now_s": 1000.9}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> KeyPair:
    return make_signing_key(tmp_path_factory.mktemp("keys") / "sign.pem")


def test_an_issued_token_is_an_access_token_for_one_audience(pair: KeyPair) -> None:
    """TOK-13; RFC 9068 section 2.2"""
    issued = issue(pair, **ASKED, life_s=60, roles=["b", "a"], scopes={"mcp:read"}, environment="staging")
    jws = parse(issued.token.encode())
    assert (jws.type, jws.kid, jws.algorithm) == ("at+jwt", pair.kid, "EdDSA")
    assert jws.claims == {
        "iss": "https://node.example",
        "aud": "https://node.example/mcp",
        "sub": "ann",
        "client_id": "ann",
        "iat": 1000,
        "nbf": 1000,
        "exp": 1060,
        "jti": issued.jti,
        "tenant": "default",
        "kind": "user",
        "roles": ["a", "b"],
        "scope": "mcp:read",
        "env": "staging",
    }
    assert issued.token not in repr(issued)
    jwt.decode(issued.token, pair.public, ["EdDSA"], audience=ASKED["audience"], options={"verify_exp": False})


def test_no_two_tokens_have_one_jti(pair: KeyPair) -> None:
    assert len({issue(pair, **ASKED).jti for _ in range(50)}) == 50


@pytest.mark.parametrize("life_s", [0, -1, MAX_LIFE_S + 1])
def test_a_life_beyond_the_cap_is_refused(pair: KeyPair, life_s: int) -> None:
    """TOK-13"""
    with pytest.raises(ValueError):
        issue(pair, **ASKED, life_s=life_s)


def test_a_public_key_signs_nothing(pair: KeyPair) -> None:
    with pytest.raises(ValueError, match="public"):
        issue(KeyPair(pair.kid, pair.algorithm, pair.public), **ASKED)


def test_a_key_keeps_its_name(tmp_path: Path) -> None:
    made = make_signing_key(tmp_path / "k.pem")
    assert read_pem(tmp_path / "k.pem").kid == made.kid
    with pytest.raises(FileExistsError):
        make_signing_key(tmp_path / "k.pem")
