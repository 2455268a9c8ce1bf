import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from tests.policies.aggregate.world import Box, House, MemoryNames, World, endpoint, result_of, tools
from tests.policies.support import ALICE, BOB, Onward, Stream, call, sse

from mantlet.core import refusal as r
from mantlet.core.call import Call, Reply
from mantlet.policies.aggregate import fanout
from mantlet.policies.aggregate.memory import Memory
from mantlet.policies.aggregate.merge import ERRORS
from mantlet.policies.aggregate.resources import Place, read_template
from mantlet.policies.tasks.ids import Task, TaskIds


def ask(method: str, params: dict[str, Any] | None = None, **options: Any) -> Call:
    return call(method, params, server="", **options)


async def listed(policy: Any, world: World, **options: Any) -> list[str]:
    return [tool["name"] for tool in result_of(await policy(ask("tools/list", **options), world))["tools"]]


async def test_a_call_that_names_its_server_passes_untouched() -> None:
    onward, item = Onward(), call("tools/call", {"name": "x"})
    await endpoint(World(one=tools()))(item, onward)
    assert onward.reached == [item]


async def test_all_tools_stand_under_one_roof_and_lead_to_their_servers() -> None:
    """TOOL-02"""
    world = World(one=tools("echo", "time"), two=tools("echo", "search"))
    policy = endpoint(world)
    assert await listed(policy, world) == ["echo", "time", "two__echo", "search"]
    for exposed, server, own in (("echo", "one", "echo"), ("two__echo", "two", "echo"), ("search", "two", "search")):
        item = ask("tools/call", {"name": exposed, "arguments": {"n": 1.5}}, fields=[(b"mcp-name", exposed.encode())])
        assert result_of(await policy(item, world))["called"] == own
        sent = world.reached[-1]
        assert (sent.server, sent.target, sent.params["name"]) == (server, own, own)
        assert json.loads(sent.body)["params"]["arguments"] == {"n": 1.5}
        assert sent.arrival.headers.get(b"mcp-name") == own.encode()
        assert sent.trail is item.trail
        assert item.trail.server == server


async def test_a_tool_nobody_listed_yet_is_looked_for_once() -> None:
    world = World(one=tools("echo"))
    policy = endpoint(world)
    assert result_of(await policy(ask("tools/call", {"name": "echo"}), world))["called"] == "echo"
    for _ in range(10):
        with pytest.raises(r.InvalidParams):
            await policy(ask("tools/call", {"name": "nothing"}), world)
    assert [c.method for c in world.reached] == ["tools/list", "tools/call"]


async def test_who_makes_up_names_makes_the_servers_list_once_a_while() -> None:
    """RATE-01: neither tools nor resources nor the URIs of a subscription multiply what servers are asked."""
    now_s = [0.0]
    world = World(one=tools("echo"), two=tools("x"))
    policy = House(monotonic=lambda: now_s[0]).worker(world)
    for turn in range(1, 4):
        for n in range(20):
            for item in (ask("tools/call", {"name": f"no-{n}"}), ask("resources/read", {"uri": f"no://{n}"})):
                with pytest.raises(r.InvalidParams):
                    await policy(item, world)
        assert len(world.reached) == turn * 6
        now_s[0] += 5.0
    with pytest.raises(r.InvalidParams):
        await policy(ask("tools/call", {"name": "no"}, caller=BOB), world)
    assert len(world.reached) == 20


async def test_a_name_keeps_its_server_when_that_is_away_and_another_lists_it() -> None:
    """TOOL-02"""
    names = MemoryNames()
    world = World(one=tools("echo"), two=tools("echo"))
    assert await listed(endpoint(world, names=names), world) == ["echo", "two__echo"]
    away = World(one=lambda c: r.UpstreamUnavailable(), two=tools("echo"))
    policy = endpoint(away, names=names)
    assert await listed(policy, away) == ["two__echo"]
    with pytest.raises(r.UpstreamUnavailable):
        await policy(ask("tools/call", {"name": "echo"}), away)


