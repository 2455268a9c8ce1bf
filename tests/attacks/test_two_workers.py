"""An outsider at a node of two workers: whatever works by luck of the worker is tried until both have had it."""

import asyncio
import base64
import contextlib
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from bench.rig.gateway import Gateway, config, start_gateway, stdio
from bench.rig.process import free_port
from tests.attacks.house import META, Answer, Client, fields_of
from tests.attacks.test_message_doors import Lines
from tests.node.processes.support import eventually, workers_of
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

pytestmark = pytest.mark.slow

EVERYTHING = str(Path(__file__).parents[1] / "servers" / "everything.py")
CLIENT = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}
TRIES = 16
"""Connections of their own: that all come to one of two workers happens once in 32,768 runs."""
PATIENCE_S = 20.0


@dataclass
class Node:
    """Running, and asked over connections of their own."""

    gateway: Gateway
    websocket: int
    tcp: int

    def __post_init__(self) -> None:
        self.port = int(self.gateway.url.rpartition(":")[2])
        self.alice, self.bob = self.gateway.mint("alice"), self.gateway.mint("bob")

    async def ask(self, verb: str, path: str, fields: dict[str, str], body: bytes = b"") -> Answer:
        client = await Client.to(self.port)
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await client.ask(verb, path, fields, body)
        finally:
            client.close()

    async def legacy(
        self, token: str, method: str, params: Any = None, *, path: str = "/mcp", session: str = "", verb: str = "POST"
    ) -> Answer:
        fields = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        fields["Accept"] = "application/json, text/event-stream"
        if session:
            fields |= {"Mcp-Session-Id": session, "MCP-Protocol-Version": "2025-11-25"}
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}
        return await self.ask(verb, path, fields, json.dumps(body).encode() if verb == "POST" else b"")

    async def begin(self, token: str, path: str = "/mcp") -> str:
        answer = await self.legacy(token, "initialize", CLIENT, path=path)
        assert answer.status == 200, answer
        return answer.headers["mcp-session-id"]

    async def modern(self, token: str, method: str, path: str = "/mcp", **params: Any) -> Answer:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"_meta": META, **params}}
        fields = fields_of(body, token)
        if "uri" in params:
            fields["Mcp-Name"] = params["uri"]
        return await self.ask("POST", path, fields, json.dumps(body).encode())

    async def is_well(self) -> None:
        """Both workers answer, to everybody."""
        for _ in range(6):
            answer = await self.modern(self.bob, "tools/call", "/mcp/one", name="echo", arguments={"message": "m"})
            assert answer.json["result"]["content"][0]["text"] == "m"

    async def lines(self, **params: Any) -> Lines:
        lines = Lines(*await asyncio.open_connection("127.0.0.1", self.tcp))
        if params:
            lines.say({"jsonrpc": "2.0", "id": 0, "method": "auth", "params": params})
        return lines


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    websocket, tcp = free_port(), free_port()
    whole = config(
        [stdio("one", sys.executable, EVERYTHING, "--stdio"), stdio("two", sys.executable, EVERYTHING, "--stdio")]
    )
    whole["http"] |= {"workers": 2, "header_timeout": 2, "body_timeout": 2}
    whole["websocket"] = {"enabled": True, "port": websocket, "per_caller_connections": 8, "header_timeout": 2}
    whole["tcp"] = {"enabled": True, "port": tcp, "auth_timeout": 2, "message_timeout": 2, "max_connections": 40}
    whole["mcp"]["virtual"] = [{"name": "view", "tools": ["one__echo"]}]
    with start_gateway(whole, tmp_path_factory.mktemp("two")) as gateway:
        node = Node(gateway, websocket, tcp)

        def is_ready() -> bool:
            return all(
                asyncio.run(node.legacy(node.alice, "initialize", CLIENT, path=f"/mcp/{n}")).status == 200
                for n in ("one", "two")
            )

        eventually(is_ready, within_s=60)
        yield node


@pytest.fixture
async def node(running: Node) -> AsyncIterator[Node]:
    """Whatever was done to it, it serves everybody after."""
    yield running
    await running.is_well()


# --- sessions and what is sealed


