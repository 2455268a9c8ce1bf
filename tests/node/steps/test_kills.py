"""Kill switches thrown over the admin door, as callers and upstreams meet them."""

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.attacks.house import Answer, Client, House, call_body, fields_of, open_house

KILLS = "/admin/v1/kills"


async def throw(house: House, verb: str, kind: str, name: str, **more: str) -> Any:
    query = "&".join(f"{key}={quote(value, safe='')}" for key, value in {"kind": kind, "name": name, **more}.items())
    bearer = {"Authorization": f"Bearer {house.keys['root']}"}
    return await house.ask(verb, f"{KILLS}?{query}", bearer, door="admin")


def reason(answer: Answer) -> Any:
    """A caller is stopped before its message is read, and told by problem details."""
    return answer.json.get("reason") or answer.json["error"]["data"]["reason"]


async def test_each_kind_stops_its_own_and_nothing_else(tmp_path: Path) -> None:
    """AUTHZ-07: refused with a reason of its own, recorded, and nothing reaches the upstream."""
    async with open_house(tmp_path, servers=2) as house:
        # The name of a caller is the one that the audit gives it.
        await house.call()
        name = house.audit()[-1]["principal"]
        sent = len(house.one.sent)
        for kind, what in [("tool", "one__echo"), ("tool", "echo"), ("upstream", "one"), ("caller", name)]:
            told = await throw(house, "POST", kind, what, reason="drill")
            assert told.status == 200, told.body
            refused = await house.call()
            assert refused.status == 403
            assert reason(refused) == "killed"
            assert len(house.one.sent) == sent
            assert house.audit()[-1]["reason"] == "killed"
            others = [(await house.call(credential=house.keys["bob"])).status, (await house.call(server="two")).status]
            assert others == {"one__echo": [403, 200], "echo": [403, 403], "one": [403, 200], name: [200, 403]}[what]
            sent = len(house.one.sent)
            listed = await house.ask("GET", KILLS, {"Authorization": f"Bearer {house.keys['root']}"}, door="admin")
            [one] = listed.json["kills"]
            assert (one["kind"], one["name"], one["reason"]) == (kind, what, "drill")
            assert (await throw(house, "DELETE", kind, what)).json["was_killed"]
            assert (await house.call()).status == 200
            sent = len(house.one.sent)
        acts = [record["event"] for record in house.audit() if record["event"].startswith("switch.")]
        assert acts == ["switch.killed", "switch.released"] * 4


async def test_a_stopped_tool_is_not_shown(tmp_path: Path) -> None:
    """AUTHZ-03"""
    async with open_house(tmp_path) as house:
        await throw(house, "POST", "tool", "one__echo")
        for server in ("one", ""):
            listed = await house.send(call_body("tools/list"), server=server)
            names = [tool["name"] for tool in listed.json["result"]["tools"]]
            assert not any("echo" in name for name in names)
            assert any("hold" in name for name in names)


async def test_a_running_stream_of_a_stopped_caller_ends(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        client = await Client.to(house.calls.port)
        body = call_body(name="stream")
        await client.ask(
            "POST", "/mcp/one", fields_of(body, house.keys["alice"]), json.dumps(body).encode(), whole=False
        )
        chunks = client.chunks()
        await anext(chunks)
        name = house.audit()[-1]["principal"]
        assert (await throw(house, "POST", "caller", name)).status == 200
        async with asyncio.timeout(5):
            assert [chunk async for chunk in chunks] == []
            await house.one.gone.wait()
        client.close()


async def test_what_was_stopped_is_stopped_after_a_restart(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await throw(house, "POST", "tool", "echo")
    async with open_house(tmp_path) as again:
        assert reason(await again.call()) == "killed"


async def test_what_names_nothing_is_refused(tmp_path: Path) -> None:
    """AUTHZ-05"""
    async with open_house(tmp_path) as house:
        for kind, name in [("tool", ""), ("other", "x"), ("", ""), ("caller", "alice"), ("tool", "a\nb")]:
            assert (await throw(house, "POST", kind, name)).status == 400
        await throw(house, "POST", "tool", "nothing")
        own = next(record["principal"] for record in house.audit() if record["event"] == "switch.killed")
        assert (await throw(house, "POST", "caller", own)).status == 400
        assert (await throw(house, "POST", "upstream", "other")).json["is_known"] is False
        user = {"Authorization": f"Bearer {house.keys['alice']}"}
        assert (await house.ask("POST", f"{KILLS}?kind=tool&name=x", user, door="admin")).status == 403
        assert (await house.ask("GET", KILLS, user)).status == 404
