"""What is shown and called, in every shape in which it comes (TOOL-01 … TOOL-05)."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from tests.policies.pins.support import TIME, Store, book
from tests.policies.support import BOB, Onward, Stream, call, reply, sse

from mantlet.core.call import Call, Reply
from mantlet.core.definition import Definition
from mantlet.core.refusal import (
    BadUpstream,
    DeadlineExceeded,
    InvalidParams,
    Quarantined,
    StoreUnavailable,
    UpstreamUnavailable,
)
from mantlet.policies.pins.asking import Asking
from mantlet.policies.pins.config import Mode
from mantlet.policies.pins.policy import Pins
from mantlet.policies.pins.shown import Shown

CHANGED = {**TIME, "description": "Tell the time, and more."}
OTHER = {"name": "other", "description": "Another.", "inputSchema": {"type": "object"}}


class Server:
    """What a server answers to lists, and who asked."""

    def __init__(self, *tools: dict[str, Any]) -> None:
        self.tools: Sequence[dict[str, Any]] = tools
        self.asked: list[Call] = []
        self.gate: asyncio.Event | None = None
        self.fault: Exception | None = None
        self.page_size = 100

    async def __call__(self, asked: Call, /) -> Reply:
        self.asked.append(asked)
        if self.gate is not None:
            await self.gate.wait()
        if self.fault is not None:
            raise self.fault
        if asked.method != "tools/list":
            return reply(None, error={"code": -32601, "message": "no"})
        start = int(asked.params.get("cursor", 0))
        end = start + self.page_size
        more = {"nextCursor": str(end)} if end < len(self.tools) else {}
        return reply({"tools": self.tools[start:end], **more})


class House:
    """The step over a server, with a clock that stands."""

    def __init__(self, server: Server, mode: Mode = "first_use", why_unusable: Any = None, store: Any = None) -> None:
        self.now_s = 0.0
        self.server = server
        self.book = book(mode, store)
        self.shown = Shown(self.book, why_unusable or (lambda definition: ""))
        asking = Asking(server, 5.0, lambda: self.now_s)
        self.step = Pins(self.shown, asking, refresh_s=300.0, wait_s=5.0, monotonic=lambda: self.now_s)
        self.onward = Onward()

    async def call(self, tool: str = "get_time", **more: Any) -> Reply:
        return await self.step(call(params={"name": tool}, **more), self.onward)

    async def listed(self, *answer: Reply, method: str = "tools/list", **more: Any) -> Any:
        asked = call(method, **more)
        given = await self.step(asked, Onward(*(answer or (reply({"tools": list(self.server.tools)}),))))
        if isinstance(given.body, bytes):
            return json.loads(given.body)["result"]
        return b"".join([chunk async for chunk in given.body])

    async def names(self, *answer: Reply, **more: Any) -> list[str]:
        return [tool["name"] for tool in (await self.listed(*answer, **more))["tools"]]


async def test_a_tool_that_nobody_has_seen_is_looked_at_before_it_is_called() -> None:
    """TOOL-01"""
    house = House(Server(TIME))
    await house.call()
    assert [asked.method for asked in house.server.asked] == ["tools/list"]
    assert len(house.onward.reached) == 1
    await house.call()
    assert len(house.server.asked) == 1
    definition = house.step.definition_of("one", "get_time")
    assert isinstance(definition, Definition)
    assert definition.hash.startswith("sha256:")


async def test_the_server_is_asked_in_the_callers_session_and_as_the_caller() -> None:
    house = House(Server(TIME))
    await house.call(era="legacy", session="s1", caller=BOB)
    (asked,) = house.server.asked
    assert (asked.session, asked.caller, asked.era) == ("s1", BOB, "legacy")


async def test_in_approve_mode_an_unseen_tool_is_refused_and_never_forwarded() -> None:
    """TOOL-01: call → 403"""
    house = House(Server(TIME), "approve")
    for _ in range(2):
        with pytest.raises(Quarantined):
            await house.call()
    assert house.onward.reached == []
    assert len(house.server.asked) == 1


async def test_many_calls_at_once_make_one_list() -> None:
    house = House(Server(TIME))
    house.server.gate = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(house.call()) for _ in range(50)]
        await asyncio.sleep(0)
        house.server.gate.set()
    assert len(house.server.asked) == 1
    assert all(task.result().status == 200 for task in tasks)


async def test_when_the_one_who_asked_leaves_the_next_one_asks() -> None:
    house = House(Server(TIME))
    house.server.gate = asyncio.Event()
    first = asyncio.ensure_future(house.call())
    second = asyncio.ensure_future(house.call(caller=BOB))
    while not house.server.asked:
        await asyncio.sleep(0)
    first.cancel()
    house.server.gate.set()
    assert (await second).status == 200
    assert len(house.server.asked) == 2


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (UpstreamUnavailable(), UpstreamUnavailable),
        (StoreUnavailable(), StoreUnavailable),
        (TimeoutError(), DeadlineExceeded),
    ],
)
async def test_a_server_that_does_not_say_what_its_tools_are_is_not_called(fault: Exception, told: type) -> None:
    """VAL-08: nothing missing means yes."""
    house = House(Server(TIME))
    house.server.fault = fault
    with pytest.raises(told):
        await house.call()
    assert house.onward.reached == []


async def test_a_tool_that_its_server_does_not_list_is_unknown_here() -> None:
    """TOOL-05"""
    house = House(Server(TIME))
    with pytest.raises(InvalidParams, match="Unknown tool: hidden"):
        await house.call("hidden")
    with pytest.raises(InvalidParams):
        await house.call("hidden")
    assert len(house.server.asked) == 1  # asked for this caller a moment ago
    house.now_s += 3
    with pytest.raises(InvalidParams):
        await house.call("hidden")
    assert len(house.server.asked) == 2
    assert house.onward.reached == []


async def test_all_pages_of_a_server_are_known() -> None:
    house = House(Server(*({**TIME, "name": f"t{number}"} for number in range(7))))
    house.server.page_size = 3
    await house.call("t6")
    assert len(house.server.asked) == 3


async def test_a_changed_tool_is_absent_from_lists_and_refused() -> None:
    """TOOL-01"""
    house = House(Server(TIME, OTHER))
    assert await house.names() == ["get_time", "other"]
    house.server.tools = [CHANGED, OTHER]
    assert await house.names() == ["other"]
    with pytest.raises(Quarantined) as caught:
        await house.call()
    assert "changed" in caught.value.why
    assert "changed" not in caught.value.detail
    await house.call("other")
    assert len(house.onward.reached) == 1


async def test_what_is_kept_of_a_list_keeps_its_bytes() -> None:
    house = House(Server())
    raw = b'{"jsonrpc":"2.0","id":1,"result":{"tools":[ {"name": "a",  "inputSchema":{}} ],"x":1.50}}'
    given = await house.step(call("tools/list"), Onward(Reply(200, [], raw)))
    assert given.body is raw


async def test_a_list_that_came_before_is_judged_anew_when_something_was_decided() -> None:
    house = House(Server(TIME), "first_use")
    await house.names()
    house.server.tools = [CHANGED]
    assert await house.names() == []
    held = house.book.table.held[next(iter(house.book.table.held))]
    house.book.approve(held.definition.key, held.definition.hash, "olga")
    house.step.sync()
    assert await house.names() == ["get_time"]
    await house.call()


async def test_a_decision_in_another_process_acts_with_the_next_look() -> None:
    store = Store()
    house, elsewhere = House(Server(TIME), store=store), House(Server(CHANGED), store=store)
    await house.call()
    await elsewhere.names()
    house.step.sync()
    with pytest.raises(Quarantined):
        await house.call()


async def test_what_was_seen_long_ago_is_asked_for_again() -> None:
    house = House(Server(TIME))
    await house.call()
    house.now_s = 200
    house.step.sync()
    await house.call()
    assert len(house.server.asked) == 1
    house.now_s = 301
    house.step.sync()
    house.server.tools = [CHANGED]
    with pytest.raises(Quarantined):
        await house.call()
    assert len(house.server.asked) == 2


@pytest.mark.parametrize("twice", [[TIME, CHANGED], [TIME, TIME]])
async def test_of_two_with_one_name_one_is_shown(twice: list[dict[str, Any]]) -> None:
    house = House(Server())
    result = await house.listed(reply({"tools": twice}))
    assert result["tools"] == [TIME]


@pytest.mark.parametrize(
    "result",
    [
        '{"tools":[{"name":"a","name":"b"}]}',
        '{"tools":[{"name":"a","n\\u0061me":"b"}]}',
        '{"tools":[],"tools":[{"name":"b"}]}',
        '{"Tools":[{"name":"b"}]}',
        '{"tools":{"name":"b"}}',
        '{"tools":[{"name":"a","x":1e999}]}',
        '{"tools":[{"name":"a","x":"\\ud800"}]}',
    ],
)
async def test_a_list_that_can_be_read_in_two_ways_is_withheld(result: str) -> None:
    house = House(Server())
    body = b'{"jsonrpc":"2.0","id":1,"result":%b}' % result.encode()
    with pytest.raises(BadUpstream):
        await house.step(call("tools/list"), Onward(Reply(200, [], body)))


@pytest.mark.parametrize("item", [{}, {"name": 5}, {"name": None}, {"description": "x"}])
async def test_an_item_without_a_name_is_not_shown(item: dict[str, Any]) -> None:
    house = House(Server())
    assert (await house.listed(reply({"tools": [item, TIME]})))["tools"] == [TIME]


@pytest.mark.parametrize("cut", [1, 10, 10_000])
async def test_a_streamed_list_is_filtered(cut: int) -> None:
    """TOOL-01, AUTHZ-03: each shape."""
    house = House(Server(TIME))
    await house.call()
    note = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": 1}}
    raw = sse(note, {"jsonrpc": "2.0", "id": 1, "result": {"tools": [CHANGED, OTHER]}})
    chunks = [raw[at : at + cut] for at in range(0, len(raw), cut)]
    told = await house.listed(Reply(200, [], Stream(*chunks)))
    assert b"and more" not in told
    assert b"other" in told
    assert sse(note) in told


async def test_a_list_on_a_sessions_own_stream_is_filtered() -> None:
    """A client that comes back with Last-Event-ID finds it there."""
    house = House(Server(TIME))
    await house.call()
    raw = sse({"jsonrpc": "2.0", "id": 1, "result": {"tools": [CHANGED]}})
    told = await house.listed(Reply(200, [], Stream(raw)), method="", kind="stream", era="legacy", raw_id=None)
    assert b"and more" not in told


@pytest.mark.parametrize(("method", "kind"), [("subscriptions/listen", "request"), ("", "stream")])
async def test_a_server_that_says_so_is_asked_again(method: str, kind: Any) -> None:
    house = House(Server(TIME))
    await house.call()
    raw = sse({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
    assert await house.listed(Reply(200, [], Stream(raw)), method=method, kind=kind, era="legacy") == raw
    house.server.tools = [CHANGED]
    with pytest.raises(Quarantined):
        await house.call()
    assert len(house.server.asked) == 2


@pytest.mark.parametrize("method", ["initialize", "server/discover"])
async def test_instructions_are_pinned_like_tools(method: str) -> None:
    """TOOL-01: "all model-visible fields"."""
    house = House(Server())
    first = await house.listed(reply({"instructions": "Tells the time.", "x": 1}), method=method)
    assert first == {"instructions": "Tells the time.", "x": 1}
    second = await house.listed(reply({"instructions": "Do something else.", "x": 1}), method=method)
    assert second == {"x": 1}


async def test_prompts_and_templates_are_pinned_too() -> None:
    house = House(Server())
    prompt, template = {"name": "p", "description": "A."}, {"uriTemplate": "f://{x}", "name": "t"}
    assert (await house.listed(reply({"prompts": [prompt]}), method="prompts/list"))["prompts"] == [prompt]
    await house.step(call("prompts/get", {"name": "p"}), house.onward)
    changed = {**prompt, "description": "B."}
    assert (await house.listed(reply({"prompts": [changed]}), method="prompts/list"))["prompts"] == []
    with pytest.raises(Quarantined):
        await house.step(call("prompts/get", {"name": "p"}), house.onward)
    method = "resources/templates/list"
    assert (await house.listed(reply({"resourceTemplates": [template]}), method=method))["resourceTemplates"]
    changed = {**template, "description": "B."}
    assert (await house.listed(reply({"resourceTemplates": [changed]}), method=method))["resourceTemplates"] == []


async def test_a_tool_whose_schema_cannot_be_used_is_withheld_until_it_can() -> None:
    """VAL-03: bad schema → tool withheld"""
    house = House(Server(TIME), why_unusable=lambda one: "its inputSchema is bad" if "bad" in one.text else "")
    bad = {**TIME, "name": "b", "inputSchema": {"bad": 1}}
    house.server.tools = [TIME, bad]
    assert await house.names() == ["get_time"]
    with pytest.raises(Quarantined) as caught:
        await house.call("b")
    assert "inputSchema" in caught.value.why


async def test_a_tool_too_large_to_review_is_withheld() -> None:
    """VAL-07"""
    house = House(Server({**TIME, "description": "x" * 300_000}, OTHER))
    assert await house.names() == ["other"]
    with pytest.raises(Quarantined):
        await house.call()


async def test_a_tasks_result_is_its_tools() -> None:
    house = House(Server(TIME), "approve")
    task = call("tasks/result", {"taskId": "t"})
    task.target = "get_time"
    with pytest.raises(Quarantined):
        await house.step(task, house.onward)


async def test_an_error_passes() -> None:
    house = House(Server())
    given = reply(None, status=404, error={"code": -32601, "message": "no"})
    assert (await house.step(call("tools/list"), Onward(given))) is given


async def test_calls_of_other_kinds_pass() -> None:
    house = House(Server(), "approve")
    for method in ("resources/read", "completion/complete", "ping"):
        await house.step(call(method, {"uri": "x"}), house.onward)
    assert len(house.onward.reached) == 3
