"""What a forwarded identity must say to be believed (FWD-02, OAUTH-07)."""

from typing import Any

import pytest

from mantlet.core.caller import Caller
from mantlet.core.refusal import InvalidCredential
from mantlet.wire.forwarded import Expected, check_request, read, request_digest, unique_subject

EXPECTED = Expected("https://edge.example", "https://agent.example/a", "production")
NOW_S = 1_000_000.0
GOOD: dict[str, Any] = {
    "iss": "https://edge.example",
    "aud": "https://agent.example/a",
    "sub": "https://idp.example#alice",
    "sub_id": {"format": "iss_sub", "iss": "https://idp.example", "sub": "alice"},
    "tenant": "default",
    "kind": "user",
    "act": {"sub": "edge-1", "act": {"sub": "planner"}},
    "iat": 1_000_000,
    "exp": 1_000_300,
    "jti": "abc",
    "env": "production",
    "scope": "a b",
    "roles": ["r"],
    "token_hash": "xyz",
}


def test_a_good_one_is_read_whole() -> None:
    found = read(GOOD, EXPECTED, NOW_S)
    assert (found.principal, found.subject, found.issuer) == (GOOD["sub"], "alice", "https://idp.example")
    assert (found.tenant, found.kind, found.roles, found.scopes) == ("default", "user", {"r"}, {"a", "b"})
    assert (found.actors, found.node) == (("edge-1", "planner"), "https://edge.example")
    assert (found.jti, found.expires_at_s, found.token_hash) == ("abc", 1_000_300, "xyz")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("iss", "https://evil.example"),
        ("iss", None),
        ("aud", "https://agent.example/b"),
        ("aud", ["https://agent.example/a"]),
        ("aud", ["https://agent.example/a", "https://other.example"]),
        ("aud", None),
        ("env", "development"),
        ("env", None),
        ("exp", 1_000_301),
        ("exp", 1_000_000),
        ("exp", "1000300"),
        ("exp", True),
        ("exp", None),
        ("iat", None),
        ("iat", float("inf")),
        ("sub", None),
        ("sub", ""),
        ("sub", "a\r\nb"),
        ("sub_id", None),
        ("sub_id", {"format": "opaque", "id": "x"}),
        ("sub_id", {"format": "iss_sub", "iss": "x"}),
        ("tenant", 1),
        ("kind", "root"),
        ("kind", ["user"]),
        ("jti", None),
        ("jti", ""),
        ("act", None),
        ("act", "edge"),
        ("act", {}),
        ("act", {"sub": ""}),
        ("roles", "admin"),
        ("roles", [1]),
        ("scope", ["a"]),
        ("token_hash", 1),
    ],
)
def test_one_wrong_claim_is_enough(name: str, value: object) -> None:
    """FWD-02"""
    claims = {**GOOD, name: value}
    if value is None:
        del claims[name]
    with pytest.raises(InvalidCredential):
        read(claims, EXPECTED, NOW_S)


@pytest.mark.parametrize(("now_s", "holds"), [(-5, True), (-6, False), (0, True), (304, True), (305, False)])
def test_it_holds_for_five_minutes_and_the_clocks_difference(now_s: float, holds: bool) -> None:
    if holds:
        assert read(GOOD, EXPECTED, NOW_S + now_s)
    else:
        with pytest.raises(InvalidCredential):
            read(GOOD, EXPECTED, NOW_S + now_s)


def test_a_chain_of_actors_has_an_end() -> None:
    chain: dict[str, Any] = {"sub": "a"}
    for _ in range(16):
        chain = {"sub": "b", "act": chain}
    with pytest.raises(InvalidCredential):
        read({**GOOD, "act": chain}, EXPECTED, NOW_S)


@pytest.mark.parametrize(
    "other",
    [
        (b"GET", b"/a?x=1", b"body"),
        (b"POST", b"/a?x=2", b"body"),
        (b"POST", b"/b?x=1", b"body"),
        (b"POST", b"/a?x=1", b"bodY"),
        (b"POST", b"/a?x=1", b""),
        (b"POST /a?x=1", b"", b"body"),
    ],
)
def test_a_digest_is_of_one_request(other: tuple[bytes, bytes, bytes]) -> None:
    """FWD-02"""
    claims = {"req": request_digest(b"POST", b"/a?x=1", b"body")}
    check_request(claims, request_digest(b"POST", b"/a?x=1", b"body"))
    with pytest.raises(InvalidCredential):
        check_request(claims, request_digest(*other))
    with pytest.raises(InvalidCredential):
        check_request({}, request_digest(*other))


def test_two_principals_never_have_one_subject() -> None:
    """AUTHN-09: `sub` is unique within the node's `iss` (RFC 7519 section 4.1.2)."""
    parts = ["a", "b", "a#b", "b#c", "a/b", "%23", "https://i", "default", "x/https://i", "https://i#a"]
    issuers = ["https://i", "https://i/a", "mantlet:api-key", "x/https://i"]
    callers = [Caller(s, i, "jwt", t) for s in parts for i in issuers for t in ["default", "x", "x/y", "https:"]]
    assert len({unique_subject(caller) for caller in callers}) == len(callers)
    assert unique_subject(Caller("alice", "https://idp.example", "jwt")) == "https://idp.example#alice"
