"""Requests of a legacy client at a modern server."""

import asyncio
import json

import pytest
from tests.upstreams.bridge.to_modern.conftest import Node
from tests.upstreams.bridge.to_modern.support import Client, Events, error, note, result, text, until

from mantlet.core.call import Call, Reply
from mantlet.core.refusal import BadUpstream, NotAcceptable, UpstreamUnavailable
from mantlet.wire.event_stream import HEADERS


async def test_a_call_goes_as_a_modern_one_and_comes_back_as_a_legacy_one(node: Node) -> None:
    async def echo(call: Call) -> Reply:
        return text(call, call.params["arguments"]["message"])

    node.server.on["tools/call"] = echo
    client = await node.client()
    params = {"name": "gr\u00fc\u00dfe", "arguments": {"message": "hi"}, "_meta": {"progressToken": 7, "a/b": 1}}
    answer = await client.ask("tools/call", params, id="mine")
    assert answer == {"jsonrpc": "2.0", "id": "mine", "result": {"content": [{"type": "text", "text": "hi"}]}}
    call = node.server.calls[-1]
    assert call.params["_meta"]["progressToken"] == 7
    assert call.params["_meta"]["a/b"] == 1
    headers = call.arrival.headers
    assert headers.get(b"mcp-protocol-version") == b"2026-07-28"
    assert headers.get(b"mcp-method") == b"tools/call"
    assert headers.get(b"mcp-name") == b"=?base64?Z3LDvMOfZQ==?="
    assert headers.get(b"mcp-session-id") is None
    assert node.nothing_left()


async def test_a_json_rpc_error_is_told_with_200(node: Node) -> None:
    client = await node.client()
    assert (await client.ask("completion/complete", {"ref": {}}))["error"]["code"] == -32601


async def test_a_refusal_of_the_transport_is_the_call_s(node: Node) -> None:
    async def gone(call: Call) -> Reply:
        raise UpstreamUnavailable(why="gone")

    node.server.on["tools/call"] = gone
    client = await node.client()
    with pytest.raises(UpstreamUnavailable):
        await client.ask("tools/call", {"name": "x"})
    assert node.nothing_left()


async def test_what_the_server_says_of_a_call_passes_before_its_answer(node: Node) -> None:
    async def streams(call: Call) -> Reply:
        stream = node.server.stream()
        for step in (1, 2):
            stream.push(note("notifications/progress", progressToken=7, progress=step))
        stream.push(b'{"jsonrpc":"2.0","id":5,"method":"roots/list"}')  # no modern server asks (MCP-07)
        stream.end(b'{"jsonrpc":"2.0","id":%b,"result":{"resultType":"complete","content":[]}}' % (call.id or b""))
        return Reply(200, list(HEADERS), stream)

    node.server.on["tools/call"] = streams
    client = await node.client()
    said = await Events(await client.send("tools/call", {"name": "x"}, id=3)).rest()
    assert [message.get("params", {}).get("progress") for message in said] == [1, 2, None]
    assert said[-1] == {"jsonrpc": "2.0", "id": 3, "result": {"content": []}}
    await until(node.nothing_left)


async def test_a_stream_that_ends_without_an_answer_is_an_error_and_no_hang(node: Node) -> None:
    async def dies(call: Call) -> Reply:
        stream = node.server.stream()
        stream.push(note("notifications/progress", progressToken=7, progress=1))
        stream.end()
        return Reply(200, list(HEADERS), stream)

    node.server.on["tools/call"] = dies
    client = await node.client()
    said = await Events(await client.send("tools/call", {"name": "x"})).rest()
    assert said[-1]["error"]["data"]["reason"] == "bad_upstream"


async def test_an_answer_that_is_none_is_refused(node: Node) -> None:
    async def odd(call: Call) -> Reply:
        return result(call, [1])

    node.server.on["tools/call"] = odd
    client = await node.client()
    with pytest.raises(BadUpstream):
        await client.ask("tools/call", {"name": "x"})


