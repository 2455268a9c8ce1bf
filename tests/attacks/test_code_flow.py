"""The authorization code through a whole node: redirects, consent, proof, and who may redeem what."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from tests.attacks.house import Answer, House
from tests.attacks.issuing import ISSUER, Browser, claims_of, open_issuer, post

from mantlet.policies.authorization_server.code import challenge_of

AUTHORIZE, TOKEN = "/oauth/authorize", "/oauth/token"
VERIFIER = "v" * 43
BACK = "http://127.0.0.1:49152/callback"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_issuer(tmp_path) as opened:
        yield opened


def asked(**changes: str | None) -> str:
    whole: dict[str, str | None] = {
        "response_type": "code",
        "client_id": "cli",
        "redirect_uri": BACK,
        "code_challenge": challenge_of(VERIFIER),
        "code_challenge_method": "S256",
        "state": "st&te",
        **changes,
    }
    return f"{AUTHORIZE}?{urlencode({name: value for name, value in whole.items() if value is not None})}"


def back(answer: Answer) -> dict[str, str]:
    assert answer.status == 303, answer.body
    location = urlsplit(answer.headers["location"])
    assert f"{location.scheme}://{location.netloc}{location.path}" == BACK
    return {name: values[0] for name, values in parse_qs(location.query).items()}


async def code_of(house: House, name: str = "alice", **changes: str | None) -> str:
    browser = Browser(house)
    assert (await browser.get(asked(**changes))).status == 200
    return back(await browser.decide(AUTHORIZE, house.keys[name]))["code"]


async def redeem(house: House, code: str, **changes: str) -> Answer:
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK, "client_id": "cli"}
    return await post(house, TOKEN, **form | {"code_verifier": VERIFIER} | changes)


async def test_a_program_gets_tokens_by_a_code_that_its_user_allowed(house: House) -> None:
    """OAUTH-03, OAUTH-04, TOK-13"""
    browser = Browser(house)
    page = await browser.get(asked())
    assert b"A program" in page.body
    assert b"127.0.0.1:49152" in page.body
    told = back(await browser.decide(AUTHORIZE, house.keys["alice"]))
    assert (told["state"], told["iss"]) == ("st&te", ISSUER)
    tokens = await redeem(house, told["code"])
    assert tokens.status == 200
    assert claims_of(tokens.json["access_token"])["sub"] == "alice"
    assert (await house.call(credential=tokens.json["access_token"])).status == 200
    refreshed = await post(
        house, TOKEN, grant_type="refresh_token", refresh_token=tokens.json["refresh_token"], client_id="cli"
    )
    assert refreshed.status == 200


async def test_a_code_that_comes_twice_ends_what_was_made_of_it(house: House) -> None:
    """OAUTH-03: RFC 6749 section 4.1.2"""
    code = await code_of(house)
    tokens = (await redeem(house, code)).json
    assert (await redeem(house, code)).json["error"] == "invalid_grant"
    assert (await house.call(credential=tokens["access_token"])).status == 401
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"], "client_id": "cli"}
    assert (await post(house, TOKEN, **form)).status == 400


async def test_of_many_redemptions_at_once_at_most_one_gets_tokens_and_they_do_not_live(house: House) -> None:
    code = await code_of(house)
    answers = await asyncio.gather(*(redeem(house, code) for _ in range(8)))
    won = [answer.json for answer in answers if answer.status == 200]
    assert len(won) <= 1
    for tokens in won:
        assert (await house.call(credential=tokens["access_token"])).status == 401


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_verifier": "w" * 43}, "invalid_grant"),
        ({"code_verifier": challenge_of(VERIFIER)}, "invalid_grant"),
        ({"code_verifier": "v"}, "invalid_grant"),
        ({"code_verifier": ""}, "invalid_request"),
        ({"redirect_uri": "http://127.0.0.1:49153/callback"}, "invalid_grant"),
        ({"redirect_uri": ""}, "invalid_grant"),
        ({"client_id": "other"}, "invalid_grant"),
        ({"resource": "https://mantlet.test/mcp/one"}, "invalid_target"),
        ({"code": "x" * 43}, "invalid_grant"),
    ],
)
async def test_who_did_not_ask_for_a_code_cannot_even_spend_it(
    house: House, changes: dict[str, str], error: str
) -> None:
    """OAUTH-03: PKCE, client and redirect URI."""
    code = await code_of(house)
    refused = await redeem(house, **{"code": code} | changes)
    assert (refused.status, refused.json["error"]) == (400, error)
    assert (await redeem(house, code)).status == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "nobody"},
        {"client_id": None},
        {"client_id": "<script>alert(1)</script>"},
        {"client_id": "https://evil.example/client.json"},
        {"redirect_uri": None},
        {"redirect_uri": "https://evil.example/back"},
        {"redirect_uri": "https://app.example/back/"},
        {"redirect_uri": "https://app.example/back?x=1"},
        {"redirect_uri": "https://app.example:444/back"},
        {"redirect_uri": "https://app.example@evil.example/back"},
        {"redirect_uri": "http://127.0.0.1:49152/other"},
        {"redirect_uri": "http://127.0.0.1:49152@evil.example/callback"},
        {"redirect_uri": "http://127.0.0.1.evil.example/callback"},
        {"redirect_uri": "http://localhost:49152/callback"},
        {"redirect_uri": "http://127.0.0.1:99999999/callback"},
        {"redirect_uri": "http://127.0.0.1:1/callback#x"},
        {"redirect_uri": "http://127.0.0.1:1\\@evil.example/callback"},
        {"redirect_uri": "javascript:alert(1)"},
    ],
)
async def test_nobody_is_sent_to_a_place_that_is_not_the_clients(house: House, changes: dict[str, str | None]) -> None:
    """OAUTH-04: a page of our own, without the stranger's words."""
    answer = await Browser(house).get(asked(**changes))
    assert answer.status == 400
    assert "location" not in answer.headers
    assert b"evil" not in answer.body
    assert b"<script" not in answer.body


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": None}, "unsupported_response_type"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"scope": 'a"b'}, "invalid_scope"),
        ({"resource": "https://evil.example/mcp"}, "invalid_target"),
        ({"request_uri": "https://evil.example/r"}, "request_not_supported"),
    ],
)
async def test_what_cannot_be_asked_for_is_told_to_the_client(
    house: House, changes: dict[str, str | None], error: str
) -> None:
    """OAUTH-03: with the issuer, also on errors (RFC 9207)."""
    told = back(await Browser(house).get(asked(**changes)))
    assert (told["error"], told["state"], told["iss"]) == (error, "st&te", ISSUER)
    assert "code" not in told


