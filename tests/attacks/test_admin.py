"""The admin door, by those who have a credential and no business there."""

import json
import time
from pathlib import Path

import pytest
from tests.attacks.house import Answer, House, open_house

ROUTES = [
    ("GET", "status"), ("GET", "connections"), ("GET", "upstreams"), ("GET", "keys"), ("GET", "approvals"),
    ("GET", "kills"), ("GET", "pins"), ("GET", "blocks"), ("GET", "logins"), ("GET", "limits?client=a"),
    ("POST", "keys"), ("POST", "kills?kind=tool&name=echo"), ("POST", "revocations"), ("POST", "reload"),
    ("POST", "blocks?address=10.0.0.1"), ("POST", "approvals/a?decision=approve"), ("POST", "explain"),
    ("DELETE", "keys/a"), ("DELETE", "limits?client=a"), ("DELETE", "kills?kind=tool&name=echo"),
]  # fmt: skip
NEW_KEY = json.dumps({"name": "mine", "roles": ["admin"]}).encode()


async def ask(house: House, verb: str, path: str, credential: str, body: bytes = b"", **fields: str) -> Answer:
    headers = {"Authorization": f"Bearer {credential}", **{name.replace("_", "-"): one for name, one in fields.items()}}
    return await house.ask(verb, f"/admin/v1/{path}", headers, body, door="admin")


async def test_who_acts_for_an_administrator_is_no_administrator(tmp_path: Path) -> None:
    """AUTHZ-05, AUTHZ-10: rights at this door too are those of the whole chain, and who may not act does not."""
    delegation = {"max_depth": 1, "actors": [{"name": "clerk", "roles": ["reader"]}, {"name": "deputy"}]}
    async with open_house(tmp_path, authorization={"delegation": delegation}) as house:
        roles = ["admin"]
        for act, status in (
            ({"sub": "clerk"}, 403),
            ({"sub": "stranger"}, 403),
            ({"sub": "deputy", "act": {"sub": "clerk"}}, 403),
            ({"sub": "deputy", "act": {"sub": "deputy"}}, 403),
            ({"sub": "deputy"}, 200),
        ):
            token = house.token("boss", roles=roles, act=act)
            assert (await ask(house, "GET", "keys", token)).status == status, act
        assert (await ask(house, "GET", "keys", house.token("boss", roles=roles))).status == 200


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data",
                                  "application/jsonx"])  # fmt: skip
async def test_a_body_that_any_page_could_send_is_refused(house: House, kind: str) -> None:
    """HTTP-08"""
    fields = {"Content_Type": kind} if kind else {}
    for path in ("keys", "revocations"):
        assert (await ask(house, "POST", path, house.keys["root"], NEW_KEY, **fields)).status == 415
    assert (await ask(house, "GET", "keys", house.keys["root"])).json["keys"] == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b'{"name":"a","roles":[],"roles":["admin"]}',
        b'{"name":"a","Roles":["admin"]}',
        b'{"name":"a"} {}',
        b'\xef\xbb\xbf{"name":"a"}',
        b'{"name":"a","name\\u0000":1}',
        b"[" * 100_000,
        b'{"name":"' + b"a" * 2_000_000 + b'"}',
        b'{"name":"a","expires_in":1e400}',
        b'{"name":"a","expires_in":-1}',
        b'{"name":"a","expires_in":NaN}',
        b'{"name":"\\ud800"}',
        b'{"name":"a\\u202e"}',
        b'{"name":"a","tenant":"x/y"}',
        b'{"name":"a","roles":["a b"]}',
    ],
)
async def test_a_body_with_two_readings_makes_no_key(house: House, body: bytes) -> None:
    """HTTP-06, HTTP-08"""
    answer = await ask(house, "POST", "keys", house.keys["root"], body, Content_Type="application/json")
    assert 400 <= answer.status < 500
    assert (await ask(house, "GET", "keys", house.keys["root"])).json["keys"] == []


@pytest.mark.parametrize(("verb", "path"), ROUTES)
async def test_no_role_but_its_own_opens_it(house: House, verb: str, path: str) -> None:
    """AUTHZ-05"""
    body = b"{}" if verb == "POST" else b""
    now_s = int(time.time())
    for roles in (["user"], ["Admin"], ["ADMIN"], ["admin "], ["administrator"], "admin", ["*"], ["admin,user"]):
        token = house.token("mallory", roles=roles)
        assert (await ask(house, verb, path, token, body, Content_Type="application/json")).status in (401, 403), roles
    late = house.token("boss", roles=["admin"], iat=now_s - 900, nbf=now_s - 900, exp=now_s - 300)
    assert (await ask(house, verb, path, late, body)).status == 401
    for more in ({"X-HTTP-Method-Override": "GET"}, {"X-Original-URL": "/livez"}, {"X-Forwarded-User": "root"}):
        headers = {"Authorization": f"Bearer {house.keys['alice']}", **more}
        assert (await house.ask(verb, f"/admin/v1/{path}", headers, body, door="admin")).status == 403
    assert (
        await house.ask(verb, f"/admin/v1/{path}", {"Authorization": f"Bearer {house.keys['root']}"}, body)
    ).status == 404
