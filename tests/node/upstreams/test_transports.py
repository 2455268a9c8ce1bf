"""A whole node with a server behind every kind of channel, asked over HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.attacks.house import Answer, Client, House, call_body, fields_of, open_house
from tests.upstreams.transports.peers import MCP1_PYTHON, SERVERS, running

TOKEN = "peer-token"
BEARER = {"authorization": f"Bearer {TOKEN}"}
MODERN = ["websocket", "tcp", "python"]
LEGACY = ["websocket", "tcp", "python", "old-websocket", "sse", "sse-shared", "ws-session"]
ISOLATED = ["sse", "ws-session"]


@pytest.fixture(scope="module")
def servers() -> Iterator[list[dict[str, Any]]]:
    """The `mcp.servers` of the node."""
    with ExitStack() as programs, pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SERVERS))

        def port(program: str, kind: str, **choice: Any) -> int:
            return programs.enter_context(running(program, kind, "0", "--token", TOKEN, **choice))

        websocket, tcp = port("sockets.py", "--websocket"), port("sockets.py", "--tcp")
        old, sse = (port("mcp1.py", kind, python=MCP1_PYTHON) for kind in ("--websocket", "--sse"))
        url = f"http://127.0.0.1:{sse}/sse"
        yield [
            {"name": "websocket", "url": f"ws://127.0.0.1:{websocket}/mcp", "headers": BEARER},
            {"name": "tcp", "host": "127.0.0.1", "port": tcp, "token": TOKEN},
            {"name": "python", "object": "everything:server"},
            {"name": "old-websocket", "url": f"ws://127.0.0.1:{old}/ws", "headers": BEARER},
            {
                "name": "ws-session",
                "url": f"ws://127.0.0.1:{old}/ws",
                "headers": BEARER,
                "isolation": "session",
            },
            {"name": "sse", "transport": "sse", "url": url, "headers": BEARER},
            {"name": "sse-shared", "transport": "sse", "url": url, "headers": BEARER, "isolation": "shared"},
        ]


@pytest.fixture
async def house(tmp_path: Path, servers: list[dict[str, Any]]) -> AsyncIterator[House]:
    async with open_house(tmp_path, servers=0, mcp={"servers": servers}) as opened:
        yield opened


def messages(answer: Answer) -> list[Any]:
    """The messages of a reply, whichever form it has."""
    if not answer.headers["content-type"].startswith("text/event-stream"):
        return [answer.json]
    lines = answer.body.decode().splitlines()
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]


def text(answer: Answer) -> str:
    return messages(answer)[-1]["result"]["content"][0]["text"]


async def session_of(house: House, server: str, **capabilities: Any) -> str:
    client = {"name": "c", "version": "1"}
    params = {"protocolVersion": "2025-11-25", "capabilities": capabilities, "clientInfo": client}
    opened = await house.legacy("initialize", params, server=server)
    assert opened.status == 200, opened.body
    session = opened.headers["mcp-session-id"]
    await house.legacy("notifications/initialized", server=server, session=session, id=...)
    return session


async def legacy(house: House, server: str, session: str, name: str, **arguments: Any) -> Answer:
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "Authorization": f"Bearer {house.keys['alice']}",
        "Mcp-Session-Id": session,
        "MCP-Protocol-Version": "2025-11-25",
    }
    meta = {"progressToken": "mine"} if name == "progress" else {}
    params = {"name": name, "arguments": arguments, "_meta": meta}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    return await house.ask("POST", f"/mcp/{server}", headers, json.dumps(body).encode())


@pytest.mark.parametrize("server", MODERN)
async def test_a_modern_client_reaches_it(house: House, server: str) -> None:
    listed = await house.send(call_body("tools/list"), server=server)
    assert "add" in {tool["name"] for tool in listed.json["result"]["tools"]}
    assert text(await house.call("add", server=server, a=2, b=3)) == "5"
    failed = messages(await house.call("fail", server=server, message="on purpose"))[-1]
    assert failed["result"]["isError"] is True
    body = call_body("tools/call", "progress", steps=3)
    body["params"]["_meta"] = {**body["params"]["_meta"], "progressToken": "mine"}
    *notes, answer = messages(await house.send(body, server=server))
    assert [note["params"]["progress"] for note in notes] == [1, 2, 3]
    assert {note["params"]["progressToken"] for note in notes} == {"mine"}
    assert answer["result"]["content"][0]["text"] == "3 steps"


@pytest.mark.parametrize("server", LEGACY)
async def test_a_legacy_client_reaches_it(house: House, server: str) -> None:
    session = await session_of(house, server)
    listed = await house.legacy("tools/list", server=server, session=session)
    assert "add" in {tool["name"] for tool in messages(listed)[-1]["result"]["tools"]}
    assert text(await legacy(house, server, session, "add", a=2, b=3)) == "5"
    failed = messages(await legacy(house, server, session, "fail", message="on purpose"))[-1]
    assert failed["result"]["isError"] is True
    *notes, answer = messages(await legacy(house, server, session, "progress", steps=3))
    assert [note["params"]["progress"] for note in notes] == [1, 2, 3]
    assert answer["result"]["content"][0]["text"] == "3 steps"


@pytest.mark.parametrize("server", MODERN)
async def test_a_client_that_hangs_up_cancels_the_work(house: House, server: str) -> None:
    """MCP-07"""
    tag = f"{server}-end-to-end"

    async def sees(kind: str) -> None:
        async with asyncio.timeout(10):
            while tag not in json.loads(text(await house.call("witness", server=server)))[kind]:
                await asyncio.sleep(0.01)

    client = await Client.to(house.calls.port)
    body = call_body("tools/call", "slow", seconds=30, tag=tag)
    fields = {"Host": f"localhost:{client.port}", **fields_of(body, house.keys["alice"])}
    raw = json.dumps(body).encode()
    head = "".join(f"{name}: {value}\r\n" for name, value in {**fields, "Content-Length": len(raw)}.items())
    client.writer.write(f"POST /mcp/{server} HTTP/1.1\r\n{head}\r\n".encode() + raw)
    await sees("started")
    client.close()
    await sees("cancelled")


@pytest.mark.parametrize("server", ISOLATED)
async def test_a_server_asks_the_client_whose_connection_it_is(house: House, server: str) -> None:
    session = await session_of(house, server, elicitation={})
    client = await Client.to(house.calls.port)
    headers = {
        "Host": f"localhost:{client.port}",
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "Authorization": f"Bearer {house.keys['alice']}",
        "Mcp-Session-Id": session,
        "MCP-Protocol-Version": "2025-11-25",
    }
    params = {"name": "ask", "arguments": {"question": "Who?"}}
    raw = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
    head = "".join(f"{name}: {value}\r\n" for name, value in {**headers, "Content-Length": len(raw)}.items())
    client.writer.write(f"POST /mcp/{server} HTTP/1.1\r\n{head}\r\n".encode() + raw)
    assert (await client.answer(whole=False)).headers["content-type"] == "text/event-stream"
    events = b""
    async with asyncio.timeout(10):
        async for chunk in client.chunks():
            events += chunk
            if b"elicitation/create" in chunk:
                asked = json.loads(chunk.decode().partition("data: ")[2].splitlines()[0])
                assert asked["params"]["message"] == "Who?"
                result = {"action": "accept", "content": {"name": "Ada"}}
                body = json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}).encode()
                assert (await house.ask("POST", f"/mcp/{server}", headers, body)).status == 202
    assert b"accept: Ada" in events
    client.close()


async def test_all_are_one_server_at_mcp(house: House) -> None:
    async with asyncio.timeout(20):
        while True:  # until each has been opened once
            listed = (await house.send(call_body("tools/list"), server="")).json["result"]["tools"]
            names = {tool["name"] for tool in listed}
            adds = {name for name in names if name == "add" or name.endswith("__add")}
            if len(adds) >= len(MODERN):
                break
            await asyncio.sleep(0.05)
    for name in adds:
        assert text(await house.call(name, server="", a=2, b=3)) == "5"


async def test_health_tells_each_and_no_secret(house: House) -> None:
    for server in LEGACY:
        await session_of(house, server)
    reports = [await upstream.health() for upstream in house.node.upstreams.values()]
    assert {report["name"]: report["state"] for report in reports} == dict.fromkeys(LEGACY, "healthy")
    assert TOKEN not in json.dumps(reports)
