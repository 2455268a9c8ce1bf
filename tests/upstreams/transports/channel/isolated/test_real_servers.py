"""Servers of the legacy era on the SDKs of that time, each session with a process of its own."""

import asyncio
from typing import Any

import pytest
from bench.rig import node
from tests.upstreams.transports.channel.isolated.support import (
    EVERY_CAPABILITY,
    Stream,
    begin,
    isolated,
    listen,
    response,
)
from tests.upstreams.transports.channel.support import call, result_of, text_of, tool, until
from tests.upstreams.transports.peers import MCP1_PYTHON, SERVERS

from mantlet.core.ports import Upstream

PYTHON = [str(MCP1_PYTHON), str(SERVERS / "legacy_everything.py"), "--stdio"]
JSON = b"application/json"
needs_mcp1 = pytest.mark.skipif(not MCP1_PYTHON.exists(), reason="no .venv-mcp1: `make test-all` makes it")


def legacy(name: str, session: str, arguments: Any = None, **options: Any) -> Any:
    return tool(name, arguments, era="legacy", session=session, **options)


async def accept(server: Upstream, session: str, asked: Any, who: str, **content: Any) -> None:
    result = {"action": "accept", "content": content}
    assert (await server.send(response(session, asked["id"], who, result=result))).status == 202


def said(answer: Any) -> str:
    text = answer["result"]["content"][0]["text"]
    assert type(text) is str
    return text


@needs_mcp1
async def test_two_sessions_whose_servers_ask_at_the_same_time_never_cross() -> None:
    """MCP-05: the SDK begins its ids at 0 in each process."""
    names = ["alice", "bob", "carol"]
    async with isolated(PYTHON) as server:
        sessions = await asyncio.gather(*(begin(server, who) for who in names))

        async def whole(session: str, who: str) -> list[str]:
            outcome = []
            for _ in range(3):
                once = Stream(await server.send(legacy("ask", session, {"question": who}, who=who)))
                asked = await once.next()
                assert asked["params"]["message"] == who
                await accept(server, session, asked, who, name=f"{who}'s name")
                outcome.append(said(await once.next()))
            both = Stream(await server.send(legacy("ask_both", session, who=who, id=2)))
            first, second = await both.next(), await both.next()
            await accept(server, session, second, who, name=f"{who} {second['params']['message']}")
            await accept(server, session, first, who, name=f"{who} {first['params']['message']}")
            outcome.append(said(await both.next()))
            return outcome

        work = [whole(session, who) for session, who in zip(sessions, names, strict=True)]
        for outcome, who in zip(await asyncio.gather(*work), names, strict=True):
            assert outcome == [f"accept: {who}'s name"] * 3 + [f"{who} One? {who} Two?"]


@needs_mcp1
async def test_all_that_a_legacy_server_does_with_its_client() -> None:
    async with isolated(PYTHON) as server:
        url = {**EVERY_CAPABILITY, "elicitation": {"form": {}, "url": {}}}
        session = await begin(server, capabilities=url)
        sampled = Stream(await server.send(legacy("sample", session)))
        asked = await sampled.next()
        assert asked["method"] == "sampling/createMessage"
        answer = {"role": "assistant", "model": "m", "content": {"type": "text", "text": "Paris"}}
        await server.send(response(session, asked["id"], result=answer))
        assert said(await sampled.next()) == "m: Paris"

        rooted = Stream(await server.send(legacy("roots", session)))
        asked = await rooted.next()
        assert asked["method"] == "roots/list"
        await server.send(response(session, asked["id"], result={"roots": [{"uri": "file:///a"}]}))
        assert said(await rooted.next()) == "file:///a"

        visited = Stream(await server.send(legacy("visit", session)))
        asked = await visited.next()
        assert asked["params"]["mode"] == "url"
        await server.send(response(session, asked["id"], result={"action": "decline"}))
        assert said(await visited.next()) == "decline"

        progressed = Stream(await server.send(legacy("progress", session, {"steps": 2}, meta={"progressToken": 7})))
        steps = [await progressed.next() for _ in range(2)]
        assert [step["params"]["progressToken"] for step in steps] == [7, 7]
        assert said(await progressed.next()) == "2 steps"

        failed = result_of(await server.send(legacy("fail", session)))
        assert failed["result"]["isError"]

        subscribe = call("resources/subscribe", {"uri": "test://counter"}, era="legacy", session=session)
        assert result_of(await server.send(subscribe))["result"] == {}
        news = await listen(server, session)
        await server.send(legacy("change", session))
        assert (await news.next())["params"] == {"uri": "test://counter"}
        await server.send(legacy("grow", session))
        assert (await news.next())["method"] == "notifications/tools/list_changed"
        await news.close()

        slow = asyncio.ensure_future(server.send(legacy("slow", session, {"tag": "t"}, id="slow")))
        kept = server.sessions.find(session, call("").caller)
        await until(lambda: bool(kept.pending))
        slow.cancel()
        await asyncio.gather(slow, return_exceptions=True)
        seen = ""
        async with asyncio.timeout(10):
            while '"cancelled": [\n    "t"' not in seen:
                seen = text_of(await server.send(legacy("witness", session)))


@needs_mcp1
async def test_what_a_client_did_not_declare_its_server_hears_of() -> None:
    """MCP-07"""
    async with isolated(PYTHON) as server:
        session = await begin(server, capabilities={})
        for name in ("ask", "sample", "roots"):
            answered = result_of(await server.send(legacy(name, session)))
            assert answered["result"]["isError"], name


@pytest.mark.slow
@pytest.mark.node
async def test_the_everything_server() -> None:
    if why := node.missing():
        pytest.skip(why)
    command = [*node.binary("mcp-server-everything"), "stdio"]
    async with isolated(command, env=node.environment(), start_timeout=30) as server:
        sessions = {who: await begin(server, who) for who in ("alice", "bob")}
        listed = {
            who: result_of(await server.send(call("tools/list", era="legacy", session=session, who=who, accept=JSON)))
            for who, session in sessions.items()
        }
        assert listed["alice"] == listed["bob"]
        streams = {
            who: Stream(await server.send(legacy("trigger-elicitation-request", session, who=who)))
            for who, session in sessions.items()
        }
        for who, stream in streams.items():
            asked = await stream.next()
            while asked.get("method") != "elicitation/create":  # it begins by asking for roots, and logs
                if "id" in asked:
                    await server.send(response(sessions[who], asked["id"], who, result={"roots": []}))
                asked = await stream.next()
            await accept(server, sessions[who], asked, who, name=who, check=True)
            answered = await stream.next()
            while "result" not in answered:
                answered = await stream.next()
            assert who in str(answered["result"]["content"])