@pytest.mark.parametrize("path", ["/mcp", "/mcp/one", "/mcp/view"])
async def test_a_session_is_its_callers_at_both_workers(node: Node, path: str) -> None:
    """MCP-04, AUTHZ-04: foreign, forged, cut, of another endpoint, ended: 404, each time and alike."""
    mine = await node.begin(node.alice, path)
    elsewhere = await node.begin(node.alice, "/mcp/two")
    other = "/mcp/view" if path == "/mcp" else "/mcp"
    middle = len(mine) // 2
    tampered = mine[:middle] + ("A" if mine[middle] != "A" else "B") + mine[middle + 1 :]
    said = set()
    for token, session, place in [
        (node.bob, mine, path),
        (node.alice, tampered, path),
        (node.alice, mine[:-1], path),
        (node.alice, mine + "A", path),
        (node.alice, elsewhere, path),
        (node.alice, mine, other),
        (node.alice, "x" * 4_000, path),
    ]:
        for _ in range(4):
            answer = await node.legacy(token, "tools/list", path=place, session=session)
            said.add((answer.status, answer.json["error"]["message"]))
    assert said == {(404, "Session not found")}
    assert {(await node.legacy(node.alice, "tools/list", path=path, session=mine)).status for _ in range(TRIES)} == {
        200
    }
    assert (await node.legacy(node.bob, "", path=path, session=mine, verb="DELETE")).status == 404
    assert (await node.legacy(node.alice, "", path=path, session=mine, verb="DELETE")).status in (200, 204)
    await asyncio.sleep(0.2)  # the word goes round by post
    ended = {(await node.legacy(node.alice, "tools/list", path=path, session=mine)).status for _ in range(TRIES)}
    assert ended == {404}