async def test_what_is_withheld_is_noted_in_the_record_of_that_list_alone() -> None:
    """TOOL-02, AUTHZ-08"""
    world = World(one=tools("echo"), two=tools("Echo", "one__x"))
    policy = endpoint(world)
    item = ask("tools/list")
    await policy(item, world)
    assert "two/Echo: its name looks like echo" in item.trail.notes["withheld"]
    later = ask("resources/list")
    await policy(later, world)
    assert "withheld" not in later.trail.notes


async def test_one_that_hangs_is_named_and_not_waited_for() -> None:
    """RES-03"""
    hanging = asyncio.Event()
    cancelled: list[str] = []

    async def hang(_: Call) -> Any:
        try:
            await hanging.wait()
        except asyncio.CancelledError:
            cancelled.append("yes")
            raise

    world = World(a=tools("a"), b=tools("b"), c=hang, d=tools("d"), e=lambda c: r.UpstreamUnavailable(why="x"))
    result = result_of(await endpoint(world, timeout_s=0.05)(ask("tools/list"), world))
    assert [tool["name"] for tool in result["tools"]] == ["a", "b", "d"]
    assert result["_meta"][ERRORS] == {"c": "deadline_exceeded", "e": "upstream_unavailable"}
    assert cancelled == ["yes"]


async def test_a_surprise_at_one_server_leaves_no_call_behind() -> None:
    started, ended = asyncio.Event(), []

    async def hang(_: Call) -> Any:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(1)

    async def surprise(_: Call) -> Any:
        await started.wait()
        raise ZeroDivisionError

    world = World(a=hang, b=surprise)
    with pytest.raises(BaseExceptionGroup):
        await endpoint(world)(ask("tools/list"), world)
    assert ended == [1]


async def test_a_client_that_leaves_cancels_what_is_asked_for_it() -> None:
    """MCP-07"""
    started, ended = asyncio.Event(), []

    async def hang(_: Call) -> Any:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(1)

    world = World(a=hang)
    asking = asyncio.ensure_future(endpoint(world)(ask("tools/list"), world))
    await started.wait()
    asking.cancel()
    await asyncio.wait({asking})
    assert asking.cancelled()
    assert ended == [1]


async def test_pages_are_followed_and_an_endless_list_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout, "MAX_PAGES", 3)

    def paged(item: Call) -> Any:
        page = int(item.params.get("cursor", "0"))
        return {"tools": [{"name": f"t{page}"}], "nextCursor": str(page + 1)}

    world = World(one=paged)
    result = result_of(await endpoint(world)(ask("tools/list"), world))
    assert [tool["name"] for tool in result["tools"]] == ["t0", "t1", "t2"]
    assert result["_meta"][ERRORS] == {"one": "truncated"}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Reply(200, [], b"nonsense"), "bad_upstream"),
        (Reply(200, [], b"[]"), "bad_upstream"),
        (Reply(200, [], b'{"jsonrpc":"2.0","id":1,"error":{"code":5,"message":"x"}}'), "bad_upstream"),
        (Reply(200, [], b'{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"x"}}'), None),
        (Reply(200, [], b'{"jsonrpc":"2.0","id":1,"result":{"tools":5}}'), None),
        (Reply(200, [], b'{"jsonrpc":"2.0","id":1,"result":{"tools":[1,null,{"name":7}]}}'), None),
        (Reply(200, [], b'{"jsonrpc":"2.0","id":1,"result":{"tools":[],"tools":[]}}'), "bad_upstream"),
    ],
)
async def test_a_broken_server_breaks_only_its_own_part(answer: Reply, error: str | None) -> None:
    world = World(one=lambda c: answer, two=tools("ok"))
    result = result_of(await endpoint(world)(ask("tools/list"), world))
    assert [tool["name"] for tool in result["tools"]] == ["ok"]
    assert result.get("_meta", {}).get(ERRORS) == ({"one": error} if error else None)