async def test_a_client_that_takes_no_stream_is_told_so_and_the_work_ends(node: Node) -> None:
    async def streams(call: Call) -> Reply:
        return Reply(200, list(HEADERS), node.server.stream())

    node.server.on["tools/call"] = streams
    client = await node.client()
    call = client.call("tools/call", {"name": "x"})
    fields = [field for field in call.arrival.headers if field[0] != b"accept"]
    call.arrival.headers = type(call.arrival.headers)([*fields, (b"accept", b"application/json")])
    with pytest.raises(NotAcceptable):
        await client.door().send(call)
    assert node.server.closed == 1
    assert node.nothing_left()


# --- arguments mirrored in headers (MCP-01)


def mirrors(node: Node) -> None:
    schema = {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}

    async def lists(call: Call) -> Reply:
        if "cursor" not in call.params:
            return result(call, {"tools": [{"name": "other", "inputSchema": {}}], "nextCursor": "2"})
        return result(call, {"tools": [{"name": "deploy", "inputSchema": schema}]})

    async def strict(call: Call) -> Reply:
        said = call.arrival.headers.get(b"mcp-param-region")
        if said is None:
            return error(call, -32020, "Mcp-Param-Region is missing")
        return text(call, said.decode())

    node.server.on |= {"tools/list": lists, "tools/call": strict}


async def test_a_tool_that_nobody_listed_is_learnt_when_the_server_insists_and_then_known(node: Node) -> None:
    mirrors(node)
    client = await node.client()
    params = {"name": "deploy", "arguments": {"region": "eu"}}
    for _ in range(2):
        assert (await client.ask("tools/call", params))["result"]["content"][0]["text"] == "eu"
    methods = [call.method for call in node.server.calls[1:]]
    assert methods == ["tools/call", "tools/list", "tools/list", "tools/call", "tools/call"]


async def test_a_tool_is_learnt_from_the_lists_that_pass(node: Node) -> None:
    mirrors(node)
    client = await node.client()
    await client.ask("tools/list", {"cursor": "2"})
    await client.ask("tools/call", {"name": "deploy", "arguments": {"region": "eu"}})
    assert len(node.server.of("tools/call")) == 1


async def test_a_server_that_insists_on_something_else_is_asked_once_more_at_most(node: Node) -> None:
    mirrors(node)
    client = await node.client()
    answer = await client.ask("tools/call", {"name": "other", "arguments": {}})
    assert answer["error"]["code"] == -32603
    assert len(node.server.of("tools/call")) == 1


# --- cancellation


def slow(node: Node, started: list[bytes], ended: list[str]) -> None:
    async def forever(call: Call) -> Reply:
        started.append(call.id or b"")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        raise AssertionError

    node.server.on["tools/call"] = forever


@pytest.mark.parametrize("identity", [7, "seven", "\u00e9"])
async def test_a_cancelled_call_ends_at_the_server(node: Node, identity: int | str) -> None:
    started: list[bytes] = []
    ended: list[str] = []
    slow(node, started, ended)
    client = await node.client()
    running = asyncio.ensure_future(client.ask("tools/call", {"name": "x"}, id=identity))
    await until(lambda: started)
    assert await client.tell("notifications/cancelled", {"requestId": "another"}) == 202
    assert await client.tell("notifications/cancelled", {"requestId": identity}) == 202
    answer = await running
    assert (answer["id"], answer["error"]["code"]) == (identity, 4499)
    assert ended == ["cancelled"]
    assert node.processes[0].counts()["calls"] == 0


async def test_a_call_at_another_process_is_cancelled_too(node: Node) -> None:
    started: list[bytes] = []
    ended: list[str] = []
    slow(node, started, ended)
    here, there = node.process(), node.process()
    client = await node.client(here)
    running = asyncio.ensure_future(client.ask("tools/call", {"name": "x"}, id=7, door=here))
    await until(lambda: started)
    assert await client.tell("notifications/cancelled", {"requestId": 7}, door=there) == 202
    assert (await running)["error"]["code"] == 4499
    await until(node.nothing_left)
    assert not [key for key in node.state.values if key[1] == "call"]


