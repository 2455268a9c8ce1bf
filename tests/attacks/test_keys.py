"""API keys over the admin door of a whole node, by its owner and by others."""

import asyncio
import json
from pathlib import Path

import pytest
from tests.attacks.house import House, open_house

from mantlet.node.storage import durable
from mantlet.ops import keyring
from mantlet.policies.authenticate import api_keys as key_provider


def fields(credential: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {credential}", "Content-Type": "application/json"}


async def make(house: House, **wanted: object) -> dict[str, str]:
    answer = await house.ask(
        "POST", "/admin/v1/keys", fields(house.keys["root"]), json.dumps(wanted).encode(), door="admin"
    )
    assert answer.status == 201, answer.body
    made: dict[str, str] = answer.json
    return made


async def test_a_key_made_over_the_admin_api_opens_until_it_is_revoked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AUTHN-05, TOK-10"""
    monkeypatch.setattr(durable, "LOOK_S", 0.05)
    monkeypatch.setattr(key_provider.ApiKeyProvider, "fresh_s", 0.05)
    async with open_house(tmp_path) as house:
        made = await make(house, name="ci", owner="ada", roles=["user"], scopes=["mcp:read"], expires_in=3600)
        assert (await house.call(credential=made["key"])).status == 200
        listed = (await house.ask("GET", "/admin/v1/keys", fields(house.keys["root"]), door="admin")).json["keys"]
        assert [(key["id"], key["owner"], key["state"]) for key in listed] == [(made["id"], "ada", "live")]
        assert "hash" not in listed[0]
        assert "key" not in listed[0]
        path = f"/admin/v1/keys/{made['id']}"
        assert (await house.ask("DELETE", path, fields(house.keys["root"]), door="admin")).json["state"] == "revoked"
        async with asyncio.timeout(5):
            while (await house.call(credential=made["key"])).status != 401:
                await asyncio.sleep(0.01)
        events = [line["action"] for line in house.audit() if line.get("object") == made["id"]]
        assert events.count("key.created") == events.count("key.revoked") == 1
        assert made["key"] not in "".join(file.read_text() for file in Path(house.config.audit.path).glob("*.jsonl"))


async def test_only_an_administrator_makes_lists_and_ends_keys(house: House) -> None:
    """AUTHZ-05, AUTHN-05"""
    made = await make(house, name="victim", roles=["user"])
    wish = json.dumps({"name": "mine", "roles": ["admin"]}).encode()
    one = f"/admin/v1/keys/{made['id']}"
    for verb, path, body in [("POST", "/admin/v1/keys", wish), ("GET", "/admin/v1/keys", b""), ("DELETE", one, b"")]:
        assert (await house.ask(verb, path, fields(house.keys["alice"]), body, door="admin")).status == 403
        assert (await house.ask(verb, path, fields(made["key"]), body, door="admin")).status == 403
        assert (await house.ask(verb, path, fields(house.keys["root"]), body)).status == 404
        assert (await house.ask(verb, path, {}, body, door="admin")).status == 401
    assert (await house.call(credential=made["key"])).status == 200


@pytest.mark.parametrize(
    "wanted",
    [
        {"name": "a/b"},
        {"name": "a\x00b"},
        {"name": "a", "owner": "x" * 300},
        {"name": "a", "kind": "root"},
        {"name": "a", "roles": ["ad min"]},
        {"name": "a", "tenant": "../x"},
        {"name": "a", "roles": ["r"] * 65},
        {"name": "a", "expires_in": 1e300},
    ],
)
async def test_an_odd_wish_is_refused_and_makes_no_key(house: House, wanted: dict[str, object]) -> None:
    answer = await house.ask(
        "POST", "/admin/v1/keys", fields(house.keys["root"]), json.dumps(wanted).encode(), door="admin"
    )
    assert answer.status == 400
    listed = await house.ask("GET", "/admin/v1/keys", fields(house.keys["root"]), door="admin")
    assert listed.json == {"keys": []}


async def test_a_stored_hash_is_no_key(house: House) -> None:
    """AUTHN-05: who has read the database is not let in with what stood there."""
    await make(house, name="ci", roles=["user"])
    (record,) = await asyncio.to_thread(keyring.listed, house.config)
    for forged in (record.hash, f"mk_{record.id}_{record.hash[:43]}", f"mk_{record.id}_{'0' * 43}"):
        assert (await house.call(credential=forged)).status == 401