async def test_lists_that_did_not_change_are_read_once_and_only_for_those_who_see_the_same() -> None:
    """AUTHZ-03: what is remembered is found by the bytes that came down the path for this caller."""

    class Counted(MemoryNames):
        asked = 0

        async def owners(self, kind: str) -> Any:
            self.asked += 1
            return await super().owners(kind)

    def server(item: Call) -> Any:
        return {"tools": [{"name": "echo", "x": 1.0}, *([{"name": "secret"}] if item.caller is ALICE else [])]}

    names, world = Counted(), World(one=server, two=server)
    policy = endpoint(world, names=names)
    first = result_of(await policy(ask("tools/list"), world))
    asked = names.asked
    for _ in range(5):
        assert result_of(await policy(ask("tools/list"), world)) == first
    assert names.asked == asked
    assert await listed(policy, world, caller=BOB) == ["echo", "two__echo"]
    assert await listed(policy, world) == ["echo", "secret", "two__echo", "two__secret"]
    world.servers["two"] = tools("new")
    assert await listed(policy, world) == ["echo", "secret", "new"]


def test_what_is_remembered_has_a_bound() -> None:
    memory: Memory[int] = Memory(max_bytes=100)
    for n in range(50):
        memory.put(n, n, 10)
        memory.put(n, n, 10)
    assert [n for n in range(50) if memory.get(n) is not None] == list(range(40, 50))
    memory.put("huge", 1, 1_000)
    assert memory.get("huge") is None
    memory.put("small", 1, 100)
    assert memory.get("small") == 1


async def test_a_list_that_comes_as_a_stream_is_read_and_the_stream_closed() -> None:
    note = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {}}
    answer = {"jsonrpc": "2.0", "id": 1, "result": {"tools": [{"name": "echo"}]}}
    stream = Stream(sse(note), sse(answer))
    world = World(one=lambda c: Reply(200, [], stream))
    assert await listed(endpoint(world), world) == ["echo"]
    assert stream.is_closed


async def test_who_may_reach_nothing_gets_nothing_and_nothing_is_asked() -> None:
    """AUTHZ-01"""
    world = World(one=tools("echo"))
    policy = endpoint(world, may_reach=lambda caller, server: False)
    for item in (ask("tools/list"), ask("initialize", era="legacy"), ask("ping", era="legacy"), ask("server/discover"),
                 ask("", kind="stream", era="legacy"), ask("", kind="end", era="legacy", session="x"),
                 ask("tools/call", {"name": "echo"})):  # fmt: skip
        with pytest.raises(r.Denied):
            await policy(item, world)
    assert world.reached == []


async def test_only_servers_within_reach_are_asked() -> None:
    world = World(one=tools("echo"), two=tools("search"))
    policy = endpoint(world, may_reach=lambda caller, server: server == "two")
    assert await listed(policy, world) == ["search"]
    assert {c.server for c in world.reached} == {"two"}


async def test_what_is_asked_is_asked_as_the_caller() -> None:
    """AUTHZ-08"""
    world = World(one=tools("echo"))
    policy = endpoint(world)
    await asyncio.gather(*(policy(ask("tools/list", caller=who), world) for who in (ALICE, BOB) * 20))
    assert [c.caller for c in world.reached] == [ALICE, BOB] * 20


@pytest.mark.parametrize(
    "item",
    [
        ask("logging/setLevel", {"level": "info"}),
        ask("x/unknown"),
    ],
    ids=lambda item: item.method,
)
async def test_what_cannot_be_answered_for_all_is_not(item: Call) -> None:
    world = World(one=tools())
    with pytest.raises(r.MethodNotFound):
        await endpoint(world)(item, world)


