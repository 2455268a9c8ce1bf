"""RES-02: what is answered instead, in a whole node."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.attacks.house import Sent, call_body, open_house
from tests.node.upstreams.failing import Failing, node

from mantlet.core.config_error import ConfigError
from mantlet.node.config import load

MARK = "mantlet/fallback"
MIRRORED = [{"tools": ["echo", "exec"], "server": "two"}, {"tools": ["hold"], "answer": "It is away."}]


def pair() -> tuple[Failing, Failing]:
    return Failing("one", way="500"), Failing("two")


async def test_another_server_answers_and_the_answer_says_so(tmp_path: Path) -> None:
    """RES-02"""
    one, two = pair()
    async with node(tmp_path, one, two, fallback=MIRRORED) as house:
        answer = await house.send(call_body(name="echo", raw_id=42, a=1))
        assert answer.status == 200
        assert answer.json["id"] == 42
        assert answer.json["result"]["from"] == "two"
        assert answer.json["result"]["_meta"] == {MARK: {"from": "server", "server": "two", "reason": "bad_upstream"}}
        assert json.loads(answer.json["result"]["content"][0]["text"]) == {"a": 1}
        record = [record for record in house.audit() if record.get("action") == "tools/call"][-1]
        assert "server, two, bad_upstream" in json.dumps(record)


async def test_it_is_marked_for_legacy_clients_and_at_the_endpoint_of_all_servers(tmp_path: Path) -> None:
    """RES-02"""
    one, two = pair()
    async with node(tmp_path, one, two, fallback=MIRRORED) as house:
        client = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
        opened = await house.legacy("initialize", client, server="one")
        session = opened.headers["mcp-session-id"]
        answer = await house.legacy(
            "tools/call", {"name": "echo", "arguments": {"a": 2}}, server="one", session=session
        )
        assert answer.json["result"]["from"] == "two"
        assert answer.json["result"]["_meta"][MARK]["server"] == "two"
        answer = await house.send(call_body(name="echo", a=3), server="")
        assert answer.json["result"]["from"] == "two"


async def test_a_fallback_opens_nothing_that_is_not_open_to_the_caller(tmp_path: Path) -> None:
    """RES-02: rules, limits and switches of the other server hold."""
    one, two = pair()
    rules = {"rules": [{"name": "one", "allow": {"roles": ["user"], "servers": ["one"]}}]}
    for server in (one, two):
        await server.open()
    sections = [
        {"name": s.name, "transport": "http", "url": f"http://127.0.0.1:{s.port}/mcp", "era": "dual"}
        for s in (one, two)
    ]
    sections[0]["fallback"] = MIRRORED  # type: ignore[assignment]
    async with open_house(tmp_path, servers=0, mcp={"servers": sections}, authorization=rules) as house:
        answer = await house.call("echo")
        assert answer.status == 502
        assert two.calls == []
        record = [record for record in house.audit() if record.get("action") == "tools/call"][-1]
        assert "two: denied" in json.dumps(record)
    for server in (one, two):
        await server.close()


async def test_a_static_answer_is_given_and_nothing_else_that_was_not_named(tmp_path: Path) -> None:
    """RES-02"""
    one, two = pair()
    async with node(tmp_path, one, two, fallback=MIRRORED) as house:
        answer = await house.call("hold")
        assert answer.json["result"]["content"] == [{"type": "text", "text": "It is away."}]
        assert answer.json["result"]["_meta"][MARK]["from"] == "static"
        assert (await house.call("stream")).status == 502
        assert two.calls == []


async def test_an_open_breaker_is_answered_by_what_the_caller_last_had(tmp_path: Path) -> None:
    """RES-02: never by what another had."""
    one = Failing("one")
    rules = [{"tools": ["echo"], "cached": 60}]
    async with node(tmp_path, one, fallback=rules, breaker={"failures": 2, "open": 60}) as house:
        assert (await house.call("echo", a=1)).status == 200
        one.way = "503"
        for _ in range(2):
            await house.call("hold")
        one.calls.clear()
        mine = await house.call("echo", a=1)
        assert json.loads(mine.json["result"]["content"][0]["text"]) == {"a": 1}
        assert mine.json["result"]["_meta"][MARK] == {"from": "cached", "reason": "breaker_open"}
        assert (await house.call("echo", a=1, credential=house.keys["bob"])).status == 503
        assert (await house.call("echo", a=2)).status == 503
        assert one.calls == []


async def test_what_is_approved_as_reading_may_be_made_again_where_the_operator_trusts_that(tmp_path: Path) -> None:
    """RES-03: a server's own word counts once it is pinned."""
    tools = [
        {"name": "echo", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True}},
        {"name": "write", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": False}},
    ]
    retry = {"budget_percent": 100, "backoff_ms": 1, "trust_annotations": True}
    for pins, expected in (("first_use", 2), ("off", 1)):
        one = Failing("one", tools=tools)
        (folder := tmp_path / pins).mkdir()
        async with node(folder, one, mcp={"pins": {"mode": pins}}, retry=retry, breaker=None) as house:
            await house.call("write")
            one.calls.clear()
            one.way, one.left = "vanish", 1
            answer = await house.call("echo")
            assert (answer.status, len(one.calls)) == (200 if expected == 2 else 502, expected)
            one.calls.clear()
            one.left = 1
            assert (await house.call("write")).status == 502
            assert len(one.calls) == 1