async def test_a_session_header_that_stands_twice_is_nobodys(node: Node) -> None:
    """HTTP-04"""
    mine, theirs = await node.begin(node.alice), await node.begin(node.bob)
    client = await Client.to(node.port)
    body = b'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}'
    client.writer.write(
        (
            f"POST /mcp HTTP/1.1\r\nHost: localhost:{node.port}\r\nAuthorization: Bearer {node.alice}\r\n"
            f"Content-Type: application/json\r\nMcp-Session-Id: {mine}\r\nMcp-Session-Id: {theirs}\r\n"
            f"MCP-Protocol-Version: 2025-11-25\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode()
        + body
    )
    assert (await client.answer()).status == 400
    client.close()


async def test_a_page_of_a_list_is_for_who_asked_for_it(node: Node) -> None:
    """MCP-06"""
    for cursor in ("", "x", "A" * 500, base64.urlsafe_b64encode(b'{"at":0}').decode()):
        for _ in range(4):
            answer = await node.modern(node.alice, "tools/list", cursor=cursor)
            assert (answer.status, answer.json["error"]["code"]) == (400, -32602)


async def test_a_thousand_sessions_of_one_caller_leave_the_others_theirs(node: Node) -> None:
    """MCP-04: a begun session costs nothing until it is used; of used ones there is a bound."""
    begun = []
    for _ in range(25):
        begun += await asyncio.gather(*(node.begin(node.alice) for _ in range(20)))
    assert len(set(begun)) == 500
    used = Counter()
    for start in range(0, 500, 20):
        answers = await asyncio.gather(
            *(node.legacy(node.alice, "ping", session=session) for session in begun[start : start + 20])
        )
        used.update(answer.status for answer in answers)
    assert set(used) <= {200, 503}
    theirs = await node.begin(node.bob)
    assert (await node.legacy(node.bob, "ping", session=theirs)).status == 200


# --- a virtual server


async def test_what_a_view_does_not_show_is_not_there(node: Node) -> None:
    """AUTHZ-04: by no name and by no method; and what is nowhere looks the same."""
    shown = (await node.modern(node.alice, "tools/list", "/mcp/view")).json["result"]["tools"]
    (tool,) = [entry["name"] for entry in shown]
    answer = await node.modern(node.alice, "tools/call", "/mcp/view", name=tool, arguments={"message": "m"})
    assert answer.json["result"]["content"][0]["text"] == "m"
    hidden = ["two__echo", "one__add", "add", "one__env", "ECHO", f"{tool}.", f"one__{tool}", "../one/echo", "nowhere"]
    said = set()
    for name in hidden:
        for _ in range(3):
            answer = await node.modern(node.alice, "tools/call", "/mcp/view", name=name, arguments={"message": "m"})
            said.add((answer.status, answer.json["error"]["code"]))
    assert len(said) == 1
    assert (await node.modern(node.alice, "prompts/list", "/mcp/view")).json["result"]["prompts"] == []
    assert (await node.modern(node.alice, "resources/list", "/mcp/view")).json["result"]["resources"] == []
    answer = await node.modern(node.alice, "resources/read", "/mcp/view", uri="test://static/text")
    assert answer.status >= 400
    assert b"static" not in answer.body.replace(b"test://static/text", b"")
    for reference in ({"type": "ref/prompt", "name": "greet"}, {"type": "ref/resource", "uri": "test://static/text"}):
        params = {"ref": reference, "argument": {"name": "name", "value": "a"}}
        assert "error" in (await node.modern(node.alice, "completion/complete", "/mcp/view", **params)).json


# --- the doors for messages


async def test_a_ticket_opens_one_socket_in_the_whole_node(node: Node) -> None:
    """AUTHN-10: many at once, at both workers."""
    client = await Client.to(node.websocket)
    answer = await client.ask("POST", "/ws/ticket", {"Authorization": f"Bearer {node.alice}"})
    client.close()
    protocols = answer.json["subprotocols"]

    async def tried() -> bool:
        with contextlib.suppress(InvalidStatus):
            async with connect(f"ws://127.0.0.1:{node.websocket}/ws/one", subprotocols=protocols) as socket:
                await socket.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": CLIENT}))
                return "result" in json.loads(await socket.recv())
        return False

    assert Counter(await asyncio.gather(*(tried() for _ in range(32))))[True] == 1


async def test_sockets_of_one_caller_do_not_take_all_places(node: Node) -> None:
    """RATE-06: so many at each worker, and others come in."""
    headers = {"Authorization": f"Bearer {node.alice}"}
    opened, refused = [], 0
    for _ in range(40):
        try:
            opened.append(await connect(f"ws://127.0.0.1:{node.websocket}/ws/one", additional_headers=headers))
        except (InvalidStatus, ConnectionClosed):
            refused += 1
    alive = 0
    for socket in opened:
        with contextlib.suppress(ConnectionClosed):
            await socket.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": CLIENT}))
            alive += "result" in json.loads(await socket.recv())
    assert alive <= 16
    assert refused + len(opened) - alive >= 24
    theirs = {"Authorization": f"Bearer {node.bob}"}
    async with connect(f"ws://127.0.0.1:{node.websocket}/ws/one", additional_headers=theirs) as socket:
        await socket.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": CLIENT}))
        assert "result" in json.loads(await socket.recv())
    for socket in opened:
        await socket.close()


async def test_messages_of_a_socket_say_no_other_session_caller_or_server(node: Node) -> None:
    """AUTHN-06, AUTHZ-04: members and metadata of a message are a client's own words."""
    mine = await node.begin(node.alice, "/mcp/one")
    headers = {"Authorization": f"Bearer {node.bob}", "Mcp-Session-Id": mine}
    async with connect(f"ws://127.0.0.1:{node.websocket}/ws/one", additional_headers=headers) as socket:
        for extra in ({"session": mine}, {"mcp-session-id": mine}, {"headers": {"authorization": node.alice}}):
            await socket.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}, **extra}))
            assert "error" in json.loads(await socket.recv())
        await socket.send(json.dumps({"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {}}))
        said = json.loads(await socket.recv())
        assert said["error"]["code"] == -32600
        assert "Mcp-Session-Id" not in said["error"]["message"]


async def test_slow_and_endless_lines_go_and_others_stay(node: Node) -> None:
    """AUTHN-10, RES-05: strangers in a trickle, a line without end, a flood of connections."""
    good = await node.lines(token=node.bob, server="one")
    assert "result" in await good.hear()
    slow = [await node.lines() for _ in range(10)]
    for lines in slow:
        lines.writer.write(b'{"jsonrpc":"2.0",')
    endless = await node.lines(token=node.alice, server="one")
    assert "result" in await endless.hear()
    with contextlib.suppress(ConnectionError):
        for _ in range(40):
            endless.writer.write(b"x" * 65_536)
            await endless.writer.drain()
    flood = await asyncio.gather(
        *(asyncio.open_connection("127.0.0.1", node.tcp) for _ in range(150)), return_exceptions=True
    )
    good.say({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": CLIENT})
    assert "result" in await good.hear()
    for lines in slow:
        said = await lines.hear()  # nothing, where it has left for one of the flood
        if said is not None:
            assert said["error"]["code"] == 4401
            assert await lines.hear() is None
    for one in flood:
        if isinstance(one, tuple):
            one[1].close()
    for lines in (*slow, good, endless):
        lines.writer.close()


# --- slow and many, over HTTP


async def test_half_heads_and_half_bodies_are_ended_while_calls_go_on(node: Node) -> None:
    """HTTP-05"""
    head = f"POST /mcp/one HTTP/1.1\r\nHost: localhost:{node.port}\r\nAuthorization: Bearer {node.alice}\r\n"
    whole = f"{head}Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{"
    slow = [await Client.to(node.port) for _ in range(200)]
    for number, client in enumerate(slow):
        client.writer.write((head if number % 2 else whole).encode())
    for _ in range(10):
        await node.is_well()
    until_s = time.monotonic() + PATIENCE_S
    for client in slow:
        async with asyncio.timeout(max(0.1, until_s - time.monotonic())):
            said = await client.reader.read(-1)
        assert b" 200 " not in said[:20]
        client.close()


async def test_streams_that_nobody_reads_hold_nobody_up(node: Node) -> None:
    """MCP-07: GET streams and subscriptions, opened and left."""
    mine = await node.begin(node.alice)
    fields = {
        "Authorization": f"Bearer {node.alice}", "Accept": "text/event-stream", "Mcp-Session-Id": mine,
        "MCP-Protocol-Version": "2025-11-25",
    }  # fmt: skip
    clients = []
    for _ in range(60):
        client = await Client.to(node.port)
        answer = await client.ask("GET", "/mcp", fields, whole=False)
        assert answer.status == 200
        clients.append(client)
        if len(clients) % 3 == 0:
            clients.pop().writer.transport.abort()
    await node.is_well()
    assert (await node.legacy(node.alice, "ping", session=mine)).status == 200
    for client in clients:
        client.close()


async def test_answers_of_two_callers_never_cross_while_clients_leave(node: Node) -> None:
    """MCP-05: equal ids, both workers, a third of the calls given up."""

    async def one(number: int) -> None:
        token, name = (node.alice, "a") if number % 2 else (node.bob, "b")
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call",
                "params": {"_meta": META, "name": "echo", "arguments": {"message": f"{name}{number}"}}}  # fmt: skip
        client = await Client.to(node.port)
        try:
            asked = client.ask("POST", "/mcp/one", fields_of(body, token), json.dumps(body).encode())
            if number % 3 == 0:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(asked, 0.001)
                return
            async with asyncio.timeout(PATIENCE_S):
                answer = await asked
            assert answer.json["result"]["content"][0]["text"] == f"{name}{number}"
        finally:
            client.close()

    for start in range(0, 600, 60):
        await asyncio.gather(*(one(number) for number in range(start, start + 60)))


async def test_a_killed_worker_takes_nobody_elses_session(node: Node) -> None:
    """MCP-04: kept last, because it is rough."""
    mine, theirs = await node.begin(node.alice), await node.begin(node.bob)
    before = workers_of(node.gateway)
    os.kill(before[0], signal.SIGKILL)
    await asyncio.to_thread(eventually, lambda: len(set(workers_of(node.gateway)) - {before[0]}) == 2)
    statuses = set()
    for token, session in ((node.alice, mine), (node.bob, theirs), (node.alice, theirs), (node.bob, mine)):
        for _ in range(6):
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                answer = await node.legacy(token, "ping", session=session)
                statuses.add((token == node.alice, session == mine, answer.status))
    assert statuses == {(True, True, 200), (False, False, 200), (True, False, 404), (False, True, 404)}
