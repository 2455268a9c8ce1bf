"""Servers that hang, die, return and lie; and callers who reach for what is not theirs."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from tests.attacks.house import Client, House, call_body, fields_of, open_house

from mantlet.node.build import lasting
from mantlet.node.storage import durable
from mantlet.ops import keyring
from mantlet.policies.aggregate.merge import ERRORS
from mantlet.policies.authenticate import api_keys as key_provider


async def test_a_hanging_server_among_five_costs_its_own_part_of_the_list(tmp_path: Path) -> None:
    """RES-03: named within `list_timeout_ms`, and its call cancelled."""
    async with open_house(tmp_path, servers=5) as house:
        house.upstreams["three"].hangs = True
        for n, upstream in enumerate(house.upstreams.values()):
            upstream.tools = [{"name": "same"}, {"name": f"own-{n}"}]
        result = (await house.send(call_body("tools/list"), server="")).json["result"]
        assert result["_meta"][ERRORS] == {"three": "deadline_exceeded"}
        names = [tool["name"] for tool in result["tools"]]
        assert names == ["same", "own-0", "two__same", "own-1", "four__same", "own-3", "five__same", "own-4"]
        async with asyncio.timeout(5):
            await house.upstreams["three"].gone.wait()
        answer = await house.call("four__same", server="")
        assert answer.json["result"]["from"] == "four"


async def test_a_list_shows_each_caller_what_it_may_call(house: House) -> None:
    """AUTHZ-03: in JSON, at both endpoints, in both eras; and what the server calls public is private here."""
    for server in ("one", ""):
        for who, may in (("alice", False), ("root", True)):
            answer = await house.send(call_body("tools/list"), credential=house.keys[who], server=server)
            names = [tool["name"] for tool in answer.json["result"]["tools"]]
            assert ("exec" in names) is may
            assert answer.json["result"]["cacheScope"] == "private"


async def test_a_session_is_of_no_use_to_another_caller(house: House) -> None:
    """MCP-04, AUTHZ-04: at the endpoint of all servers and at one server's own; foreign and unknown look alike."""
    for server in ("", "one"):
        begun = await house.legacy("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}}, server=server)
        session = begun.headers["mcp-session-id"]
        mine = await house.legacy("tools/list", server=server, session=session)
        assert mine.status == 200
        sent = len(house.one.sent)
        bob = house.keys["bob"]
        foreign = await house.legacy("tools/list", server=server, session=session, credential=bob)
        unknown = await house.legacy("tools/list", server=server, session="A" * len(session), credential=bob)
        assert foreign.status == unknown.status == 404
        assert foreign.json["error"]["code"] == unknown.json["error"]["code"]
        fields = {"Authorization": f"Bearer {bob}", "Mcp-Session-Id": session}
        for verb in ("GET", "DELETE"):
            status = (await house.ask(verb, f"/mcp/{server}".rstrip("/"), fields)).status
            assert status == 404
        assert len(house.one.sent) == sent
        assert (await house.legacy("tools/list", server=server, session=session)).status == 200


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_a_server_of_the_other_era_is_not_talked_to_where_the_bridge_is_off(tmp_path: Path, era: str) -> None:
    """MCP-02"""
    async with open_house(tmp_path, era=era, mcp={"bridge": {"enabled": False}}) as house:
        if era == "legacy":
            refused = await house.call()
        else:
            refused = await house.legacy("initialize", {"protocolVersion": "2025-11-25"}, server="one")
        # A legacy client reads the answer in the body: another status would say to it that the road is broken.
        assert (refused.status, refused.json["error"]["code"]) == (400 if era == "legacy" else 200, -32022)
        assert house.one.sent == []


async def test_who_has_no_rule_gets_nothing_anywhere(house: House) -> None:
    """AUTHZ-01, AUTHZ-07"""
    key = house.keys["norules"]
    for server in ("", "one"):
        for body in (call_body(), call_body("tools/list"), call_body("server/discover")):
            assert (await house.send(body, credential=key, server=server)).status == 403
        assert (await house.legacy("initialize", server=server, credential=key)).status == 403
    assert house.one.sent == []


async def test_an_upstream_that_dies_and_returns(house: House) -> None:
    """RES-06: 502 or 503 meanwhile, and no restart of ours."""
    assert (await house.call()).status == 200
    holding = asyncio.ensure_future(house.call("hold"))
    await house.one.reached.wait()
    await house.one.close()
    assert (await holding).status == 502
    async with asyncio.timeout(5):
        while (answer := await house.call()).status != 503:
            assert answer.status == 502
    assert (await house.ask("GET", "/readyz", door="admin")).status == 200
    await house.one.open()
    async with asyncio.timeout(10):
        while (await house.call()).status != 200:
            await asyncio.sleep(0.01)


async def test_a_client_that_leaves_takes_its_call_with_it(house: House) -> None:
    """MCP-07"""
    client = await Client.to(house.calls.port)
    body = call_body(name="hold")
    asking = asyncio.ensure_future(
        client.ask("POST", "/mcp/one", fields_of(body, house.keys["alice"]), json.dumps(body).encode())
    )
    await house.one.reached.wait()
    client.close()
    async with asyncio.timeout(2):
        await house.one.gone.wait()
    await asyncio.wait({asking})
    asking.exception()


async def test_a_stream_ends_when_its_key_is_revoked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """AUTHN-06: and the next request on the same connection is refused."""
    # The waits are the product's own, made short: what is proven is that nothing but them stands in between.
    monkeypatch.setattr(lasting, "CHECK_S", 0.05)
    monkeypatch.setattr(durable, "LOOK_S", 0.05)
    monkeypatch.setattr(key_provider.ApiKeyProvider, "fresh_s", 0.05)
    async with open_house(tmp_path) as house:
        wanted = keyring.NewKey("temp", roles=("user",))
        record, key = await asyncio.to_thread(keyring.create, house.config, wanted)
        body: Any = call_body(name="stream")
        client = await Client.to(house.calls.port)
        fields = fields_of(body, key.reveal())
        raw = json.dumps(body).encode()
        head = await client.ask("POST", "/mcp/one", fields, raw, whole=False)
        assert head.status == 200
        chunks = client.chunks()
        assert b"notifications/message" in await anext(chunks)
        began_s = time.monotonic()
        await asyncio.to_thread(keyring.revoke, house.config, record.id)
        async with asyncio.timeout(5):
            assert [chunk async for chunk in chunks] == []
            await house.one.gone.wait()
        assert time.monotonic() - began_s < 5
        assert (await client.ask("POST", "/mcp/one", fields, raw)).status == 401
        client.close()