async def test_resources_lead_to_the_server_that_listed_them() -> None:
    def docs(item: Call) -> Any:
        if item.method == "resources/list":
            return {"resources": [{"uri": "docs://a"}, {"uri": "both://x"}]}
        if item.method == "resources/templates/list":
            return {"resourceTemplates": [{"uriTemplate": "docs://{id}"}, {"uriTemplate": "{+everything}"}]}
        return {"from": item.server}

    def files(item: Call) -> Any:
        if item.method == "resources/list":
            return {"resources": [{"uri": "both://x"}]}
        if item.method == "resources/templates/list":
            return {"resourceTemplates": [{"uriTemplate": "docs://special/{id}"}, {"uriTemplate": "file://{p}"}]}
        return {"from": item.server}

    world = World(docs=docs, files=files)
    policy = endpoint(world)
    for uri, server in (
        ("docs://a", "docs"),
        ("both://x", "docs"),
        ("docs://special/1", "files"),
        ("file://etc", "files"),
    ):
        assert result_of(await policy(ask("resources/read", {"uri": uri}), world))["from"] == server
    with pytest.raises(r.InvalidParams):
        await policy(ask("resources/read", {"uri": "other://x"}), world)


async def test_whose_a_resource_is_does_not_depend_on_who_was_slow() -> None:
    """All workers must lead a URI to the same server; and it stays that server's while it is away."""

    def server(item: Call) -> Any:
        if item.method == "resources/list":
            return {"resources": [{"uri": "a://1"}]}
        return {"resourceTemplates": []} if item.method == "resources/templates/list" else {"at": item.server}

    async def at() -> Any:
        return result_of(await policy(ask("resources/read", {"uri": "a://1"}), world))["at"]

    world = World(one=lambda c: r.UpstreamUnavailable(why="x"), two=server)
    policy = endpoint(world)
    assert await at() == "two"
    world.servers["one"] = server
    await policy(ask("resources/list"), world)
    assert await at() == "one"
    world.servers["one"] = lambda c: r.UpstreamUnavailable(why="x")
    await policy(ask("resources/list"), world)
    with pytest.raises(r.UpstreamUnavailable):
        await at()


@pytest.mark.parametrize(
    ("template", "uri", "is_fitting"),
    [
        ("a://{x}", "a://1", True),
        ("a://{x}/end", "a://1/end", True),
        ("a://{x}/end", "a:///en", False),
        ("a://x", "a://x", True),
        ("a://x", "a://xy", False),
        ("{+all}", "a://x", False),
        ("a://{x", "a://1", False),
        ("a://aa{x}aa", "a://aaa", False),
    ],
)
def test_templates_tell_servers_apart(template: str, uri: str, is_fitting: bool) -> None:
    assert (template == uri or read_template(template, Place("one", 0)).fits(uri)) is is_fitting


async def test_completions_follow_what_they_complete() -> None:
    def server(item: Call) -> Any:
        return {"prompts": [{"name": "greet"}]} if item.method == "prompts/list" else {"sent": dict(item.params["ref"])}

    world = World(one=server, two=server)
    policy = endpoint(world)
    await policy(ask("prompts/list"), world)
    item = ask("completion/complete", {"ref": {"type": "ref/prompt", "name": "two__greet"}})
    assert result_of(await policy(item, world))["sent"] == {"type": "ref/prompt", "name": "greet"}
    assert world.reached[-1].server == "two"
    assert world.reached[-1].target == "greet"


# --- legacy sessions ------------------------------------------------------------------------------------------------


async def begun(policy: Any, world: World, **options: Any) -> str:
    reply = await policy(ask("initialize", {"protocolVersion": "2025-06-18"}, era="legacy", **options), world)
    assert result_of(reply)["protocolVersion"] == "2025-06-18"
    return str(reply.header(b"mcp-session-id").decode())


async def test_a_session_is_its_callers_alone() -> None:
    """MCP-04, AUTHZ-04"""
    world = World(one=tools("echo"))
    policy = endpoint(world)
    session = await begun(policy, world)
    assert await listed(policy, world, era="legacy", session=session) == ["echo"]
    for method in ("tools/list", "tools/call", "ping"):
        with pytest.raises(r.SessionNotFound):
            await policy(ask(method, {"name": "echo"}, era="legacy", session=session, caller=BOB), world)
    stranger = replace(ALICE, tenant="other")
    with pytest.raises(r.SessionNotFound):
        await policy(ask("ping", era="legacy", session=session, caller=stranger), world)


