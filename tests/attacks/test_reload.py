"""A reload takes rights and keys away: what was opened with them does not outlive them."""

import asyncio
import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.attacks.house import Answer, Client, House, call_body, fields_of, open_house
from tests.attacks.issuing import basic, key_of, open_issuer, post
from tests.attacks.test_code_flow import code_of, redeem
from tests.attacks.test_message_doors import heard, open_doors, say
from tests.attacks.test_token_endpoint import refresh

from mantlet.node.config import load

PATIENCE_S = 8.0
Change = Callable[[dict[str, Any]], object]
NAMED = {"name": "ops", "key": "a-key-of-no-form-4711-abcdefghijkl", "roles": ["user"]}


async def reload(house: House, act: Change) -> None:
    """Take up the configuration as `act` changed it."""
    file = house.folder / "mantlet.yaml"
    whole = yaml.safe_load(file.read_text())
    act(whole)
    file.write_text(yaml.safe_dump(whole))
    await house.node.renewal.prepare(load([str(file)], {}).config)
    house.node.renewal.commit()


def keys_of(whole: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {key["name"]: key for key in whole["auth"]["api_keys"]}


async def stream_of(house: House, credential: str = "") -> Client:
    body = call_body(name="stream")
    client = await Client.to(house.calls.port)
    fields = fields_of(body, credential or house.keys["alice"])
    assert (await client.ask("POST", "/mcp/one", fields, json.dumps(body).encode(), whole=False)).status == 200
    return client


async def ends(client: Client) -> bool:
    try:
        async with asyncio.timeout(PATIENCE_S):
            async for _ in client.chunks():
                pass
    except TimeoutError:
        return False
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        client.close()
    return True


def without(name: str) -> Change:
    return lambda whole: whole["auth"]["api_keys"].remove(keys_of(whole)[name])


def deny(tool: str) -> Change:
    return lambda whole: whole["authorization"]["rules"].insert(0, {"name": "new", "deny": {"tools": [tool]}})


LESS: dict[str, Change] = {
    "the key is gone": without("alice"),
    "the key has ended": lambda whole: keys_of(whole)["alice"].update(expires="2020-01-01T00:00:00Z"),
    "the role is gone": lambda whole: keys_of(whole)["alice"].update(roles=[]),
    "the tenant is another": lambda whole: keys_of(whole)["alice"].update(tenant="other"),
    "the rule is gone": lambda whole: whole["authorization"]["rules"].pop(),
}
TOKENS: dict[str, Change] = {
    "another secret": lambda whole: Path(whole["auth"]["jwt"]["secret_file"]).write_text(secrets.token_urlsafe(48)),
    "another audience": lambda whole: whole["auth"]["jwt"].update(audience="https://other.test/mcp"),
    "another issuer": lambda whole: whole["auth"]["jwt"].update(issuer="https://other.test"),
    "no tokens at all": lambda whole: whole["auth"].pop("jwt"),
}


@pytest.mark.parametrize("change", [*LESS.values(), deny("stream")], ids=[*LESS, "the tool is denied"])
async def test_a_stream_ends_with_the_right_to_it(house: House, change: Change) -> None:
    """AUTHZ-06, AUTHN-06"""
    client = await stream_of(house)
    await reload(house, change)
    assert await ends(client)


@pytest.mark.parametrize("change", TOKENS.values(), ids=TOKENS)
async def test_a_stream_ends_when_its_token_would_not_be_taken_now(house: House, change: Change) -> None:
    """AUTHN-06, TOK-04"""
    client = await stream_of(house, house.token())
    await reload(house, change)
    assert await ends(client)


async def test_what_is_still_allowed_flows_on(house: House) -> None:
    """AUTHZ-06: also over a rotation of the key, whose old half is accepted for a while."""
    clients = [await stream_of(house), await stream_of(house, house.token())]

    def change(whole: dict[str, Any]) -> None:
        deny("echo")(whole)
        keys_of(whole)["alice"].update(roles=["user", "more"])
        keys_of(whole)["bob"].update(roles=[])
        whole["auth"]["jwt"].update(
            secret=secrets.token_urlsafe(48), previous_secret=house.secret, previous_until="2999-01-01T00:00:00Z"
        )
        del whole["auth"]["jwt"]["secret_file"]

    await reload(house, change)
    assert house.node.kills.targets._streams.__len__() == len(clients)
    assert not any(stream._is_over for stream in house.node.kills.targets._streams)
    for client in clients:
        client.close()


@pytest.mark.parametrize("change", LESS.values(), ids=LESS)
async def test_a_socket_has_no_rights_of_yesterday(tmp_path: Path, change: Change) -> None:
    """AUTHZ-06, AUTHN-06, AUTHN-10: within seconds; whether a key is in the database may have to be asked."""
    async with open_doors(tmp_path) as doors, doors.socket() as socket:
        lines = await doors.lines()
        await lines.hear()
        await reload(doors.house, change)
        async with asyncio.timeout(PATIENCE_S):
            is_refused = [False, False]
            while is_refused != [True, True]:
                if not is_refused[0]:
                    await say(socket, call_body(raw_id=2))
                    is_refused[0] = (await heard(socket)).get("error", {}).get("code") in (4401, 4403)
                if not is_refused[1]:
                    lines.say(call_body(raw_id=2))
                    is_refused[1] = (await lines.hear()).get("error", {}).get("code") in (4401, 4403)
                await asyncio.sleep(0.05)


async def test_another_key_of_the_same_name_is_another_key(tmp_path: Path) -> None:
    """AUTHN-06, CFG-04: its id says nothing of the key, so the id alone decides nothing."""
    async with open_doors(tmp_path) as doors:
        house = doors.house
        await reload(house, lambda whole: whole["auth"]["api_keys"].append(NAMED))
        async with doors.socket(NAMED["key"]) as socket:  # type: ignore[arg-type]
            client = await stream_of(house, NAMED["key"])  # type: ignore[arg-type]
            await reload(house, lambda whole: keys_of(whole)["ops"].update(key="another-key-of-no-form-4711-abcdefgh"))
            await say(socket, call_body(raw_id=2))
            assert (await heard(socket))["error"]["code"] == 4401
            assert await ends(client)


async def test_a_held_call_does_not_go_on_by_rules_of_yesterday(tmp_path: Path) -> None:
    """AUTHZ-06, AUTHZ-09: a yes to a call does not bring back the right to it."""
    rules = {"rules": [{"name": "all", "allow": {}}], "approvals": {"tools": ["echo"], "hold": 30}}
    async with open_house(tmp_path, authorization=rules) as house:
        bearer = {"Authorization": f"Bearer {house.keys['root']}"}
        waiting = asyncio.ensure_future(house.call())
        while not (found := (await house.ask("GET", "/admin/v1/approvals", bearer, door="admin")).json["approvals"]):
            await asyncio.sleep(0)
        await reload(house, deny("echo"))
        said: Answer = await house.ask(
            "POST", f"/admin/v1/approvals/{found[0]['id']}?decision=approve", bearer, door="admin"
        )
        assert said.json["state"] == "approved"
        assert (await waiting).status == 403
        assert not house.one.sent


@pytest.mark.parametrize("change", list(LESS.values())[:4], ids=list(LESS)[:4])
async def test_a_login_gives_no_rights_that_its_key_has_lost(tmp_path: Path, change: Change) -> None:
    """AUTHZ-06, TOK-13"""
    async with open_issuer(tmp_path) as house:
        told = (await redeem(house, await code_of(house))).json
        told = (await refresh(house, told["refresh_token"])).json
        await reload(house, change)
        assert (await refresh(house, told["refresh_token"])).json["error"] == "invalid_grant"


@pytest.mark.parametrize("change", list(LESS.values())[:4], ids=list(LESS)[:4])
async def test_a_token_ends_with_the_key_it_came_from(tmp_path: Path, change: Change) -> None:
    """TOK-10: also with one that the configuration has no more, or has with less."""
    async with open_issuer(tmp_path) as house:
        answer = await post(house, "/oauth/token", key_of(house), grant_type="client_credentials")
        token = answer.json["access_token"]
        assert (await house.call(credential=token)).status == 200
        client = await stream_of(house, token)
        await reload(house, change)
        assert (await house.call(credential=token)).status == 401
        assert await ends(client)


async def test_a_key_whose_name_has_dots_takes_its_tokens_along(tmp_path: Path) -> None:
    """TOK-10: what a token came from is read off the beginning of its id, whatever characters it has."""
    named = {**NAMED, "name": "desk.team"}
    async with open_issuer(tmp_path) as house:
        await reload(house, lambda whole: whole["auth"]["api_keys"].append(named))
        fields = basic("config:desk.team", str(named["key"]))
        tokens = [
            (await post(house, "/oauth/token", fields, grant_type="client_credentials")).json["access_token"]
            for _ in range(2)
        ]
        root = {"Content-Type": "application/json", "Authorization": f"Bearer {house.keys['root']}"}
        body = json.dumps({"key": "config:desk.team"}).encode()
        assert (await house.call(credential=tokens[0])).status == 200
        assert (await house.ask("POST", "/admin/v1/revocations", root, body, door="admin")).status == 201
        async with asyncio.timeout(PATIENCE_S):
            while (await house.call(credential=tokens[0])).status != 401:
                await asyncio.sleep(0.05)
        await reload(house, without("desk.team"))
        assert (await house.call(credential=tokens[1])).status == 401
