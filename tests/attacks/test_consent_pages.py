"""The doors of consents from outside: strangers, broken requests, and callers who have consented to nothing."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from tests.attacks.house import Answer, House, call_body, open_house

RULES = {"rules": [{"name": "all", "allow": {"roles": ["user", "admin"]}}]}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """A server with callers' own grants, whose authorization server cannot be reached."""
    grant = {
        "issuer": "http://127.0.0.1:1",
        "client_id": "node",
        "authorization_endpoint": "http://127.0.0.1:1/authorize",
        "token_endpoint": "http://127.0.0.1:1/token",
    }
    server = {"name": "docs", "url": "http://127.0.0.1:1/mcp", "forward_identity": "user", "user": grant}
    agent = {"url": "http://node.test"}
    async with open_house(tmp_path, servers=0, agent=agent, authorization=RULES, mcp={"servers": [server]}) as house:
        yield house


async def link(house: House, who: str = "alice") -> str:
    answer = await house.legacy("tools/call", {"name": "x"}, server="docs", credential=house.keys[who])
    assert (answer.status, answer.json["error"]["code"]) == (200, -32042)
    return str(answer.json["error"]["data"]["elicitations"][0]["url"])


async def test_a_call_without_a_grant_reaches_nobody(house: House) -> None:
    """FWD-01, FWD-04: not even a probe is sent; the link says nothing of its caller."""
    url = await link(house)
    assert url.startswith("http://node.test/oauth/connect?id=")
    assert "alice" not in url
    assert await link(house) == url
    assert await link(house, "bob") != url
    answer = await house.call("x", server="docs")
    assert (answer.status, answer.json["error"]["code"]) == (400, -32021)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "id=",
        "id=x",
        "id=%00",
        "id=%ff",
        "id=a&id=b",
        "id=" + "x" * 4_000,
        "&".join(f"a{n}=1" for n in range(100)),
    ],
)
@pytest.mark.parametrize("path", ["/oauth/connect", "/oauth/callback/docs"])
async def test_broken_links_get_a_page_and_nothing_else(house: House, path: str, query: str) -> None:
    """OAUTH-03, ERR-01"""
    for text in (query, query.replace("id=", "state=")):
        answer = await house.ask("GET", f"{path}?{text}")
        assert answer.status == 400
        assert answer.headers["content-type"].startswith("text/html")
        assert "set-cookie" not in answer.headers
        assert b"Traceback" not in answer.body


@pytest.mark.parametrize("verb", ["PUT", "DELETE", "PATCH"])
async def test_other_verbs_mean_nothing(house: House, verb: str) -> None:
    for path in ("/oauth/connect", "/oauth/callback/docs"):
        assert (await house.ask(verb, path)).status == 405


async def test_a_callback_of_no_upstream_is_no_page(house: House) -> None:
    """AUTHN-01: the exceptions are exact paths."""
    for path in ("/oauth/callback", "/oauth/callback/", "/oauth/callback/other", "/oauth/callback/docs/x", "/oauth"):
        assert (await house.ask("GET", f"{path}?state=x")).status == 401


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"ticket": "x"},
        {"ticket": "x" * 60_000},
        {"ticket": "x", "decision": "allow", "api_key": "x"},
        {"ticket": "x", "login": "corp"},
    ],
)
async def test_a_form_without_its_page_does_nothing(house: House, form: dict[str, Any]) -> None:
    """OAUTH-04"""
    answer = await house.ask("POST", "/oauth/connect", FORM, urlencode(form).encode())
    assert answer.status == 400
    assert b"http-equiv" not in answer.body


async def test_other_bodies_are_refused(house: House) -> None:
    for headers, body in [({"Content-Type": "application/json"}, b"{}"), (FORM, b"a=%ff"), (FORM, b"a=1&a=2")]:
        assert (await house.ask("POST", "/oauth/connect", headers, body)).status == 400
    assert (await house.ask("POST", "/oauth/connect", FORM, b"a=" + b"x" * 100_000)).status == 413


async def test_a_key_that_is_guessed_on_the_page_counts_as_everywhere(tmp_path: Path, house: House) -> None:
    """AUTHN-07: the page is no place to try keys."""
    page = await house.ask("GET", (await link(house)).removeprefix("http://node.test"))
    cookie = page.headers["set-cookie"].partition(";")[0]
    ticket = page.body.split(b'name="ticket" value="')[1].split(b'"')[0].decode()
    form = {"ticket": ticket, "decision": "allow", "api_key": "mk_" + "A" * 12 + "_" + "A" * 43}
    answer = await post(house, form, cookie)
    assert (answer.status, b"not accepted" in answer.body) == (403, True)
    recorded = house.audit()[-1]
    assert "AAAA" not in str(recorded).replace(recorded.get("credential", ""), "")


async def test_a_login_server_that_is_down_is_told_as_that(house: House) -> None:
    """ERR-01: the browser is sent all the same, since it alone goes there; what it brings back cannot be redeemed."""
    page = await house.ask("GET", (await link(house)).removeprefix("http://node.test"))
    cookie = page.headers["set-cookie"].partition(";")[0]
    ticket = page.body.split(b'name="ticket" value="')[1].split(b'"')[0].decode()
    away = await post(house, {"ticket": ticket, "decision": "allow", "api_key": house.keys["alice"]}, cookie)
    state = away.body.split(b"state=")[1].split(b"&")[0].decode()
    cookie = away.headers["set-cookie"].partition(";")[0]
    answer = await house.ask("GET", f"/oauth/callback/docs?state={state}&code=c", {"Cookie": cookie})
    assert (answer.status, b"127.0.0.1:1" in answer.body) == (502, False)
    assert state not in str(house.audit())
    again = await house.ask("GET", f"/oauth/callback/docs?state={state}&code=c", {"Cookie": cookie})
    assert again.status == 400


async def test_lists_are_answered_in_the_servers_place(house: House) -> None:
    answer = await house.send(call_body("tools/list"), server="docs")
    assert [tool["name"] for tool in answer.json["result"]["tools"]] == ["mantlet_connect"]
    whole = await house.send(call_body("tools/list"), server="")
    assert [tool["name"] for tool in whole.json["result"]["tools"]] == ["mantlet_connect"]
    nobody = await house.send(call_body("tools/list"), server="docs", credential=house.keys["norules"])
    assert "result" not in nobody.json or nobody.json["result"]["tools"] == []


async def test_who_can_prove_themselves_on_no_page_hears_so_at_once(house: House) -> None:
    """FWD-01, ERR-01: a token of an issuer where nobody can log in here, as callers by certificate; no dead end."""
    token = house.token()
    answer = await house.call("x", server="docs", credential=token)
    error = answer.json["error"]
    assert (answer.status, error["code"], error["data"]["reason"]) == (403, 4403, "denied")
    assert "API key" in error["message"]
    assert b"oauth/connect" not in answer.body
    assert (await house.send(call_body("tools/list"), server="docs", credential=token)).status == 403
    whole = await house.send(call_body("tools/list"), server="", credential=token)
    assert (whole.status, whole.json["result"]["tools"]) == (200, [])
    [record] = [line for line in house.audit() if line.get("object") == "x"]
    assert record["notes"]["consent"] == "impossible"


async def post(house: House, form: dict[str, str], cookie: str) -> Answer:
    fields = {**FORM, "Cookie": cookie, "Sec-Fetch-Site": "same-origin"}
    return await house.ask("POST", "/oauth/connect", fields, urlencode(form).encode())
