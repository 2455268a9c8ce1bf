"""The device flow through a whole node, driven by an honest device, an honest user, and by neither."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.attacks.house import House
from tests.attacks.issuing import Browser, claims_of, open_issuer, post

from mantlet.policies.authorization_server import pending

BEGIN, PAGE, TOKEN = "/oauth/device_authorization", "/oauth/device", "/oauth/token"
GRANT = "urn:ietf:params:oauth:grant-type:device_code"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_issuer(tmp_path, device={"interval": 1}) as opened:
        yield opened


async def begin(house: House, **form: str) -> dict[str, Any]:
    answer = await post(house, BEGIN, **{"client_id": "cli", **form})
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json
    return found


async def ask(house: House, device_code: str, client: str = "cli") -> Any:
    return await post(house, TOKEN, grant_type=GRANT, device_code=device_code, client_id=client)


def rested(house: House) -> None:
    """As if the interval had passed: the claims of who asked when are dropped."""
    kept = house.node.state
    for key in [key for key in kept._values if "asked" in str(key)]:  # type: ignore[attr-defined]
        del kept._values[key]  # type: ignore[attr-defined]


async def consent(house: House, begun: dict[str, Any], name: str = "alice", decision: str = "allow") -> Browser:
    browser = Browser(house)
    assert (await browser.get(PAGE)).status == 200
    page = await browser.post(PAGE, user_code=begun["user_code"].lower())
    assert page.status == 200, page.body
    answer = await browser.decide(PAGE, house.keys[name], decision)
    assert answer.status == 200, answer.body
    return browser


async def test_a_device_gets_tokens_of_its_user_once_they_said_yes(house: House) -> None:
    """OAUTH-06, TOK-13"""
    begun = await begin(house)
    assert begun["verification_uri"] == "https://mantlet.test/oauth/device"
    assert len(begun["device_code"]) >= 22, "128 bits"
    assert (await ask(house, begun["device_code"])).json["error"] == "authorization_pending"
    await consent(house, begun)
    rested(house)
    told = await ask(house, begun["device_code"])
    assert (told.status, told.headers["cache-control"]) == (200, "no-store")
    claims = claims_of(told.json["access_token"])
    assert (claims["sub"], claims["client_id"], claims["roles"]) == ("alice", "cli", ["user"])
    assert (await house.call(credential=told.json["access_token"])).status == 200
    form = {"grant_type": "refresh_token", "refresh_token": told.json["refresh_token"], "client_id": "cli"}
    assert (await post(house, TOKEN, **form)).status == 200
    rested(house)
    assert (await ask(house, begun["device_code"])).json["error"] == "invalid_grant", "redeemed once"


async def test_an_administrators_yes_makes_no_administrator_of_a_program(house: House) -> None:
    """AUTHZ-06: a client carries the roles that the operator gave to it."""
    begun = await begin(house)
    await consent(house, begun, "root")
    told = (await ask(house, begun["device_code"])).json
    assert "roles" not in claims_of(told["access_token"])


async def test_a_device_that_asks_too_often_is_slowed_down(house: House) -> None:
    """OAUTH-06: and longer by five seconds each time."""
    begun = await begin(house)
    assert (await ask(house, begun["device_code"])).json["error"] == "authorization_pending"
    assert [(await ask(house, begun["device_code"])).json["error"] for _ in range(2)] == ["slow_down"] * 2
    values = house.node.state._values  # type: ignore[attr-defined]
    assert any(b"11" in str(value).encode() for key, value in values.items() if "interval" in str(key))


async def test_no_means_no(house: House) -> None:
    """OAUTH-06"""
    begun = await begin(house)
    browser = await consent(house, begun, decision="deny")
    assert (await ask(house, begun["device_code"])).json["error"] == "access_denied"
    assert (await browser.post(PAGE, user_code=begun["user_code"])).status == 400, "decided once"


async def test_a_device_code_is_its_clients_alone_and_an_unknown_one_is_over(house: House) -> None:
    """OAUTH-06"""
    begun = await begin(house)
    await consent(house, begun)
    assert (await ask(house, begun["device_code"], "other")).json["error"] == "invalid_grant"
    assert (await ask(house, begun["user_code"])).json["error"] == "expired_token"
    assert (await ask(house, "x" * 43)).json["error"] == "expired_token"
    assert (await ask(house, begun["device_code"])).status == 200


async def test_user_codes_cannot_be_guessed_at_will(house: House) -> None:
    """OAUTH-06: five tries in a window, also for the right one."""
    begun = await begin(house)
    browser = Browser(house)
    statuses = [(await browser.post(PAGE, user_code="BBBB-BBBB")).status for _ in range(5)]
    assert statuses == [400] * 5
    assert (await browser.post(PAGE, user_code=begun["user_code"])).status == 429


@pytest.mark.parametrize(
    "way", ["no cookie", "other browser", "cross-site", "forged ticket", "twice", "bad key", "jwt"]
)
async def test_nobody_but_this_browsers_user_says_yes(house: House, way: str) -> None:
    """OAUTH-04, OAUTH-06"""
    begun = await begin(house)
    browser, other = Browser(house), Browser(house)
    await browser.post(PAGE, user_code=begun["user_code"])
    key, fields, expected = house.keys["alice"], {}, 400
    if way == "no cookie":
        browser.cookies.clear()
    elif way == "other browser":
        other.ticket, browser = browser.ticket, other
        await other.post(PAGE, user_code="BBBB-BBBB")
    elif way == "cross-site":
        fields = {"Sec-Fetch-Site": "cross-site"}
    elif way == "forged ticket":
        browser.ticket = browser.ticket[:-4] + "AAAA"
    elif way == "twice":
        first = browser.ticket
        await browser.decide(PAGE, "mk_wrong")
        browser.ticket = first
    elif way == "bad key":
        key, expected = "mk_000000000000_" + "a" * 43, 403
    else:
        token = (await post(house, TOKEN, _basic(house), grant_type="client_credentials")).json["access_token"]
        key, expected = token, 403
    answer = await browser.post(PAGE, fields, ticket=browser.ticket, api_key=key, decision="allow")
    assert answer.status == expected
    assert (await ask(house, begun["device_code"])).json["error"] == "authorization_pending"


def _basic(house: House) -> dict[str, str]:
    from tests.attacks.issuing import key_of

    return key_of(house)


async def test_pages_hold_nothing_that_runs_and_no_stranger_speaks_on_them(house: House) -> None:
    """OAUTH-04: no framing, no scripts, nothing echoed."""
    for path in (PAGE, f"{PAGE}?user_code=%3Cscript%3Ealert(1)%3C/script%3E"):
        page = await Browser(house).get(path)
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "script" not in policy
        assert page.headers["x-frame-options"] == "DENY"
        assert b"<script" not in page.body
    cookie = (await Browser(house).post(PAGE, user_code=(await begin(house))["user_code"])).headers["set-cookie"]
    assert cookie.startswith("__Host-mantlet-device=")
    assert all(word in cookie for word in ("; Secure", "; HttpOnly", "; SameSite=Strict", "Path=/"))


@pytest.mark.parametrize("form", [{"client_id": "nobody"}, {"scope": 'x"y'}, {"resource": "https://evil.example"}])
async def test_an_odd_device_gets_no_code(house: House, form: dict[str, str]) -> None:
    answer = await post(house, BEGIN, **{"client_id": "cli", **form})
    assert answer.status in (400, 401)
    assert "device_code" not in answer.json


async def test_the_flow_can_be_off(tmp_path: Path) -> None:
    """OAUTH-06"""
    async with open_issuer(tmp_path, device={"enabled": False}) as house:
        assert (await post(house, BEGIN, client_id="cli")).status == 401
        found = (await house.ask("GET", "/.well-known/oauth-authorization-server")).json
        assert "device_authorization_endpoint" not in found
        assert GRANT not in found["grant_types_supported"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("BCDF-GHJK", "BCDFGHJK"),
        ("bcdf ghjk", "BCDFGHJK"),
        ("BCDFGHJ", None),
        ("BCDF-GHJA", None),
        ("\uff22CDFGHJK", None),
        ("", None),
    ],
)
def test_people_write_codes_as_they_like(text: str, code: str | None) -> None:
    assert pending.user_code_of(text) == code


def test_codes_have_no_vowels_and_are_not_the_same() -> None:
    codes = {pending.new_user_code() for _ in range(50)}
    assert len(codes) == 50
    assert all(set(code) <= set(pending.USER_CODE_ALPHABET) for code in codes)