@pytest.mark.parametrize("session", ["x", "00.00", "é", "a" * 10_000])
async def test_a_made_up_session_is_not_found(session: str) -> None:
    world = World(one=tools())
    with pytest.raises(r.SessionNotFound):
        await endpoint(world)(ask("tools/list", era="legacy", session=session), world)


async def test_no_session_and_an_old_session() -> None:
    """MCP-04"""
    now_s = [1e9]
    world = World(one=tools())
    policy = endpoint(world, wall=lambda: now_s[0])
    with pytest.raises(r.InvalidRequest):
        await policy(ask("tools/list", era="legacy"), world)
    session = await begun(policy, world)
    now_s[0] += 24 * 3600
    with pytest.raises(r.SessionNotFound):
        await policy(ask("ping", era="legacy", session=session), world)


async def test_an_ended_session_stays_ended_and_ends_those_behind_it() -> None:
    """MCP-04"""
    world = World(one=tools("echo"), two=tools("x"))
    policy = endpoint(world)
    session = await begun(policy, world)
    await listed(policy, world, era="legacy", session=session)
    assert (await policy(ask("", kind="end", era="legacy", session=session), world)).status == 204
    assert {(c.server, c.session) for c in world.reached if c.kind == "end"} == {("one", "one-1"), ("two", "two-2")}
    with pytest.raises(r.SessionNotFound):
        await policy(ask("ping", era="legacy", session=session), world)


async def test_many_at_once_open_one_session_with_a_server() -> None:
    world = World(one=tools("echo"))
    policy = endpoint(world)
    session = await begun(policy, world)
    world.gate = asyncio.Event()
    asking = [asyncio.ensure_future(listed(policy, world, era="legacy", session=session)) for _ in range(20)]
    while not world.asked("initialize"):
        await asyncio.sleep(0)
    world.gate.set()
    assert await asyncio.gather(*asking) == [["echo"]] * 20
    assert len(world.asked("initialize")) == 1


async def test_the_leaving_of_who_opens_a_session_is_no_fate_of_those_who_wait() -> None:
    world = World(one=tools("echo"))
    policy = endpoint(world)
    session = await begun(policy, world)
    world.gate = asyncio.Event()
    first = asyncio.ensure_future(listed(policy, world, era="legacy", session=session))
    while not world.asked("initialize"):
        await asyncio.sleep(0)
    waiting = [asyncio.ensure_future(listed(policy, world, era="legacy", session=session)) for _ in range(3)]
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait({first})
    world.gate.set()
    assert await asyncio.gather(*waiting) == [["echo"]] * 3


async def test_a_server_that_forgot_its_session_gets_a_new_one() -> None:
    """RES-06: for a call and for a list alike."""
    world = World(one=tools("echo"))
    policy = endpoint(world)
    session = await begun(policy, world)
    assert await listed(policy, world, era="legacy", session=session) == ["echo"]
    world.live.clear()
    item = ask("tools/call", {"name": "echo"}, era="legacy", session=session)
    assert result_of(await policy(item, world))["called"] == "echo"
    world.live.clear()
    assert await listed(policy, world, era="legacy", session=session) == ["echo"]


@pytest.mark.parametrize(
    "answer",
    [Reply(200, [], b'{"jsonrpc":"2.0","id":"mantlet","error":{"code":1,"message":"no"}}'), Reply(500, [], b"{}")],
)
async def test_a_server_that_opens_no_session_is_named(answer: Reply) -> None:
    world = World(one=tools("echo"), two=tools("x"))
    policy = endpoint(world)
    session = await begun(policy, world)

    async def refusing(item: Call) -> Reply:
        return answer if item.method == "initialize" and item.server == "one" else await world(item)

    result = result_of(await policy(ask("tools/list", era="legacy", session=session), refusing))
    assert [tool["name"] for tool in result["tools"]] == ["x"]
    assert result["_meta"][ERRORS] == {"one": "bad_upstream"}


