"""Requests and sessions: what the server hears, what the client gets."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from tests.upstreams.bridge.to_legacy.conftest import Door, MakeDoor
from tests.upstreams.bridge.to_legacy.support import ALL, Answering, Legacy, close, each, write_chunk
from tests.upstreams.transports.http.support import ALICE, BOB

from mantlet.core.call import Reply
from mantlet.core.refusal import BadUpstream, DeadlineExceeded, InvalidParams, MethodNotFound, Refusal
from mantlet.wire.mcp.methods import META_CLIENT_INFO

SERVER = {"io.modelcontextprotocol/serverInfo": {"name": "scripted", "version": "7"}}


async def echo(at: Answering) -> Any:
    return {"content": [], "said": at.message["params"], "session": at.session}


@pytest.fixture(autouse=True)
def _tools(server: Legacy) -> None:
    server.tools["echo"] = echo


async def test_a_request_is_told_without_what_only_modern_servers_know(door: Door, server: Legacy) -> None:
    meta = {"progressToken": "p", "traceparent": "00-1-2-01", "com.example/x": [1.0]}
    said = await door.client(meta=meta).call("echo", {"a": 1.50}, params={"unknown": True})
    assert said["said"] == {"name": "echo", "arguments": {"a": 1.5}, "unknown": True, "_meta": meta}
    version, message = server.got[-1][1:]
    assert version == "2025-06-18"  # as negotiated
    assert isinstance(message["id"], int)


async def test_a_result_says_what_modern_results_say_and_keeps_the_rest(door: Door, server: Legacy) -> None:
    async def odd(at: Answering) -> Any:
        return {"content": [], "_meta": {"mine": 1}, "resultType": "input_required", "later": {"x": 1}}

    server.tools["odd"] = odd
    assert await door.client().call("odd") == {
        "content": [], "_meta": {"mine": 1, **SERVER}, "resultType": "complete", "later": {"x": 1},
    }  # fmt: skip


@pytest.mark.parametrize("method", ["tools/list", "prompts/list", "resources/list", "resources/templates/list"])
async def test_lists_say_that_they_are_for_now_and_for_one(door: Door, server: Legacy, method: str) -> None:
    async def listed(at: Answering) -> Any:
        return {"items": [], "nextCursor": "n"}

    server.tools[method] = listed
    answer = await door.client().ask(method)
    assert answer["result"] == {
        "items": [], "nextCursor": "n", "ttlMs": 0, "cacheScope": "private", "resultType": "complete", "_meta": SERVER,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("theirs", "status", "code"),
    [(-32601, 404, -32601), (-32602, 400, -32602), (-32002, 400, -32602), (-32000, 200, -32000), (-32603, 200, -32603),
     (-32022, 200, -32603), (-32099, 200, -32603), (42, 200, 42)],
)  # fmt: skip
async def test_errors_have_modern_codes_and_statuses(
    door: Door, server: Legacy, theirs: int, status: int, code: int
) -> None:
    async def fail(at: Answering) -> Any:
        return {"error": {"code": theirs, "message": "no", "data": {"uri": "x"}}}

    server.tools["fail"] = fail
    reply = await door.client().send("tools/call", {"name": "fail"})
    assert isinstance(reply.body, bytes)
    error = json.loads(reply.body)["error"]
    assert (reply.status, error["code"], error["message"]) == (status, code, "no")
    assert error["data"] == (
        {"uri": "x"} if code == theirs or theirs == -32002 else {"code": theirs, "data": {"uri": "x"}}
    )


@pytest.mark.parametrize("is_json", [True, False])
async def test_discovery_is_answered_from_the_handshake(door: Door, server: Legacy, is_json: bool) -> None:
    server.is_json = is_json
    assert (await door.client().ask("server/discover"))["result"] == {
        "resultType": "complete",
        "supportedVersions": ["2026-07-28"],
        "capabilities": {name: value for name, value in server.offers.items() if name != "tasks"},
        "instructions": "Be kind.",
        "ttlMs": 0,
        "cacheScope": "private",
        "_meta": SERVER,
    }
    assert [message["method"] for _, _, message in server.got] == ["initialize", "notifications/initialized"]


@pytest.mark.parametrize("method", ["tasks/get", "tasks/cancel", "tasks/update", "ping", "logging/setLevel"])
async def test_tasks_and_what_is_no_more_do_not_cross(door: Door, server: Legacy, method: str) -> None:
    with pytest.raises(MethodNotFound):
        await door.client().send(method, {"taskId": "t"})
    assert server.got == []


async def test_the_client_is_introduced_as_it_is(door: Door, server: Legacy) -> None:
    declared = {
        **ALL,
        "tasks": {},
        "roots": {"listChanged": True},
        "extensions": {"a.b/c": {}, "io.modelcontextprotocol/tasks": {}},
    }
    await door.client(capabilities=declared).call("echo")
    assert server.opened["s0"] == {
        "protocolVersion": "2025-11-25",
        "capabilities": {**ALL, "roots": {}, "extensions": {"a.b/c": {}}},
        "clientInfo": {"name": "test", "version": "1"},
    }


async def test_a_session_is_opened_once_for_all_who_ask(door: Door, server: Legacy) -> None:
    """Waiters leave alone."""
    server.before_initialize = asyncio.Event()
    client = door.client()
    waiting = [asyncio.ensure_future(client.call("echo", {"n": n})) for n in range(20)]
    await server.seen("initialize")
    for task in waiting[::2]:
        task.cancel()
    server.before_initialize.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(result) is dict for result in results] == [False, True] * 10
    assert len(server.opened) == 1


async def test_opening_goes_on_when_all_who_asked_have_left(door: Door, server: Legacy) -> None:
    server.before_initialize = asyncio.Event()
    task = asyncio.ensure_future(door.client().call("echo"))
    await server.seen("initialize")
    task.cancel()
    await asyncio.wait([task])
    server.before_initialize.set()
    assert (await door.client().call("echo"))["session"] == "s0"
    assert len(server.opened) == 1


async def test_waiting_for_a_session_ends_with_the_calls_deadline(door: Door, server: Legacy) -> None:
    server.before_initialize = asyncio.Event()
    with pytest.raises(DeadlineExceeded):
        await door.client().send("tools/call", {"name": "echo"}, timeout_s=0.05)
    server.before_initialize.set()
    await door.settle()


async def test_what_differs_in_anything_has_a_session_of_its_own(door: Door, server: Legacy) -> None:
    """AUTHZ-08"""
    admin = replace(ALICE, roles=frozenset({"admin"}))
    tenant = replace(ALICE, tenant="other")
    clients = [
        door.client(),
        door.client(caller=BOB),
        door.client(caller=admin),
        door.client(caller=tenant),
        door.client(capabilities={"roots": {}}),
        door.client(meta={META_CLIENT_INFO: {"name": "other", "version": "1"}}),
    ]
    sessions = [(await client.call("echo"))["session"] for client in clients for _ in range(2)]
    assert sessions == [f"s{n}" for n in range(6) for _ in range(2)]


@pytest.mark.parametrize("rounds", [5, pytest.param(100, marks=pytest.mark.slow)])
async def test_interleaved_callers_never_share_a_session(door: Door, server: Legacy, rounds: int) -> None:
    """AUTHZ-08: a hundred calls at a time, five callers with the same ids, at a server that answers in any order."""

    async def whose(at: Answering) -> Any:
        if at.arguments["n"] % 3:
            await asyncio.sleep(0)
        if at.arguments["n"] % 4 == 0:
            at.notify("notifications/progress", progressToken=at.token, progress=1, who=at.arguments["who"])
        return {"content": [], "session": at.session, "who": at.arguments["who"], "n": at.arguments["n"]}

    server.tools["whose"] = whose
    clients = {name: door.client(caller=replace(ALICE, subject=name)) for name in "abcde"}

    async def one(name: str, number: int) -> tuple[str, str]:
        arguments = {"name": "whose", "arguments": {"who": name, "n": number}}
        messages = await clients[name].messages("tools/call", arguments, id=number % 5, meta={"progressToken": "t"})
        result = messages[-1]["result"]
        assert (result["who"], result["n"], messages[-1]["id"]) == (name, number, number % 5)
        assert all(message["params"]["who"] == name for message in messages[:-1])
        return name, result["session"]

    pairs: set[tuple[str, str]] = set()
    for _ in range(rounds):
        pairs |= set(await asyncio.gather(*(one(name, n) for n in range(20) for name in clients)))
    assert len(pairs) == len({session for _, session in pairs}) == 5


async def test_a_lost_session_is_opened_again_once_and_the_call_goes_through(door: Door, server: Legacy) -> None:
    client = door.client()
    await client.call("echo")
    server.live.clear()
    results = await asyncio.gather(*(client.call("echo") for _ in range(5)))
    assert {result["session"] for result in results} == {"s1"}


async def test_a_server_that_forgets_every_session_is_a_bad_one(door: Door, server: Legacy) -> None:
    client = door.client()
    await client.call("echo")

    class Never(set[str]):
        def __contains__(self, _: object) -> bool:
            return False

    server.live = Never()
    with pytest.raises(BadUpstream):
        await client.send("tools/call", {"name": "echo"})


async def test_a_server_without_sessions_is_called_without(door: Door, server: Legacy) -> None:
    server.has_sessions = False
    client = door.client()
    assert [(await client.call("echo"))["session"] for _ in range(2)] == ["", ""]
    assert len(server.opened) == 1


async def test_sessions_are_bounded_and_the_longest_unused_goes_first(open_door: MakeDoor, server: Legacy) -> None:
    door = open_door(max_sessions=2)
    a, b, c = (door.client(caller=replace(ALICE, subject=name)) for name in "abc")
    for client in (a, b, a, c):
        await client.call("echo")
    await door.settle()
    assert server.live == {"s0", "s2"}


async def test_sessions_in_use_are_not_ended_for_room(open_door: MakeDoor, server: Legacy) -> None:
    door = open_door(max_sessions=1)
    release = asyncio.Event()

    async def slow(at: Answering) -> Any:
        server.event("slow").set()
        await release.wait()
        return {"content": []}

    server.tools["slow"] = slow
    task = asyncio.ensure_future(door.client().call("slow"))
    await server.seen("slow")
    with pytest.raises(Refusal) as refused:
        await door.client(caller=BOB).send("tools/call", {"name": "echo"})
    assert refused.value.reason == "overloaded"
    release.set()
    assert await task


async def test_a_session_that_rests_is_ended(open_door: MakeDoor, server: Legacy) -> None:
    door = open_door(session_idle=0.05)
    await door.client().call("echo")
    await server.seen("end")
    assert server.live == set()
    assert (await door.client().call("echo"))["session"] == "s1"


async def test_one_principals_many_clients_end_only_their_own(door: Door, server: Legacy) -> None:
    bob = door.client(caller=BOB)
    await bob.call("echo")
    for number in range(105):
        await door.client(meta={META_CLIENT_INFO: {"name": f"n{number}", "version": "1"}}).call("echo")
    await door.settle()
    assert len(server.live) == 101
    assert (await bob.call("echo"))["session"] == "s0"


async def test_closing_ends_every_session(open_door: MakeDoor, server: Legacy) -> None:
    door = open_door()
    for name in "abc":
        await door.client(caller=replace(ALICE, subject=name)).call("echo")
    await door.close()
    assert server.live == set()


@pytest.mark.parametrize("capabilities", [{}, ALL])
async def test_progress_comes_under_the_clients_own_token(
    door: Door, server: Legacy, capabilities: dict[str, Any]
) -> None:
    both = asyncio.Barrier(2)

    async def work(at: Answering) -> Any:
        await both.wait()  # two calls with one token in one session
        at.notify("notifications/progress", progressToken=at.token, progress=at.arguments["n"], extra=1)
        at.notify("notifications/progress", progressToken="another's", progress=9)
        return {"content": []}

    server.tools["work"] = work
    client = door.client(capabilities=capabilities, meta={"progressToken": 7})
    answers = await asyncio.gather(
        *(client.messages("tools/call", {"name": "work", "arguments": {"n": n}}) for n in (1, 2))
    )
    for n, (progress, last) in enumerate(answers, 1):
        assert progress["params"] == {"progressToken": 7, "progress": n, "extra": 1}
        assert "result" in last
    tokens = [message["params"]["_meta"]["progressToken"] for message in server.of("tools/call")]
    assert len(set(tokens)) == 2
    assert 7 in tokens


async def test_log_messages_come_only_where_they_were_asked_for(door: Door, server: Legacy) -> None:
    async def talk(at: Answering) -> Any:
        for level in ("debug", "info", "error"):
            at.notify("notifications/message", level=level, data=level)
        return {"content": []}

    server.tools["talk"] = talk
    client = door.client()
    heard = []
    for level in (None, "info", "error", "info", None):
        meta = {} if level is None else {"io.modelcontextprotocol/logLevel": level}
        messages = await client.messages("tools/call", {"name": "talk"}, meta=meta)
        heard.append([message["params"]["data"] for message in messages if "method" in message])
    assert heard == [[], ["info", "error"], ["error"], ["info", "error"], []]
    assert [message["params"] for message in server.of("logging/setLevel")] == [{"level": "info"}]
    with pytest.raises(InvalidParams):
        await client.send("tools/call", {"name": "talk"}, meta={"io.modelcontextprotocol/logLevel": "loud"})


async def test_a_client_that_takes_no_stream_gets_the_answer_alone(door: Door, server: Legacy) -> None:
    async def talk(at: Answering) -> Any:
        at.notify("notifications/progress", progressToken=at.token, progress=1)
        return {"content": []}

    server.tools["talk"] = talk
    call = door.client(meta={"progressToken": 1}).make("tools/call", {"name": "talk"})
    call.arrival.headers.fields[0] = (b"accept", b"application/json")
    call.arrival.headers.__init__(call.arrival.headers.fields)  # type: ignore[misc]
    reply = await door.crossing.send(call)
    assert isinstance(reply.body, bytes)
    assert json.loads(reply.body)["result"]["content"] == []


@pytest.mark.parametrize("capabilities", [{}, ALL])
@pytest.mark.parametrize("has_stream_begun", [True, False])
async def test_a_client_that_leaves_cancels_the_work(
    door: Door, server: Legacy, capabilities: dict[str, Any], has_stream_begun: bool
) -> None:
    """MCP-07"""

    async def slow(at: Answering) -> Any:
        if has_stream_begun:
            at.notify("notifications/x")
        server.event("slow").set()
        await asyncio.get_running_loop().create_future()

    server.tools["slow"] = slow
    client = door.client(capabilities=capabilities)
    if has_stream_begun:
        reply = await client.send("tools/call", {"name": "slow"})
        async for _ in each(reply):
            break
        await close(reply)
    else:
        task = asyncio.ensure_future(client.send("tools/call", {"name": "slow"}))
        await server.seen("slow")
        task.cancel()
        await asyncio.wait([task])
    await server.seen("notifications/cancelled")
    (cancelled,) = server.of("notifications/cancelled")
    (called,) = server.of("tools/call")
    assert cancelled["params"]["requestId"] == called["id"]
    await door.settle()
    assert server.gone["slow"] == 1


async def test_nothing_is_left_of_a_thousand_that_left(open_door: MakeDoor, server: Legacy) -> None:
    """MCP-07"""
    door = open_door()

    async def slow(at: Answering) -> Any:
        at.begin()
        if len(server.of("tools/call")) % 100 == 1:
            server.event("hundred").set()
        await asyncio.get_running_loop().create_future()

    server.tools["slow"] = slow
    client = door.client(capabilities=ALL)
    await client.call("echo")
    for _ in range(10):
        tasks = [asyncio.ensure_future(client.send("tools/call", {"name": "slow"})) for _ in range(100)]
        await server.seen("hundred")
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    await door.settle()
    session = next(iter(door.crossing._sessions._by_key.values()))
    assert (session.users, session.exchanges, session.tokens) == (0, {}, set())
    assert len(server.of("notifications/cancelled")) == len(server.of("tools/call")) - 1
    assert (await client.call("echo"))["session"] == "s0"


async def test_a_call_ends_with_its_deadline_and_the_server_hears_of_it(door: Door, server: Legacy) -> None:
    """RES-03"""

    async def never(at: Answering) -> Any:
        await asyncio.get_running_loop().create_future()

    server.tools["never"] = never
    for capabilities in ({}, ALL):
        with pytest.raises(DeadlineExceeded):
            await door.client(capabilities=capabilities).send("tools/call", {"name": "never"}, timeout_s=0.2)
        await server.seen("notifications/cancelled")


async def test_a_stream_that_is_quiet_begins_all_the_same(door: Door, server: Legacy, monkeypatch: Any) -> None:
    monkeypatch.setattr("mantlet.upstreams.bridge.to_legacy.delivery.PATIENCE_S", 0.01)
    release = asyncio.Event()

    async def quiet(at: Answering) -> Any:
        at.begin()
        await release.wait()
        return {"content": []}

    server.tools["quiet"] = quiet
    reply = await door.client().send("tools/call", {"name": "quiet"})
    assert reply.is_stream
    release.set()
    assert [message["result"]["resultType"] async for message in each(reply)] == ["complete"]


async def test_a_server_that_dies_in_the_stream_is_told_of_in_the_answer(door: Door, server: Legacy) -> None:
    async def dying(at: Answering) -> Any:
        at.notify("notifications/x")
        await at.writer.drain()
        at.writer.transport.abort()

    server.tools["dying"] = dying
    for capabilities in ({}, ALL):
        messages = await door.client(capabilities=capabilities).messages("tools/call", {"name": "dying"}, id=5)
        assert (messages[-1]["id"], messages[-1]["error"]["code"]) == (5, 4502)


async def test_a_stream_that_the_server_hangs_up_on_is_asked_for_again(door: Door, server: Legacy) -> None:
    """2025-11-25, basic/transports, "Sending Messages to the Server": it may close the stream before the answer."""

    async def polled(at: Answering) -> Any:
        server.event("id").set()
        request = at.id

        async def rest(later: Answering) -> None:
            later.event({"method": "notifications/later"}, id="e2")
            later.event({"id": request, "result": {"content": [], "late": True}})

        server.resumable[b"e1"] = rest
        at.begin()
        write_chunk(at.writer, b'id: e1\nretry: 10\ndata: {"method": "a"}\n\n')
        at.writer.write(b"0\r\n\r\n")

    server.tools["polled"] = polled
    messages = await door.client().messages("tools/call", {"name": "polled"})
    assert [message.get("method", "answer") for message in messages] == ["a", "notifications/later", "answer"]
    assert messages[-1]["result"]["late"] is True


async def test_a_plain_call_starts_no_task_when_the_answer_is_whole(door: Door, server: Legacy) -> None:
    server.is_json = True
    await door.client().call("echo")
    before = asyncio.all_tasks()
    await door.client().call("echo")
    assert asyncio.all_tasks() - before == set() or all(
        not task.get_name().startswith("bridge") for task in asyncio.all_tasks() - before
    )


async def test_notifications_are_accepted_and_mean_nothing(door: Door, server: Legacy) -> None:
    reply = await door.client().send("notifications/cancelled", {"requestId": 1}, kind="notification")
    assert (reply.status, reply.body, server.got) == (202, b"", [])


async def test_what_a_server_says_beside_the_point_is_passed_over(door: Door, server: Legacy) -> None:
    """MCP-05"""

    async def odd(at: Answering) -> Any:
        at.begin()
        for data in (b"", b"nothing", b"[]", b'{"id":{}}', b'{"id":[1],"method":"roots/list"}', b'{"method":7}'):
            write_chunk(at.writer, b"data: " + data + b"\n\n")
        at.event({"id": at.id + 1000, "result": {"content": "another's"}})
        at.event({"id": str(at.id), "result": {"content": "of another type"}})
        at.event({"method": "notifications/progress", "params": [1]})
        at.event({"method": "notifications/message", "params": "x"})
        at.event({"method": "notifications/tools/list_changed", "params": [1]})
        at.event({"method": "notifications/cancelled", "params": {"requestId": at.id}})
        at.event({"method": "notifications/elicitation/complete", "params": {"elicitationId": "x"}})
        return {"content": []}

    server.tools["odd"] = odd
    for capabilities in ({}, ALL):
        (answer,) = await door.client(capabilities=capabilities).messages("tools/call", {"name": "odd"})
        assert answer["result"]["content"] == []


async def test_what_comes_after_the_answer_is_not_passed_on(door: Door, server: Legacy) -> None:
    """MCP-05"""

    async def late(at: Answering) -> Any:
        at.event({"id": at.id, "result": {"content": [], "first": True}})
        at.notify("notifications/x")
        at.event({"id": at.id, "result": {"content": [], "first": False}})
        await asyncio.get_running_loop().create_future()  # nor is the end of the stream waited for

    server.tools["late"] = late
    (answer,) = await door.client().messages("tools/call", {"name": "late"})
    assert answer["result"]["first"]
    session = next(iter(door.crossing._sessions._by_key.values()))
    assert (session.users, session.exchanges) == (0, {})


@pytest.mark.parametrize("body", [b"", b"x", b"[]", b"{}", b'{"jsonrpc":"2.0","id":1}', b'{"id":1,"method":"x"}'])
async def test_an_answer_that_is_none_is_the_servers_fault(
    open_door: MakeDoor, server: Legacy, body: bytes, monkeypatch: Any
) -> None:
    door = open_door()
    await door.client().call("echo")

    async def send(call: Any) -> Reply:
        return Reply(200, [(b"content-type", b"application/json")], body)

    monkeypatch.setattr(door.inner, "send", send)
    with pytest.raises(BadUpstream):
        await door.client().send("tools/call", {"name": "echo"})


async def test_a_big_result_is_passed_whole(door: Door, server: Legacy) -> None:
    async def big(at: Answering) -> Any:
        return {"content": [{"type": "text", "text": "x" * 2_000_000}]}

    server.tools["big"] = big
    for capabilities in ({}, ALL):
        assert len((await door.client(capabilities=capabilities).call("big"))["content"][0]["text"]) == 2_000_000


async def test_a_slow_reader_holds_the_server_up_and_no_memory(door: Door, server: Legacy) -> None:
    async def loud(at: Answering) -> Any:
        for _ in range(400):
            at.notify("notifications/x", big="x" * 10_000)
            await at.writer.drain()
        return {"content": []}

    server.tools["loud"] = loud
    reply = await door.client().send("tools/call", {"name": "loud"})
    for _ in range(50):
        await asyncio.sleep(0.005)
    (exchange,) = next(iter(door.crossing._sessions._by_key.values())).exchanges.values()
    assert exchange._queued_bytes < 1_200_000
    assert len([message async for message in each(reply)]) == 401


async def test_nothing_but_the_principal_and_the_trace_goes_along(door: Door, server: Legacy) -> None:
    """FWD-01"""
    headers = [
        (b"authorization", b"Bearer secret"),
        (b"cookie", b"c"),
        (b"traceparent", b"00-1-2-01"),
        (b"mcp-param-x", b"1"),
    ]
    call = door.client().make("tools/call", {"name": "echo"}, headers=headers)
    sent: list[Any] = []
    inner = door.inner.send

    async def send(call: Any) -> Reply:
        sent.append(dict(call.arrival.headers.fields))
        return await inner(call)

    door.inner.send = send  # type: ignore[method-assign]
    await door.crossing.send(call)
    names = set().union(*sent)
    assert names == {b"accept", b"content-type", b"mcp-protocol-version", b"traceparent"}


@pytest.mark.parametrize("capabilities", [{}, ALL])
async def test_closing_leaves_nobody_waiting(open_door: MakeDoor, server: Legacy, capabilities: dict[str, Any]) -> None:
    door = open_door()

    async def slow(at: Answering) -> Any:
        if at.arguments["begins"]:
            at.notify("notifications/x")
        server.event("slow").set()
        await asyncio.get_running_loop().create_future()

    server.tools["slow"] = slow
    client = door.client(capabilities=capabilities)
    begun = await client.send("tools/call", {"name": "slow", "arguments": {"begins": True}})
    await server.seen("slow")
    waiting = asyncio.ensure_future(client.send("tools/call", {"name": "slow", "arguments": {"begins": False}}))
    await server.seen("slow")
    await door.close()
    async with asyncio.timeout(5):
        assert [message async for message in each(begun)][-1]["error"]["code"] == 4502
        with pytest.raises(Refusal):
            await waiting