@pytest.mark.parametrize("server", ["one", "three"])
def test_a_fallback_to_no_other_server_is_refused(tmp_path: Path, server: str) -> None:
    section: dict[str, Any] = {"name": "one", "transport": "http", "url": "http://127.0.0.1:1/mcp"}
    section["fallback"] = [{"tools": ["*"], "server": server}]
    file = tmp_path / "mantlet.yaml"
    file.write_text(yaml.safe_dump({"environment": "development", "mcp": {"servers": [section]}}))
    with pytest.raises(ConfigError, match="no other server"):
        load([str(file)], {})


class Telling(Failing):
    """Tells whoever listens that its tools have changed, and ends the stream."""

    async def _answer(self, sent: Sent, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if sent.message.get("method") != "subscriptions/listen":
            await super()._answer(sent, reader, writer)
            return
        event = b'data: {"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{}}\n\n'
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n" + event)
        await writer.drain()
        raise ConnectionError


@pytest.mark.parametrize("is_cached", [False, True])
@pytest.mark.parametrize("way", ["purge", "told"])
async def test_what_was_forgotten_is_no_answer_when_the_server_fails(tmp_path: Path, way: str, is_cached: bool) -> None:
    """CACHE-05, RES-02: with the cache, which then hears of it and tells, and without."""
    one = Telling("one")
    await one.open()
    section = {"name": "one", "transport": "http", "url": f"http://127.0.0.1:{one.port}/mcp", "era": "dual",
               "fallback": [{"tools": ["echo"], "cached": 60}]}  # fmt: skip
    async with open_house(tmp_path, servers=0, mcp={"servers": [section]}, cache={"enabled": is_cached}) as house:
        assert (await house.call("echo")).status == 200
        one.way = "503"
        assert (await house.call("echo")).json["result"]["_meta"][MARK]["from"] == "cached"
        if way == "purge":
            bearer = {"Authorization": f"Bearer {house.keys['root']}"}
            purged = await house.ask("DELETE", "/admin/v1/cache?server=one&kind=tools", bearer, door="admin")
            assert purged.json["told_all"] is True
        else:
            body = call_body("subscriptions/listen")
            body["params"]["notifications"] = {"toolsListChanged": True}
            assert b"list_changed" in (await house.send(body)).body
        assert (await house.call("echo")).status == 502
        one.way = ""
        assert (await house.call("echo")).status == 200
        one.way = "503"
        assert (await house.call("echo")).json["result"]["_meta"][MARK]["from"] == "cached"
    await one.close()
