"""What a token says of a caller: never more than the caller may, never longer (OAUTH-07)."""

import pytest

from mantlet.core.caller import Caller
from mantlet.core.refusal import Denied, InvalidCredential
from mantlet.upstreams.identity.claims import Terms, claims_of
from mantlet.upstreams.identity.config import audience_of

NOW_S = 1_000_000.7
TERMS = Terms(
    "https://edge.example",
    "edge-1",
    "https://a.example/mcp",
    "production",
    300,
    scopes=frozenset({"mcp:read", "mcp:write"}),
    roles=frozenset({"user"}),
)
CALLER = Caller(
    "alice",
    "https://idp.example",
    "jwt",
    "acme",
    "user",
    frozenset({"user", "admin"}),
    frozenset({"mcp:read", "mail"}),
    expires_at_s=1_000_100.9,
    credential_id="j",
    act=("planner", "helper"),
)


def test_every_claim() -> None:
    """OAUTH-07"""
    assert claims_of(CALLER, TERMS, now_s=NOW_S, jti="id", token_hash="h") == {
        "iss": "https://edge.example",
        "aud": "https://a.example/mcp",
        "sub": "acme/https://idp.example#alice",
        "sub_id": {"format": "iss_sub", "iss": "https://idp.example", "sub": "alice"},
        "client_id": "edge-1",
        "tenant": "acme",
        "kind": "user",
        "act": {"sub": "edge-1", "act": {"sub": "planner", "act": {"sub": "helper"}}},
        "iat": 1_000_000,
        "nbf": 1_000_000,
        "exp": 1_000_100,
        "jti": "id",
        "env": "production",
        "scope": "mcp:read",
        "roles": ["user"],
        "token_hash": "h",
    }


@pytest.mark.parametrize(
    ("expires_at_s", "life_s"), [(None, 300), (1_000_000 + 9_999.0, 300), (1_000_050.0, 50), (1_000_001.9, 1)]
)
def test_it_ends_with_the_callers_credential_at_the_latest(expires_at_s: float | None, life_s: int) -> None:
    """OAUTH-07"""
    caller = Caller("a", "i", "jwt", expires_at_s=expires_at_s)
    claims = claims_of(caller, TERMS, now_s=NOW_S, jti="x", token_hash="")
    assert claims["exp"] - claims["iat"] == life_s


@pytest.mark.parametrize("expires_at_s", [1_000_000.0, 999_999.0, 1_000_000.9])
def test_whose_credential_is_over_gets_none(expires_at_s: float) -> None:
    caller = Caller("a", "i", "jwt", expires_at_s=expires_at_s)
    with pytest.raises(InvalidCredential):
        claims_of(caller, TERMS, now_s=NOW_S, jti="x", token_hash="")


def test_nothing_goes_on_that_is_not_listed() -> None:
    """OAUTH-07"""
    terms = Terms("i", "n", "a", "production", 300)
    claims = claims_of(CALLER, terms, now_s=NOW_S, jti="x", token_hash="")
    assert not {"scope", "roles", "token_hash"} & set(claims)


@pytest.mark.parametrize(("actors", "is_let"), [(0, True), (3, True), (4, False)])
def test_the_chain_of_actors_is_bounded(actors: int, is_let: bool) -> None:
    """OAUTH-07, AUTHZ-10"""
    caller = Caller("a", "i", "jwt", act=tuple(map(str, range(actors))))
    if is_let:
        assert claims_of(caller, TERMS, now_s=NOW_S, jti="x", token_hash="")
        return
    with pytest.raises(Denied):
        claims_of(caller, TERMS, now_s=NOW_S, jti="x", token_hash="")


def test_a_plain_subject_where_there_is_one_issuer() -> None:
    terms = Terms("i", "n", "a", "production", 300, subject="plain")
    assert claims_of(CALLER, terms, now_s=NOW_S, jti="x", token_hash="")["sub"] == "alice"


@pytest.mark.parametrize(
    ("url", "audience"),
    [
        ("https://A.example:443/mcp/", "https://a.example/mcp"),
        ("https://a.example", "https://a.example"),
        ("https://a.example:8443/x?y=z", "https://a.example:8443/x"),
        ("wss://a.example/ws", "https://a.example/ws"),
        ("http://[::1]:80/mcp", "http://[::1]/mcp"),
    ],
)
def test_an_audience_has_one_spelling(url: str, audience: str) -> None:
    assert audience_of(url) == audience
