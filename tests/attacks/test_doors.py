"""Every way in, with every credential that should not open it (AUTHN-01 … AUTHN-04, AUTHN-08, AUTHZ-05)."""

import json
import secrets
import time
from typing import Any

import jwt
import pytest
from starlette.routing import Route
from tests.attacks.house import House, call_body, fields_of

from mantlet.admin.app import PUBLIC, build_app
from mantlet.keys.api_keys import make_api_key

BODY = json.dumps(call_body()).encode()
WELL_KNOWN = "/.well-known/oauth-protected-resource"


def bad_credentials(house: House) -> dict[str, tuple[dict[str, str], int]]:
    """Header fields that must not open anything, and the status they are answered with."""

    def bearer(token: str) -> tuple[dict[str, str], int]:
        return {"Authorization": f"Bearer {token}"}, 401

    now_s = int(time.time())
    alice = house.keys["alice"]
    unsigned = jwt.encode({"sub": "alice"}, None, algorithm="none")
    return {
        "none": ({}, 401),
        "unknown key": bearer(make_api_key()[1].reveal()),
        "key with another end": bearer(alice[:-1] + ("a" if alice[-1] != "a" else "b")),
        "key in capitals": bearer(alice.upper()),
        "prefix of a key": bearer(alice[:16]),
        "empty": ({"Authorization": "Bearer "}, 401),
        "garbage": bearer("garbage"),
        "basic": ({"Authorization": "Basic YWRtaW46YWRtaW4="}, 401),
        "expired": bearer(house.token(exp=now_s - 60, iat=now_s - 120, nbf=now_s - 120)),
        "not yet": bearer(house.token(nbf=now_s + 60)),
        "endless": bearer(house.token(exp=None)),
        "too long a life": bearer(house.token(exp=now_s + 1_000_000)),
        "other audience": bearer(house.token(aud="https://other.test/mcp")),
        "no audience": bearer(house.token(aud=None)),
        "other issuer": bearer(house.token(iss="https://other.test")),
        "other key": bearer(house.token(key=secrets.token_urlsafe(48))),
        "other algorithm": bearer(house.token(algorithm="HS512")),
        "unsigned": bearer(unsigned),
        "cookie": ({"Cookie": f"token={alice}; Authorization=Bearer {alice}"}, 401),
        "two": ({"Authorization": f"Bearer {alice}", "X-API-Key": alice}, 400),
        "good and bad": ({"Authorization": f"Bearer {alice}", "X-API-Key": "garbage"}, 400),
    }


CALL_PATHS = ["/", "/mcp", "/mcp/", "/mcp/one", "/mcp/one/", "/mcp/nothing", "/MCP", "/%6dcp", "/mcp/%6fne", "//mcp",
              "/mcp;x", "/mcp/../mcp", "/health", "/metrics", "/readyz", "/livez", "/admin/v1/status", "/api", "/docs",
              "/openapi.json", "/favicon.ico", "/.well-known/", f"{WELL_KNOWN}/", f"{WELL_KNOWN}/mcp/nothing",
              "/.well-known/oauth-authorization-server", f"{WELL_KNOWN}/mcp/../../../mcp"]  # fmt: skip


async def test_no_path_of_the_calls_door_opens_without_a_good_credential(house: House) -> None:
    """AUTHN-01, AUTHN-02"""
    for kind, (fields, status) in bad_credentials(house).items():
        for path in CALL_PATHS:
            answer = await house.ask("POST", path, {**fields_of(call_body()), **fields}, BODY)
            # What the listener cannot read as one path is malformed before anybody asks who sent it.
            expected = 404 if path.startswith(WELL_KNOWN) else status
            assert answer.status in (expected, 400), (kind, path, answer)
        for verb in ("GET", "DELETE", "PUT", "HEAD", "PATCH"):
            answer = await house.ask(verb, "/mcp/one", fields)
            assert answer.status == status, (kind, verb, answer)
    assert house.one.sent == []


@pytest.mark.parametrize("name", ["token", "access_token", "api_key", "apikey", "key", "authorization", "jwt"])
async def test_a_credential_in_the_query_opens_nothing(house: House, name: str) -> None:
    """AUTHN-03"""
    alice = house.keys["alice"]
    alone = await house.ask("POST", f"/mcp/one?{name}={alice}", fields_of(call_body()), BODY)
    assert alone.status == 401
    beside = await house.ask("POST", f"/mcp/one?access_token={alice}", fields_of(call_body(), alice), BODY)
    assert beside.status == 400
    assert house.one.sent == []


