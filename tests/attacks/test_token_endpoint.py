"""The node's token endpoint: what it gives to whom, and what nobody gets out of it."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from tests.attacks.house import House
from tests.attacks.issuing import AUDIENCE, ISSUER, basic, claims_of, key_of, open_issuer, post, raw

from mantlet.keys.api_keys import read_pepper
from mantlet.node.identity.authorization_server import KeptLogins
from mantlet.policies.authorization_server.grant import Grant
from mantlet.policies.authorization_server.login import Login, refresh_token
from mantlet.stores.sql.logins import LoginRows

TOKEN, REVOKE = "/oauth/token", "/oauth/revoke"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_issuer(tmp_path) as opened:
        yield opened


async def log_in(house: House, client: str = "cli", **changes: Any) -> str:
    """A login as a consent makes it; gives its first refresh token."""
    now_s = time.time()
    grant = {"client_id": client, "subject": "ada", "tenant": "default", "kind": "user", "roles": ("user",),
             "scopes": ("mcp:read",), "audience": AUDIENCE}  # fmt: skip
    family = secrets.token_hex(11)
    rows = LoginRows(house.node.durable.database)
    await KeptLogins(rows).create(Login(family, Grant(**grant | changes), 1, now_s, now_s, now_s + 1000), 100)
    return refresh_token(family, 1, read_pepper(house.config.database.pepper_path))


async def refresh(house: House, token: str, client: str = "cli", **form: str) -> Any:
    return await post(house, TOKEN, grant_type="refresh_token", refresh_token=token, client_id=client, **form)


async def test_an_api_key_is_changed_into_a_short_token_that_opens_what_the_key_opens(house: House) -> None:
    """TOK-13"""
    answer = await post(house, TOKEN, key_of(house), grant_type="client_credentials")
    assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")
    told = answer.json
    assert (told["token_type"], "refresh_token" in told) == ("Bearer", False)
    claims = claims_of(told["access_token"])
    assert (claims["iss"], claims["aud"], claims["sub"]) == (ISSUER, AUDIENCE, "alice")
    assert (claims["roles"], claims["env"]) == (["user"], "development")
    assert 0 < claims["exp"] - claims["iat"] <= 3600
    assert jwt.get_unverified_header(told["access_token"])["typ"] == "at+jwt"
    assert claims["jti"].startswith(claims["client_id"] + ".")
    assert (await house.call(credential=told["access_token"])).status == 200


async def test_the_published_keys_verify_the_tokens_and_the_metadata_names_what_is_there(house: House) -> None:
    """TOK-13: RFC 8414 and RFC 7517, for strangers."""
    found = (await house.ask("GET", "/.well-known/oauth-authorization-server")).json
    assert found["issuer"] == ISSUER
    assert found["token_endpoint"] == f"{ISSUER}{TOKEN}"
    published = (await house.ask("GET", "/.well-known/jwks.json")).json["keys"]
    assert "d" not in published[0]
    token = (await post(house, TOKEN, key_of(house), grant_type="client_credentials")).json["access_token"]
    key = jwt.PyJWK.from_dict(published[0])
    assert jwt.decode(token, key.key, algorithms=["EdDSA"], audience=AUDIENCE, issuer=ISSUER)["sub"] == "alice"
    for path in ("/.well-known/oauth-authorization-server", "/.well-known/jwks.json"):
        assert (await house.ask("POST", path)).status == 405
    assert (await house.ask("GET", "/.well-known/oauth-authorization-server/")).status == 401
    assert (await house.ask("GET", "/.well-known/openid-configuration")).status == 401


async def test_a_token_can_be_for_one_resource_of_the_node_and_opens_no_other(house: House) -> None:
    """TOK-04: RFC 8707"""
    form = {"grant_type": "client_credentials", "resource": f"{AUDIENCE}/one"}
    token = (await post(house, TOKEN, key_of(house), **form)).json["access_token"]
    assert claims_of(token)["aud"] == f"{AUDIENCE}/one"
    assert (await house.call(credential=token)).status == 200
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    assert (await house.send(body, credential=token, server="")).status == 401
    for other in ("https://evil.example/mcp", AUDIENCE + "/", AUDIENCE + "/two", "x"):
        refused = await post(house, TOKEN, key_of(house), **form | {"resource": other})
        assert (refused.status, refused.json["error"]) == (400, "invalid_target")


@pytest.mark.parametrize(
    ("fields", "form", "status", "error"),
    [
        ({}, {}, 401, "invalid_client"),
        ({}, {"client_id": "nobody"}, 401, "invalid_client"),
        ({}, {"client_id": "cli"}, 400, "unauthorized_client"),
        (basic("x", "y"), {}, 401, "invalid_client"),
        (basic("000000000000", "mk_000000000000_" + "a" * 43), {}, 401, "invalid_client"),
        ({"Authorization": "Basic !!"}, {}, 401, "invalid_client"),
        ({"Authorization": "Basic " + "A" * 2000}, {}, 401, "invalid_client"),
        ({"Authorization": "Bearer x"}, {}, 401, "invalid_client"),
        ({"X-API-Key": "x"}, {}, 400, "invalid_request"),
        ({}, {"client_id": "cli", "client_secret": "x"}, 400, "invalid_request"),
        ("alice", {"client_id": "cli"}, 400, "invalid_request"),
        ("alice", {"scope": "mcp:admin"}, 400, "invalid_scope"),
        ("alice", {"scope": 'a"b'}, 400, "invalid_scope"),
        ("alice", {"scope": "  "}, 400, "invalid_scope"),
        ("alice", {"grant_type": "password"}, 400, "unsupported_grant_type"),
        ("alice", {"grant_type": ""}, 400, "invalid_request"),
    ],
)
async def test_every_odd_request_has_the_answer_of_rfc_6749(
    house: House, fields: Any, form: dict[str, str], status: int, error: str
) -> None:
    """TOK-13, AUTHN-02"""
    headers = key_of(house, fields) if isinstance(fields, str) else fields
    answer = await post(house, TOKEN, headers, **{"grant_type": "client_credentials", **form})
    assert (answer.status, answer.json["error"]) == (status, error)
    assert ("www-authenticate" in answer.headers) == (status == 401)
    assert "access_token" not in answer.json


async def test_a_token_is_no_client_secret(house: House) -> None:
    """AUTHN-02: or a stolen one could be made to last."""
    token = (await post(house, TOKEN, key_of(house), grant_type="client_credentials")).json["access_token"]
    for client_id in ("alice", claims_of(token)["jti"], claims_of(token)["client_id"]):
        answer = await post(house, TOKEN, basic(client_id, token), grant_type="client_credentials")
        assert (answer.status, answer.json["error"]) == (401, "invalid_client")


async def test_a_key_under_anothers_name_is_refused(house: House) -> None:
    bob = house.keys["bob"].removeprefix("mk_").partition("_")[0]
    answer = await post(house, TOKEN, basic(bob, house.keys["alice"]), grant_type="client_credentials")
    assert answer.status == 401


@pytest.mark.parametrize(
    "body",
    [
        b"grant_type=client_credentials&grant_type=client_credentials",
        b"grant_type=client_credentials&%67rant_type=x",
        b"grant_type=client_credentials&scope=%ff",
        b"&".join(b"p%d=1" % n for n in range(200)),
    ],
)
async def test_a_form_that_can_be_read_in_two_ways_is_refused(house: House, body: bytes) -> None:
    answer = await raw(house, TOKEN, body, key_of(house))
    assert (answer.status, answer.json["error"]) == (400, "invalid_request")


async def test_a_huge_form_is_refused_and_other_types_and_verbs_too(house: House) -> None:
    assert (await raw(house, TOKEN, b"a=" + b"x" * 100_000, key_of(house))).status == 413
    answer = await house.ask("POST", TOKEN, {"Content-Type": "application/json", **key_of(house)}, b"{}")
    assert answer.status == 400
    assert (await house.ask("GET", f"{TOKEN}?grant_type=client_credentials", key_of(house))).status == 405
    answer = await raw(house, f"{TOKEN}?client_id=cli", b"grant_type=client_credentials", key_of(house))
    assert answer.status == 400


async def test_refresh_tokens_rotate_and_a_spent_one_ends_the_login(house: House) -> None:
    """TOK-13, TOK-10: also the access tokens that came from it end, at once."""
    first = await log_in(house)
    one = (await refresh(house, first)).json
    assert claims_of(one["access_token"])["scope"] == "mcp:read"
    assert (await house.call(credential=one["access_token"])).status == 200
    two = (await refresh(house, one["refresh_token"])).json
    assert two["refresh_token"] not in (first, one["refresh_token"])
    again = await refresh(house, first)
    assert (again.status, again.json["error"]) == (400, "invalid_grant")
    assert (await refresh(house, two["refresh_token"])).json["error"] == "invalid_grant"
    for told in (one, two):
        assert (await house.call(credential=told["access_token"])).status == 401
    lines = [line for line in house.audit() if "spent before" in line.get("why", "")]
    assert len(lines) == 1


async def test_parallel_refreshes_do_not_fork_a_login(house: House) -> None:
    """TOK-13: of ten at once one wins, nobody gets a second line of tokens, and the login ends."""
    first = await log_in(house)
    answers = await asyncio.gather(*(refresh(house, first) for _ in range(10)))
    won = [answer.json for answer in answers if answer.status == 200]
    assert len(won) == 1
    assert {answer.json["error"] for answer in answers if answer.status != 200} == {"invalid_grant"}
    assert (await refresh(house, won[0]["refresh_token"])).status == 400
    assert (await house.call(credential=won[0]["access_token"])).status == 401


async def test_another_client_neither_refreshes_nor_ends_a_login(house: House) -> None:
    """TOK-13"""
    first = await log_in(house)
    assert (await refresh(house, first, "other")).json["error"] == "invalid_grant"
    assert (await refresh(house, first.replace("_1_", "_2_"))).json["error"] == "invalid_grant"
    assert (await refresh(house, first[:-3] + "AAA")).json["error"] == "invalid_grant"
    assert (await post(house, REVOKE, token=first, client_id="other")).status == 200
    assert (await refresh(house, first)).status == 200


async def test_a_refresh_gives_fewer_scopes_and_never_more(house: House) -> None:
    first = await log_in(house, scopes=("mcp:read", "mcp:write"))
    assert (await refresh(house, first, scope="mcp:read admin")).json["error"] == "invalid_scope"
    told = (await refresh(house, first, scope="mcp:read")).json
    assert claims_of(told["access_token"])["scope"] == told["scope"] == "mcp:read"
    assert (await refresh(house, told["refresh_token"])).json["scope"] == "mcp:read mcp:write"


async def test_a_login_ends_with_the_key_that_consented(house: House) -> None:
    """TOK-10"""
    made = await house.ask(
        "POST",
        "/admin/v1/keys",
        {"Authorization": f"Bearer {house.keys['root']}", "Content-Type": "application/json"},
        json.dumps({"name": "ada", "kind": "user", "roles": ["user"], "scopes": ["mcp:read"]}).encode(),
        door="admin",
    )
    via = {"via": made.json["id"], "via_issuer": "mantlet:api-key", "via_method": "api_key"}
    told = (await refresh(house, await log_in(house, **via))).json
    by_key = await post(house, TOKEN, basic(made.json["id"], made.json["key"]), grant_type="client_credentials")
    for token in (told["access_token"], by_key.json["access_token"]):
        assert (await house.call(credential=token)).status == 200
    await house.ask(
        "DELETE", f"/admin/v1/keys/{made.json['id']}", {"Authorization": f"Bearer {house.keys['root']}"}, door="admin"
    )
    async with asyncio.timeout(5):
        for token in (told["access_token"], by_key.json["access_token"]):
            while (await house.call(credential=token)).status != 401:
                await asyncio.sleep(0.05)
        while (await refresh(house, told["refresh_token"])).status != 400:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("what", ["token", "login", "client", "subject"])
async def test_an_operator_takes_back_tokens_logins_clients_and_subjects(house: House, what: str) -> None:
    """TOK-10, AUTHZ-05: effective within seconds, recorded, for administrators alone."""
    told = (await refresh(house, await log_in(house))).json
    spared = (await post(house, TOKEN, key_of(house), grant_type="client_credentials")).json["access_token"]
    claims = claims_of(told["access_token"])
    login = claims["jti"].partition(".")[0]
    named = {"token": claims["jti"], "login": login, "client": "cli", "subject": "ada"}[what]
    body = json.dumps({what: named}).encode()
    admin = {"Content-Type": "application/json", "Authorization": f"Bearer {house.keys['alice']}"}
    assert (await house.ask("POST", "/admin/v1/revocations", admin, body, door="admin")).status == 403
    assert (await house.call(credential=told["access_token"])).status == 200
    admin["Authorization"] = f"Bearer {house.keys['root']}"
    logins = (await house.ask("GET", "/admin/v1/logins", admin, door="admin")).json["logins"]
    assert [(one["id"], one["client"], one["subject"]) for one in logins] == [(login, "cli", "ada")]
    answer = await house.ask("POST", "/admin/v1/revocations", admin, body, door="admin")
    assert (answer.status, answer.json["logins"]) == (201, 0 if what == "token" else 1)
    async with asyncio.timeout(5):
        while (await house.call(credential=told["access_token"])).status != 401:
            await asyncio.sleep(0.05)
    assert (await refresh(house, told["refresh_token"])).status == (200 if what == "token" else 400)
    assert (await house.call(credential=spared)).status == 200
    assert [line["object"] for line in house.audit() if line.get("action") == "token.revoked"] == [named]


async def test_a_token_is_taken_back_by_its_client_alone(house: House) -> None:
    """TOK-10: RFC 7009"""
    fields = key_of(house)
    token = (await post(house, TOKEN, fields, grant_type="client_credentials")).json["access_token"]
    for odd in ("", "x", "mr_x_1_y", "a.b.c", token[:-4] + "AAAA"):
        status = (await post(house, REVOKE, fields, token=odd)).status
        assert status == (400 if not odd else 200)
    assert (await post(house, REVOKE, key_of(house, "bob"), token=token)).status == 200
    assert (await house.call(credential=token)).status == 200
    assert (await post(house, REVOKE, fields, token=token)).status == 200
    assert (await house.call(credential=token)).status == 401
    assert (await post(house, REVOKE, token=token)).status == 401


async def test_no_secret_of_a_request_or_answer_is_written_down(house: House) -> None:
    """AUD-06"""
    first = await log_in(house)
    told = (await refresh(house, first)).json
    await post(house, TOKEN, key_of(house), grant_type="client_credentials")
    await refresh(house, first)
    written = json.dumps(house.audit())
    for secret in (first, told["access_token"], told["refresh_token"], house.keys["alice"]):
        assert secret not in written
    assert "POST /oauth/token" in written