async def test_nobody_cancels_another_s_call(node: Node) -> None:
    """AUTHZ-08"""
    started: list[bytes] = []
    slow(node, started, [])
    door = node.process()
    client, other = await node.client(door), await node.client(door)
    running = asyncio.ensure_future(client.ask("tools/call", {"name": "x"}, id=7))
    await until(lambda: started)
    await other.tell("notifications/cancelled", {"requestId": 7})
    await asyncio.sleep(0)
    assert door.counts()["calls"] == 1
    await client.tell("notifications/cancelled", {"requestId": 7})
    await running


async def test_a_stream_under_way_is_cancelled(node: Node) -> None:
    async def streams(call: Call) -> Reply:
        return Reply(200, list(HEADERS), node.server.stream())

    node.server.on["tools/call"] = streams
    client = await node.client()
    events = Events(await client.send("tools/call", {"name": "x"}, id=7))
    await client.tell("notifications/cancelled", {"requestId": 7})
    assert (await events.next())["error"]["code"] == 4499
    await until(node.nothing_left)
    assert node.server.closed == 1


async def test_the_end_of_a_session_ends_its_calls(node: Node) -> None:
    started: list[bytes] = []
    slow(node, started, [])
    client = await node.client()
    running = asyncio.ensure_future(client.ask("tools/call", {"name": "x"}))
    await until(lambda: started)
    assert await client.end() == 200
    assert (await running)["error"]["code"] == 4499


async def test_a_thousand_aborts_leave_nothing(node: Node) -> None:
    started: list[bytes] = []
    ended: list[str] = []
    slow(node, started, ended)
    door = node.process()
    client = await node.client(door)
    for _ in range(500):
        running = asyncio.ensure_future(client.ask("tools/call", {"name": "x"}))
        await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled()

    async def streams(call: Call) -> Reply:
        stream = node.server.stream()
        stream.push(note("notifications/progress", progressToken=7, progress=1))
        return Reply(200, list(HEADERS), stream)

    node.server.on["tools/call"] = streams
    for number in range(500):
        events = Events(await client.send("tools/call", {"name": "x"}))
        if number % 2:
            await events.next()
        await events.close()
    await until(node.nothing_left)
    assert len(ended) == len(started)
    assert node.server.closed == 500


async def test_five_hundred_sessions_over_three_processes_while_one_dies(node: Node) -> None:
    """Only the calls in flight at the one that dies fail."""
    gate = asyncio.Event()

    async def gated(call: Call) -> Reply:
        await gate.wait()
        return text(call, json.dumps([call.params["arguments"]["n"]]))

    node.server.on["tools/call"] = gated
    doors = [node.process() for _ in range(3)]
    clients = [Client(*doors) for _ in range(500)]
    for number, client in enumerate(clients):
        client.turn = number
    await asyncio.gather(*(client.open() for client in clients))
    first = {}
    for n, client in enumerate(clients):
        door = doors[n % 3]
        first[n] = asyncio.ensure_future(client.ask("tools/call", {"name": "x", "arguments": {"n": n}}, door=door))
    await until(lambda: len(node.server.of("tools/call")) == 500)
    for n in range(0, 500, 3):  # what a dying process does to its connections
        first[n].cancel()
    node.houses["house0"].die()
    await doors[0].close()
    gate.set()
    outcomes = await asyncio.gather(*first.values(), return_exceptions=True)
    assert [n for n, outcome in enumerate(outcomes) if isinstance(outcome, BaseException)] == list(range(0, 500, 3))
    for client in clients:
        client.doors = doors[1:]
    again = await asyncio.gather(
        *(client.ask("tools/call", {"name": "x", "arguments": {"n": n}}) for n, client in enumerate(clients))
    )
    assert [json.loads(answer["result"]["content"][0]["text"])[0] for answer in again] == list(range(500))
    assert node.nothing_left()