async def test_two_credentials_are_answered_by_the_word_that_the_standard_has(house: House) -> None:
    """AUTHN-02, AUTHN-03, AUTHN-04: 400 `invalid_request` (RFC 6750 section 3.1), wherever the second one stands."""
    alice, token = house.keys["alice"], house.token()
    good = {"Authorization": f"Bearer {alice}"}
    for path, fields in (
        ("/mcp/one", {**good, "X-API-Key": alice}),
        ("/mcp/one", {"Authorization": f"Bearer {token}", "X-API-Key": alice}),
        ("/mcp/one", {"Authorization": f"Bearer {alice}, Bearer {alice}"}),
        ("/mcp/one", {**good, "Cookie": f"access_token={alice}"}),
        (f"/mcp/one?access_token={alice}", good),
        (f"/mcp/one?x=1&ACCESS%5FTOKEN={alice}", {"X-API-Key": alice}),
    ):
        answer = await house.ask("POST", path, {**fields_of(call_body()), **fields}, BODY)
        assert (answer.status, answer.json["reason"]) == (400, "ambiguous_credentials"), (path, fields)
        challenge = answer.headers["www-authenticate"]
        assert challenge.startswith('Bearer realm="mantlet", resource_metadata="')
        assert challenge.endswith('error="invalid_request"')
    assert house.one.sent == []
    recorded = json.dumps(house.audit())
    assert not any(secret in recorded for secret in (alice, alice.rpartition("_")[2], token))


async def test_a_token_is_no_key(house: House) -> None:
    """AUTHN-03: tokens stand in Authorization alone, also one that was taken there a moment ago; keys in both."""
    token, alice = house.token(), house.keys["alice"]
    for field in ("Authorization", "X-API-Key", "Authorization", "X-API-Key"):
        for credential in (token, alice):
            value = f"Bearer {credential}" if field == "Authorization" else credential
            answer = await house.ask("POST", "/mcp/one", {**fields_of(call_body()), field: value}, BODY)
            is_taken = credential == alice or field == "Authorization"
            assert answer.status == (200 if is_taken else 401), (field, credential == token)
            if not is_taken:
                assert answer.headers["www-authenticate"].endswith('error="invalid_token"')


async def test_the_published_documents_are_the_only_exception(house: House) -> None:
    """AUTHN-01"""
    for path in ("/mcp", "/mcp/one"):
        answer = await house.ask("GET", f"{WELL_KNOWN}{path}")
        assert answer.status == 200
        assert answer.json["resource"].endswith(path)
        for verb in ("POST", "DELETE", "PUT"):
            assert (await house.ask(verb, f"{WELL_KNOWN}{path}")).status == 405


async def test_the_challenge_leads_to_the_document(house: House) -> None:
    """AUTHN-04"""
    nothing = await house.ask("POST", "/mcp/one", fields_of(call_body()), BODY)
    assert nothing.headers["www-authenticate"].startswith('Bearer realm="mantlet", resource_metadata="')
    assert "error=" not in nothing.headers["www-authenticate"]
    bad = await house.ask("POST", "/mcp/one", fields_of(call_body(), "garbage"), BODY)
    assert bad.headers["www-authenticate"].endswith('error="invalid_token"')
    for path, resource in (("/mcp", "/mcp"), ("/mcp/one", "/mcp/one"), ("/mcp/nothing", "/mcp"), ("/nothing", "/mcp")):
        stranger = await house.ask("GET", path)
        named = stranger.headers["www-authenticate"].partition('resource_metadata="')[2].rstrip('"')
        document = await house.ask("GET", f"/{named.split('/', 3)[3]}")
        assert (document.status, document.json["resource"].endswith(resource)) == (200, True)
    admin = await house.ask("GET", "/admin/v1/status", door="admin")
    assert (admin.status, admin.headers["www-authenticate"]) == (401, 'Bearer realm="mantlet"')


async def test_good_credentials_open_and_rules_decide(house: House) -> None:
    """AUTHZ-07: the matrix above would also pass on a door that is nailed shut."""
    for credential, name, status in (
        (house.keys["alice"], "echo", 200),
        (house.token("carol"), "echo", 200),
        (house.keys["alice"], "exec", 403),
        (house.keys["root"], "exec", 200),
        (house.keys["norules"], "echo", 403),
        (house.token("dora", roles=[]), "echo", 403),
        (house.token("eve", roles="admin"), "exec", 403),
    ):
        answer = await house.call(name, credential=credential)
        assert answer.status in (status, 401 if credential.startswith("ey") else status), (name, answer)
    fields = {**fields_of(call_body()), "X-API-Key": house.keys["alice"]}
    assert (await house.ask("POST", "/mcp/one", fields, BODY)).status == 200
    assert {sent.message["params"]["name"] for sent in house.one.sent} == {"echo", "exec"}


