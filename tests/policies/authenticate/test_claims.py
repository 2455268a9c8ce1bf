from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mantlet.core.caller import Caller
from mantlet.core.refusal import InvalidCredential
from mantlet.policies.authenticate.claims import Expectation, check_type, read

NOW = 1_000_000
WANTED = Expectation("https://a.example", "https://a.example/mcp", 3600, 10, environment="staging")
GOOD: dict[str, Any] = {
    "iss": "https://a.example",
    "aud": "https://a.example/mcp",
    "sub": "ann",
    "exp": NOW + 60,
    "nbf": NOW,
    "iat": NOW,
}


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in GOOD.items() if key != name}


def test_claims_become_a_caller() -> None:
    more = {
        "tenant": "t",
        "kind": "agent",
        "roles": ["x", "y"],
        "scope": "mcp:read mcp:call",
        "jti": "j",
        "env": "staging",
    }
    assert read(GOOD | more, WANTED, NOW) == Caller(
        "ann",
        "https://a.example",
        "jwt",
        "t",
        "agent",
        frozenset({"x", "y"}),
        frozenset({"mcp:read", "mcp:call"}),
        NOW + 60,
        "j",
    )


def chain(length: int) -> dict[str, Any]:
    found: dict[str, Any] = {"sub": "agent-1"}
    for number in range(2, length + 1):
        found = {"sub": f"agent-{number}", "act": found}
    return found


@pytest.mark.parametrize("length", [1, 2, 16])
def test_who_acts_for_the_subject_is_read_from_the_nearest_on(length: int) -> None:
    """AUTHZ-10"""
    caller = read(GOOD | {"act": chain(length)}, WANTED, NOW)
    assert caller.subject == "ann"
    assert caller.act == tuple(f"agent-{number}" for number in range(length, 0, -1))
    assert caller.rights != read(GOOD, WANTED, NOW).rights


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"aud": ["https://other.example", "https://a.example/mcp"]},
        {"exp": NOW - 9, "iat": NOW - 60},
        {"nbf": NOW + 10},
        {"iat": NOW + 10},
        {"iat": NOW - 3540},
        {"exp": NOW + 60.5},
        {"auth_time": 1, "unknown": {"a": []}},
    ],
    ids=repr,
)
def test_good_claims_pass(more: dict[str, Any]) -> None:
    assert read(GOOD | more, WANTED, NOW).key == ("default", "https://a.example", "ann")


@pytest.mark.parametrize("name", list(GOOD))
def test_a_missing_claim_refuses(name: str) -> None:
    """TOK-04"""
    with pytest.raises(InvalidCredential):
        read(without(name), WANTED, NOW)


@pytest.mark.parametrize(
    "more",
    [
        {"iss": "https://a.example/"},
        {"iss": "HTTPS://a.example"},
        {"iss": ["https://a.example"]},
        {"iss": None},
        {"aud": "https://a.example/mcp/"},
        {"aud": "https://a.example"},
        {"aud": []},
        {"aud": {"https://a.example/mcp": 1}},
        {"aud": ["https://a.example/mcp", 7]},
        {"aud": "x https://a.example/mcp"},
        {"exp": NOW - 10},
        {"exp": str(NOW + 60)},
        {"exp": True},
        {"exp": None},
        {"exp": -1},
        {"exp": 2**53},
        {"exp": 10**30},
        {"exp": float("inf")},
        {"exp": float("nan")},
        {"exp": NOW + 3601},
        {"exp": [NOW + 60]},
        {"iat": NOW + 60},
        {"iat": NOW + 11},
        {"iat": NOW - 3541},
        {"iat": 0},
        {"nbf": NOW + 11},
        {"nbf": "now"},
        {"sub": ""},
        {"sub": " ann"},
        {"sub": "ann\n"},
        {"sub": "a\u202enn"},
        {"sub": 7},
        {"sub": ["ann"]},
        {"sub": "a" * 256},
        {"tenant": 7},
        {"tenant": None},
        {"kind": "root"},
        {"kind": ["user"]},
        {"roles": "admin"},
        {"roles": ["a", 1]},
        {"roles": [""]},
        {"roles": {"admin": True}},
        {"roles": None},
        {"scope": ["mcp:read"]},
        {"scope": None},
        {"jti": 1},
        {"env": "production"},
        {"env": None},
        {"act": None},
        {"act": "agent"},
        {"act": []},
        {"act": {}},
        {"act": {"sub": ""}},
        {"act": {"sub": 7}},
        {"act": {"sub": "b", "act": {"iss": "x"}}},
        {"act": {"sub": "b", "act": "a"}},
        {"act": chain(17)},
        {"cnf": {"jkt": "x"}},
        {"cnf": None},
    ],
    ids=repr,
)
def test_bad_claims_refuse(more: dict[str, Any]) -> None:
    """TOK-04, TOK-11"""
    with pytest.raises(InvalidCredential):
        read(GOOD | more, WANTED, NOW)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)
NAMES = ["iss", "aud", "sub", "exp", "nbf", "iat", "tenant", "kind", "roles", "scope", "jti", "env", "cnf", "client_id"]


@given(st.dictionaries(st.sampled_from(NAMES), JSON, max_size=4))
def test_any_json_gives_a_caller_or_a_refusal(more: dict[str, Any]) -> None:
    """ERR-02: hostile claims cause no other error."""
    try:
        check_type("jwt", GOOD | more, Expectation(WANTED.issuer, WANTED.audience, accepts_plain_type=True))
        caller = read(GOOD | more, WANTED, NOW)
    except InvalidCredential:
        return
    assert caller.issuer == WANTED.issuer
    assert caller.subject


@pytest.mark.parametrize("kind", [None, "jwt", "dpop+jwt", "logout+jwt", "id+jwt", "client-authentication+jwt", "at"])
def test_only_access_tokens_authorise(kind: str | None) -> None:
    """TOK-05"""
    check_type("at+jwt", GOOD, WANTED)
    with pytest.raises(InvalidCredential):
        check_type(kind, GOOD, WANTED)


def test_plain_types_pass_where_asked_for_and_never_as_other_tokens() -> None:
    """TOK-05"""
    plain = Expectation("i", "a", accepts_plain_type=True)
    check_type("jwt", GOOD, plain)
    check_type(None, GOOD, plain)
    for foreign in ("events", "nonce", "at_hash", "htm"):
        with pytest.raises(InvalidCredential):
            check_type("jwt", GOOD | {foreign: "x"}, plain)
    for kind in ("dpop+jwt", "logout+jwt", ""):
        with pytest.raises(InvalidCredential):
            check_type(kind, GOOD, plain)


def test_a_token_of_a_client_for_itself_is_a_service() -> None:
    """RFC 9068 section 2.2"""
    assert read(GOOD | {"client_id": "ann"}, WANTED, NOW).kind == "service"
    assert read(GOOD | {"client_id": "app"}, WANTED, NOW).kind == "user"
