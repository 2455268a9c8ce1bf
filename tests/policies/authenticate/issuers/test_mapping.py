"""What the claims of the four well-known providers come to, and what they must not."""

from typing import Any

import pytest
from tests.policies.authenticate.issuers.stub import MCP, NOW

from mantlet.core.refusal import InvalidCredential
from mantlet.policies.authenticate.claims import Expectation, check_type
from mantlet.policies.authenticate.issuers.mapping import Meaning, path_of, read

TIMES = {"iat": int(NOW), "exp": int(NOW) + 300}
ENTRA = {
    "aud": "6e74172b-be56-4843-9ff4-e66a39bb12e3", "iss": "https://login.microsoftonline.com/72f9/v2.0", **TIMES,
    "nbf": int(NOW), "azp": "client", "groups": ["guid-1", "guid-2"], "name": "Alice", "oid": "oid-of-alice",
    "preferred_username": "alice@corp.example", "roles": ["Tools.Admin"], "scp": "mcp.read mcp.write",
    "sub": "pairwise", "tid": "72f9", "uti": "token-id", "ver": "2.0",
}  # fmt: skip
OKTA = {
    "ver": 1, "jti": "AT.x", "iss": "https://corp.okta.com/oauth2/default", "aud": MCP, **TIMES, "cid": "0oa1",
    "uid": "00u1", "scp": ["mcp.read", "offline_access"], "sub": "alice@corp.example", "groups": ["Everyone", "admins"],
}  # fmt: skip
KEYCLOAK = {
    "jti": "x", "iss": "https://kc.example/realms/one", "aud": [MCP, "account"], **TIMES, "sub": "f3-uuid",
    "typ": "Bearer", "azp": "cli", "realm_access": {"roles": ["operator", "offline_access"]}, "scope": "mcp:read",
    "resource_access": {"node": {"roles": ["x"]}}, "email": "a@example", "email_verified": False,
}  # fmt: skip
GOOGLE = {
    "iss": "https://accounts.google.com", "aud": MCP, "azp": "1055", "sub": "1055", **TIMES,
    "email": "bot@project.iam.gserviceaccount.com", "email_verified": True,
}  # fmt: skip


def caller(claims: dict[str, Any], **meaning: Any) -> Any:
    expected = Expectation(
        claims["iss"], claims["aud"] if isinstance(claims["aud"], str) else MCP, needs_not_before=False
    )
    return read(claims, expected, Meaning(**meaning), NOW, "jwt")


def test_entra() -> None:
    alice = caller(ENTRA, subject=("oid",), tenant=("tid",), roles=("roles",), role_map={"Tools.Admin": "admin"})
    assert alice.key == ("72f9", ENTRA["iss"], "oid-of-alice")
    assert (alice.roles, alice.scopes, alice.kind) == ({"admin"}, {"mcp.read", "mcp.write"}, "user")
    assert alice.credential_id == "token-id"
    assert caller({**ENTRA, "idtyp": "app"}).kind == "service"
    assert caller(ENTRA, scope_prefix="api://node/").scopes == {"api://node/mcp.read", "api://node/mcp.write"}


def test_okta() -> None:
    alice = caller(OKTA, subject=("uid",), roles=("groups",), role_map={"admins": "admin"})
    assert (alice.subject, alice.roles, alice.scopes) == ("00u1", {"admin"}, {"mcp.read", "offline_access"})
    machine = {name: value for name, value in OKTA.items() if name != "uid"} | {"sub": "0oa1"}
    assert caller(machine, subject=("uid",)).key == ("default", OKTA["iss"], "0oa1")
    assert caller(machine).kind == "service"
    with pytest.raises(InvalidCredential):  # a person without the claim is nobody
        caller(machine | {"sub": "alice@corp.example"}, subject=("uid",))


def test_keycloak() -> None:
    alice = caller(KEYCLOAK, roles=path_of("realm_access.roles"))
    assert (alice.subject, alice.roles) == ("f3-uuid", {"operator", "offline_access"})
    assert caller(KEYCLOAK, roles=path_of("resource_access.node.roles")).roles == {"x"}


def test_google() -> None:
    bot = caller(GOOGLE, fixed_roles=frozenset({"user"}), fixed_tenant="acme")
    assert (bot.key, bot.roles, bot.kind) == (("acme", GOOGLE["iss"], "1055"), {"user"}, "service")


@pytest.mark.parametrize("word", ["ID", "Refresh", "Offline", "Logout", 7, None])
def test_keycloaks_other_tokens_are_not_access_tokens(word: Any) -> None:
    """TOK-05: they carry `typ: JWT` in the header like its access tokens."""
    expected = Expectation("i", "a", accepts_plain_type=True)
    check_type("jwt", KEYCLOAK, expected)
    with pytest.raises(InvalidCredential):
        check_type("jwt", KEYCLOAK | {"typ": word}, expected)


@pytest.mark.parametrize("name", ["nonce", "at_hash", "c_hash", "s_hash", "events", "htm", "htu", "ath"])
@pytest.mark.parametrize("kind", ["jwt", None])
def test_id_logout_and_proof_tokens_are_not_access_tokens(kind: str | None, name: str) -> None:
    """TOK-05: where the type is plain, what else they carry tells them apart."""
    with pytest.raises(InvalidCredential):
        check_type(kind, GOOGLE | {name: "x"}, Expectation("i", "a", accepts_plain_type=True))


def test_a_foreign_issuer_says_only_what_it_was_asked() -> None:
    """AUTHN-09: its `roles`, `tenant` and `kind` mean nothing here unless the configuration says so."""
    claims = KEYCLOAK | {"roles": ["admin"], "tenant": "other", "kind": "agent", "env": "development"}
    alice = caller(claims)
    assert (alice.roles, alice.tenant, alice.kind) == (frozenset(), "default", "user")


@pytest.mark.parametrize(
    ("change", "meaning"),
    [
        ({}, {"tenant": ("org",)}),
        ({"org": ""}, {"tenant": ("org",)}),
        ({"org": ["a"]}, {"tenant": ("org",)}),
        ({"org": "a\u202eb"}, {"tenant": ("org",)}),
        ({"groups": {"a": 1}}, {"roles": ("groups",)}),
        ({"groups": [1]}, {"roles": ("groups",)}),
        ({"groups": ["x"] * 1001}, {"roles": ("groups",)}),
        ({}, {"subject": ("oid",)}),
        ({"oid": None}, {"subject": ("oid",)}),
        ({"oid": "x" * 256}, {"subject": ("oid",)}),
        ({"act": "x"}, {}),
        ({"scope": {"x": 1}}, {}),
    ],
    ids=repr,
)
def test_claims_that_cannot_be_read_are_refused(change: dict[str, Any], meaning: dict[str, Any]) -> None:
    """TOK-04, AUTHN-09: nothing missing ever means a default tenant."""
    with pytest.raises(InvalidCredential):
        caller(KEYCLOAK | change, **meaning)


def test_groups_that_are_not_there_are_no_roles() -> None:
    """Entra ID leaves them out when they are too many: then there are none, rather than all or an error."""
    assert caller(KEYCLOAK, roles=("groups",), fixed_roles=frozenset({"user"})).roles == {"user"}


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("groups", ("groups",)),
        ("a.b.c", ("a", "b", "c")),
        ("https://corp.example/roles", ("https://corp.example/roles",)),
    ],
)
def test_paths(name: str, path: tuple[str, ...]) -> None:
    assert path_of(name) == path
