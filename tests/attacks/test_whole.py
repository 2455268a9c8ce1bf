"""The endpoint of all servers under attack: foreign sessions, words and cursors, crossings, broken servers, aborts."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.attacks.house import Client, House, call_body, fields_of, open_house

CALLERS = 50


@contextlib.asynccontextmanager
async def half_a_server(*, words: bytes) -> AsyncIterator[int]:
    """It accepts, reads, says `words` to whatever is asked, and is never heard of again."""
    writers: list[asyncio.StreamWriter] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(words)
            await reader.read()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("era", ["modern", "legacy"])
@pytest.mark.parametrize(
    "words",
    [b"", b"HTTP/1.1 200", HEAD, HEAD + b'{"jsonrpc":"2.0","id":', STREAM, STREAM + b"5\r\ndata:\r\n"],
    ids=["silence", "half-a-line", "a-head", "half-a-body", "a-stream", "half-an-event"],
)
async def test_a_server_that_answers_half_costs_its_own_part_of_the_list(
    tmp_path: Path, era: str, words: bytes
) -> None:
    """RES-03: at the first call, before anything is known of it; the other four are there and the fifth is named."""
    async with half_a_server(words=words) as port, open_house(tmp_path, servers=4) as other:
        servers = [
            {"name": name, "transport": "http", "url": f"http://127.0.0.1:{upstream.port}/mcp", "era": "dual"}
            for name, upstream in other.upstreams.items()
        ]
        servers.insert(2, {"name": "half", "transport": "http", "url": f"http://127.0.0.1:{port}/mcp", "era": "dual"})
        mcp = {"servers": servers, "limits": {"list_timeout_ms": 2_000}}
        inner = tmp_path / "inner"
        inner.mkdir()
        async with open_house(inner, servers=0, mcp=mcp) as house:
            async with asyncio.timeout(10):  # five times its share: the machine may be busy
                if era == "modern":
                    answer = await house.send(call_body("tools/list"), server="")
                else:
                    begun = await house.legacy("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}})
                    answer = await house.legacy("tools/list", session=begun.headers["mcp-session-id"])
            result = answer.json["result"]
            assert {"echo", "two__echo", "three__echo", "four__echo"} <= {tool["name"] for tool in result["tools"]}
            assert list(result["_meta"]["mantlet/errors"]) == ["half"]


@pytest.mark.parametrize("requests", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_callers_never_cross_where_all_servers_are_one(tmp_path: Path, requests: int, era: str) -> None:
    """AUTHZ-08, MCP-05: fifty callers with equal ids, on connections that two of them share, at three servers."""
    async with open_house(tmp_path, servers=3) as house:
        subjects = [f"caller-{n}" for n in range(CALLERS)]
        tokens = {subject: house.token(subject) for subject in subjects}
        sessions: dict[str, str] = {}
        if era == "legacy":
            for subject in subjects:
                begun = await house.legacy(
                    "initialize", {"protocolVersion": "2025-11-25", "capabilities": {}}, credential=tokens[subject]
                )
                sessions[subject] = begun.headers["mcp-session-id"]
        await house.send(call_body("tools/list"), server="")

        async def connection(first: str, second: str) -> None:
            client = await Client.to(house.calls.port)
            for n in range(requests // CALLERS):
                subject = (first, second)[n % 2]
                tool, server = (("echo", "one"), ("two__echo", "two"), ("three__echo", "three"))[n % 3]
                body = call_body(name=tool, who=subject, n=n)
                fields = fields_of(body, tokens[subject])
                if era == "legacy":
                    del body["params"]["_meta"], fields["Mcp-Method"]
                    fields |= {"MCP-Protocol-Version": "2025-11-25", "Mcp-Session-Id": sessions[subject]}
                answer = await client.ask("POST", "/mcp", fields, json.dumps(body).encode())
                assert answer.status == 200, answer.body
                result = answer.json["result"]
                assert json.loads(result["content"][0]["text"]) == {"who": subject, "n": n}
                assert result["from"] == server
            client.close()

        await asyncio.gather(*(connection(subjects[n], subjects[(n + 1) % CALLERS]) for n in range(CALLERS)))
        whose: dict[str, set[str]] = {}
        for upstream in house.upstreams.values():
            for sent in upstream.sent:
                if sent.message.get("method") == "tools/call" and "mcp-session-id" in sent.headers:
                    whose.setdefault(sent.headers["mcp-session-id"], set()).add(
                        sent.message["params"]["arguments"]["who"]
                    )
        assert len(whose) == (CALLERS * 3 if era == "legacy" else 0)
        assert all(len(callers) == 1 for callers in whose.values())


@pytest.mark.parametrize("aborts", [100, pytest.param(1_000, marks=pytest.mark.slow)])
async def test_clients_that_go_away_leave_nothing(tmp_path: Path, aborts: int) -> None:
    """MCP-07: streams and held calls, in both eras."""
    async with open_house(tmp_path, servers=2) as house:
        begun = await house.legacy("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}})
        session = begun.headers["mcp-session-id"]
        await house.legacy("tools/list", session=session)
        await asyncio.sleep(0)
        before = len(house.node.tasks)

        async def leave(n: int) -> None:
            client = await Client.to(house.calls.port)
            kind = n % 3
            fields = {"Authorization": f"Bearer {house.keys['alice']}", "Accept": "text/event-stream"}
            if kind == 0:
                fields |= {"Mcp-Session-Id": session, "MCP-Protocol-Version": "2025-11-25"}
                with contextlib.suppress(asyncio.IncompleteReadError):
                    await client.ask("GET", "/mcp", fields, whole=False)
            else:
                listen = call_body("subscriptions/listen")
                listen["params"]["notifications"] = {"toolsListChanged": True}
                body: Any = listen if kind == 1 else call_body(name=("stream", "two__stream")[n % 2])
                sent = fields_of(body, house.keys["alice"])
                with contextlib.suppress(asyncio.IncompleteReadError):
                    await client.ask("POST", "/mcp", sent, json.dumps(body).encode(), whole=False)
            client.writer.transport.abort()

        for n in range(0, aborts, 20):
            await asyncio.gather(*(leave(n + k) for k in range(20)))
        # A session's stream waits a while for its client to come back: for no longer than there is the session.
        client = await Client.to(house.calls.port)
        fields = {"Authorization": f"Bearer {house.keys['alice']}", "Mcp-Session-Id": session}
        ended = await client.ask("DELETE", "/mcp", fields | {"MCP-Protocol-Version": "2025-11-25"})
        assert ended.status in {200, 202, 204}
        client.close()
        async with asyncio.timeout(5):
            while len(house.node.tasks) > before:
                await asyncio.sleep(0.01)


async def test_what_was_given_to_one_caller_is_of_no_use_to_another(house: House) -> None:
    """AUTHZ-04: sessions, cursors, tasks and the words for what servers ask."""
    bob = house.keys["bob"]
    first = (await house.send(call_body("tools/list"), server="")).json["result"]
    assert len(first["tools"]) == 2
    page = call_body("tools/list")
    page["params"]["cursor"] = first["nextCursor"]
    assert (await house.send(page, server="")).status == 200
    reached = len(house.one.sent)
    for cursor in (first["nextCursor"], first["nextCursor"][:-2] + "AA", "x"):
        page["params"]["cursor"] = cursor
        answer = await house.send(page, server="", credential=bob)
        assert (answer.status, answer.json["error"]["code"]) == (400, -32602)
    sealer_text = first["nextCursor"]
    for identity in (sealer_text, "t-1", "A" * 200):
        task = call_body("tasks/get")
        task["params"]["taskId"] = identity
        answers = {
            (answer.status, answer.json["error"]["code"], answer.json["error"]["message"])
            for answer in [
                await house.send(task, server=server, credential=who) for server in ("", "one") for who in ("", bob)
            ]
        }
        assert answers == {(400, -32602, "Task not found.")}
    assert len(house.one.sent) == reached
    begun = await house.legacy("initialize", {"protocolVersion": "2025-11-25", "capabilities": {"elicitation": {}}})
    session = begun.headers["mcp-session-id"]
    for identity in ("one~MQ~AAAAAAAAAAAAAAAAAAAA", 1, "1", "one~~"):
        body = {"jsonrpc": "2.0", "id": identity, "result": {}}
        fields = {"Content-Type": "application/json", "Authorization": f"Bearer {house.keys['alice']}",
                  "Mcp-Session-Id": session, "MCP-Protocol-Version": "2025-11-25"}  # fmt: skip
        assert (await house.ask("POST", "/mcp", fields, json.dumps(body).encode())).status == 400
        fields["Authorization"] = f"Bearer {bob}"
        assert (await house.ask("POST", "/mcp", fields, json.dumps(body).encode())).status == 404
    assert len(house.one.sent) == reached


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path, mcp={"limits": {"page_size": 2, "list_timeout_ms": 1_000}}) as opened:
        yield opened