async def test_a_parameter_that_stands_twice_is_refused(house: House) -> None:
    answer = await Browser(house).get(asked() + "&redirect_uri=https%3A%2F%2Fevil.example")
    assert (answer.status, "location" in answer.headers) == (400, False)


async def test_no_is_told_and_a_wrong_key_is_asked_again(house: House) -> None:
    """OAUTH-04"""
    browser = Browser(house)
    await browser.get(asked())
    again = await browser.decide(AUTHORIZE, "mk_000000000000_" + "a" * 43)
    assert again.status == 403
    assert (await browser.decide(AUTHORIZE, house.keys["alice"])).status == 303
    await browser.get(asked())
    assert back(await browser.decide(AUTHORIZE, "", "deny"))["error"] == "access_denied"


@pytest.mark.parametrize("way", ["no cookie", "cross-site", "forged ticket", "twice", "device's"])
async def test_no_code_without_this_browsers_consent(house: House, way: str) -> None:
    """OAUTH-04: also who knows a key cannot have another's browser answer its question."""
    browser = Browser(house)
    page = await browser.get(asked())
    assert "SameSite=Strict" in page.headers["set-cookie"]
    fields: dict[str, str] = {}
    if way == "no cookie":
        browser.cookies.clear()
    elif way == "cross-site":
        fields = {"Sec-Fetch-Site": "cross-site"}
    elif way == "forged ticket":
        browser.ticket = browser.ticket[:-4] + "AAAA"
    elif way == "twice":
        first = browser.ticket
        await browser.decide(AUTHORIZE, house.keys["alice"])
        browser.ticket = first
    path = "/oauth/device" if way == "device's" else AUTHORIZE
    answer = await browser.post(path, fields, ticket=browser.ticket, api_key=house.keys["alice"], decision="allow")
    assert (answer.status, "location" in answer.headers) == (400, False)


async def test_scopes_are_those_of_user_and_client_together(tmp_path: Path) -> None:
    """AUTHZ-06"""
    client = {"id": "cli", "redirect_uris": [BACK], "scopes": ["mcp:read"]}
    async with open_issuer(tmp_path, clients=[client]) as house:
        tokens = (await redeem(house, await code_of(house, scope="mcp:read mcp:write"))).json
        assert "scope" not in tokens, "alice has none"