async def test_a_handshake_that_comes_as_a_stream_is_read_to_its_answer() -> None:
    answer = {"jsonrpc": "2.0", "id": "mantlet", "result": {"protocolVersion": "2025-06-18", "capabilities": {}}}
    world = World(one=tools("echo"))
    policy = endpoint(world)
    session = await begun(policy, world)
    read: list[int] = []

    class Watched(Stream):
        async def __anext__(self) -> bytes:
            chunk = await super().__anext__()
            read.append(len(chunk))
            return chunk

    async def streaming(item: Call) -> Reply:
        if item.method == "initialize":
            world.live.add("s")
            return Reply(200, [(b"mcp-session-id", b"s")], Watched(b": wait\n\n", sse(answer)))
        return await world(item)

    result = result_of(await policy(ask("tools/list", era="legacy", session=session), streaming))
    assert [tool["name"] for tool in result["tools"]] == ["echo"]
    assert len(read) == 2


@pytest.mark.parametrize("is_stream", [False, True])
async def test_a_cancellation_finds_the_call_until_its_answer_is_whole(is_stream: bool) -> None:
    held = asyncio.Event()
    reached = asyncio.Event()

    async def slow(item: Call) -> Any:
        if item.method == "tools/list":
            return {"tools": [{"name": "slow"}]}
        reached.set()
        if is_stream:
            return Reply(200, [], Stream(b": wait\n\n"))
        await held.wait()
        return {}

    world = World(one=slow)
    policy = endpoint(world)
    session = await begun(policy, world)
    await listed(policy, world, era="legacy", session=session)
    item = ask("tools/call", {"name": "slow"}, era="legacy", session=session, raw_id=b"77")
    calling = asyncio.ensure_future(policy(item, world))
    await reached.wait()
    await asyncio.sleep(0)
    for who, found in ((BOB, 0), (ALICE, 1)):
        note = ask("notifications/cancelled", {"requestId": 77}, era="legacy", session=session, caller=who,
                   kind="notification", raw_id=None)  # fmt: skip
        if found:
            assert (await policy(note, world)).status == 202
        else:
            with pytest.raises(r.SessionNotFound):
                await policy(note, world)
        assert len(world.asked("notifications/cancelled", "one")) == found
    held.set()
    reply = await calling
    if is_stream:
        await reply.body.aclose()  # type: ignore[union-attr]
    assert len(world.asked("notifications/cancelled", "one")) == 1


async def test_a_name_that_is_taken_or_looks_taken_raises_an_alarm_once() -> None:
    """TOOL-02: into each record that brought it, and once into the log."""
    house = House()
    world = World(one=tools("echo"), two=tools("echo", "Echo"))
    policy = house.worker(world)
    items = [ask("tools/list") for _ in range(3)]
    for item in items:
        await policy(item, world)
    assert items[0].trail.notes["renamed"] == "two/echo: shown as two__echo"
    assert all("looks like" in item.trail.notes["withheld"] for item in items)
    assert [(event, fields["name"]) for event, fields in house.reported] == [
        ("aggregate.name_withheld", "Echo"),
        ("aggregate.name_taken", "echo"),
    ]


async def test_tasks_lead_to_their_server() -> None:
    """AUTHZ-04"""
    world = World(one=tools("a"), two=lambda c: {"taskId": c.target})
    policy = endpoint(world)
    mine = TaskIds(Box()).give(Task("two", "dig", "t-1"), ALICE)
    for method in ("tasks/get", "tasks/update", "tasks/cancel"):
        await policy(ask(method, {"taskId": mine}), world)
        assert (world.reached[-1].server, world.reached[-1].params["taskId"]) == ("two", mine)
    for who, identity in ((BOB, mine), (ALICE, "t-1"), (ALICE, mine + "00")):
        with pytest.raises(r.InvalidParams):
            await policy(ask("tasks/get", {"taskId": identity}, caller=who), world)
    unreached = endpoint(world, may_reach=lambda caller, server: server == "one")
    with pytest.raises(r.InvalidParams):
        await unreached(ask("tasks/get", {"taskId": mine}), world)