def admin_routes() -> list[Route]:
    class Nothing:
        pass

    return [route for route in build_app(Nothing()).routes if isinstance(route, Route)]  # type: ignore[arg-type]


def paths_of(route: Route) -> str:
    return f"{route.path}?client=default/mantlet:api-key/alice" if route.path.endswith("/limits") else route.path


SWITCHED_OFF = "/admin/v1/blocks"
"""Nobody is watched in this house; what the route does where somebody is, test_addresses tells."""


async def test_the_admin_door_by_its_real_route_table(house: House) -> None:
    """AUTHN-01, AUTHN-08, AUTHZ-05"""
    seen = set()
    for route in admin_routes():
        path = paths_of(route)
        seen.add(path)
        for verb in sorted(route.methods or ()):
            if path in PUBLIC:
                answer = await house.ask(verb, path, door="admin")
                assert answer.status == 200, (verb, path, answer)
                continue
            for kind, (fields, status) in bad_credentials(house).items():
                answer = await house.ask(verb, path, fields, door="admin")
                assert answer.status == status, (kind, verb, path, answer)
            known = 404 if path == SWITCHED_OFF else 200
            for who, status in (("alice", 403), ("norules", 403), ("root", known)):
                fields = {"Authorization": f"Bearer {house.keys[who]}"}
                answer = await house.ask(verb, path, fields, door="admin")
                assert answer.status == status, (who, verb, path, answer)
    assert {"/health", "/metrics", "/admin/v1/status"} <= seen


async def test_health_says_up_or_down_and_nothing_else(house: House) -> None:
    """AUTHN-08"""
    for path in ("/health", "/livez", "/readyz"):
        assert (await house.ask("GET", path, door="admin")).json == {"status": "up"}


@pytest.mark.parametrize(
    "path",
    ["/", "/admin", "/admin/v1", "/ADMIN/v1/status", "//admin/v1/status", "/mcp", "/mcp/one", "/health/", "/metrics/x",
     "/admin/v2/status"],
)  # fmt: skip
async def test_other_paths_of_the_admin_door_lead_nowhere(house: House, path: str) -> None:
    for fields in ({}, {"Authorization": f"Bearer {house.keys['root']}"}):
        for verb in ("GET", "POST", "DELETE"):
            assert (await house.ask(verb, path, fields, door="admin")).status in (400, 404)
    assert house.one.sent == []


@pytest.mark.parametrize(
    ("verb", "path", "status"),
    [
        ("GET", "/admin/v1/", 404),
        ("GET", "/admin/v1/status/", 404),
        ("GET", "/admin/v1/nothing", 404),
        ("GET", "/admin/v1/limits", 404),
        ("GET", "/admin/v1/limits?client=a/b", 404),
        ("POST", "/admin/v1/status", 405),
        ("PUT", "/admin/v1/limits?client=192.0.2.1", 405),
        ("POST", "/health", 405),
        ("OPTIONS", "/admin/v1/status", 405),
    ],
)
async def test_an_admin_who_asks_for_what_is_not_there(house: House, verb: str, path: str, status: int) -> None:
    fields = {"Authorization": f"Bearer {house.keys['root']}"}
    answer = await house.ask(verb, path, fields, door="admin")
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")


async def test_an_admin_act_is_recorded_with_what_it_was_done_to(house: House) -> None:
    """AUTHZ-05"""
    fields = {"Authorization": f"Bearer {house.keys['root']}"}
    await house.ask("DELETE", "/admin/v1/limits?client=default/mantlet:api-key/alice", fields, door="admin")
    record = house.audit()[-1]
    assert "DELETE /admin/v1/limits" in json.dumps(record)
    assert "default/mantlet:api-key/alice" in json.dumps(record)


async def test_a_client_of_the_admin_door_cannot_be_rebound(house: House) -> None:
    """HTTP-02, HTTP-03"""
    for fields in ({"Host": "evil.test"}, {"Origin": "https://evil.test"}):
        answer: Any = await house.ask("GET", "/health", fields, door="admin")
        assert answer.status in (403, 421)
