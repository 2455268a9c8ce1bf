import json
from typing import Any

import pytest
from tests.policies.aggregate.world import Box
from tests.policies.support import ALICE, BOB, META, Onward, Stream, call, reply, sse

from mantlet.core import refusal as r
from mantlet.core.call import Reply
from mantlet.policies.tasks.ids import Task, TaskIds
from mantlet.policies.tasks.policy import EXTENSION, Tasks
from mantlet.policies.tasks.rewrite import RELATED, rewritten

IDS = TaskIds(Box())
ABLE = {**META, "io.modelcontextprotocol/clientCapabilities": {"extensions": {EXTENSION: {}}}}
WORKING = {"resultType": "task", "taskId": "t-1", "status": "working", "ttlMs": 1.0}


def body(answer: Reply) -> Any:
    assert isinstance(answer.body, bytes)
    return json.loads(answer.body)


async def started(caller: Any = ALICE, *, era: Any = "modern", result: Any = None) -> str:
    params = {"name": "dig", "_meta": ABLE} if era == "modern" else {"name": "dig", "task": {}}
    item = call("tools/call", params, caller=caller, era=era)
    result = result or (WORKING if era == "modern" else {"task": {"taskId": "t-1", "status": "working"}})
    answer = body(await Tasks(IDS)(item, Onward(reply(result))))["result"]
    return str((answer.get("task") or answer)["taskId"])


async def test_a_task_is_known_to_its_caller_by_an_id_of_its_own() -> None:
    """AUTHZ-04"""
    mine = await started()
    assert mine != "t-1"
    for method in ("tasks/get", "tasks/update", "tasks/cancel"):
        item = call(method, {"taskId": mine, "inputResponses": {"a": 1.0}}, fields=[(b"mcp-name", mine.encode())])
        onward = Onward(reply({**WORKING, "resultType": "complete"}))
        answer = body(await Tasks(IDS)(item, onward))
        sent = onward.reached[0]
        assert (sent.target, sent.params["taskId"]) == ("dig", "t-1")
        assert json.loads(sent.body)["params"]["inputResponses"] == {"a": 1.0}
        assert sent.arrival.headers.get(b"mcp-name") == b"t-1"
        assert answer["result"]["taskId"] == mine  # the very one it was asked for
        assert answer["result"]["ttlMs"] == 1.0


@pytest.mark.parametrize("caller", [ALICE, BOB])
@pytest.mark.parametrize("server", ["one", "two"])
async def test_only_who_was_given_an_id_and_only_at_its_server(caller: Any, server: str) -> None:
    """AUTHZ-04: a foreign id looks like an unknown one, and reaches no server."""
    mine = await started()
    onward = Onward()
    item = call("tasks/get", {"taskId": mine}, caller=caller, server=server)
    if caller is ALICE and server == "one":
        await Tasks(IDS)(item, onward)
        assert len(onward.reached) == 1
        return
    said = []
    for identity in (mine, "t-1", "x", mine + "0", "é" * 10, "a" * 100_000):
        with pytest.raises(r.InvalidParams) as raised:
            await Tasks(IDS)(call("tasks/get", {"taskId": identity}, caller=caller, server=server), onward)
        said.append(raised.value.detail)
    assert len(set(said)) == 1
    assert onward.reached == []


async def test_a_header_that_names_another_task_is_refused() -> None:
    """MCP-01"""
    with pytest.raises(r.HeaderMismatch):
        await Tasks(IDS)(call("tasks/get", {"taskId": await started()}, fields=[(b"mcp-name", b"t-1")]), Onward())


async def test_what_rules_decide_on_is_the_tool_that_a_task_came_from() -> None:
    """AUTHZ-04"""
    from mantlet.policies.authorize.config import AuthorizationConfig, RuleConfig, Selector
    from mantlet.policies.authorize.policy import Authorize

    def authorize(tools: list[str]) -> Authorize:
        return Authorize(AuthorizationConfig(rules=[RuleConfig(name="r", allow=Selector(tools=tools))]))

    mine = await started()

    async def asked(policy: Authorize) -> Reply:
        onward = Onward(reply(WORKING))
        return await Tasks(IDS)(call("tasks/get", {"taskId": mine}), lambda item: policy(item, onward))

    assert (await asked(authorize(["dig"]))).status == 200
    with pytest.raises(r.Denied):
        await asked(authorize(["other"]))


async def test_the_experimental_tasks_of_the_older_era() -> None:
    mine = await started(era="legacy")
    result = {"content": [], "_meta": {RELATED: {"taskId": "t-1"}, "x": 1.0}}
    onward = Onward(reply(result))
    answer = body(await Tasks(IDS)(call("tasks/result", {"taskId": mine}, era="legacy"), onward))
    assert answer["result"]["_meta"] == {RELATED: {"taskId": mine}, "x": 1.0}
    listed = Onward(reply({"tasks": [{"taskId": "t-1"}, {"taskId": "t-2"}]}))
    answer = body(await Tasks(IDS)(call("tasks/list", era="legacy"), listed))
    assert [IDS.read(task["taskId"], ALICE) for task in answer["result"]["tasks"]] == [
        Task("one", "", "t-1"),
        Task("one", "", "t-2"),
    ]


async def test_news_of_a_task_come_under_the_id_that_was_asked_for() -> None:
    mine, foreign = await started(), await started(BOB)
    item = call("subscriptions/listen", {"notifications": {"toolsListChanged": True, "taskIds": [mine, foreign, "x"]}})
    note = {"jsonrpc": "2.0", "method": "notifications/tasks", "params": {"taskId": "t-1", "status": "completed"}}
    acknowledged = {
        "jsonrpc": "2.0",
        "method": "notifications/subscriptions/acknowledged",
        "params": {"notifications": {"toolsListChanged": True, "taskIds": ["t-1"]}},
    }
    other = {"jsonrpc": "2.0", "method": "notifications/tasks", "params": {"taskId": "t-9", "status": "completed"}}
    onward = Onward(Reply(200, [], Stream(sse(acknowledged), sse(other, note))))
    answer = await Tasks(IDS)(item, onward)
    assert onward.reached[0].params["notifications"] == {"toolsListChanged": True, "taskIds": ["t-1"]}
    assert json.loads(onward.reached[0].body)["params"]["notifications"]["taskIds"] == ["t-1"]
    text = b"".join([chunk async for chunk in answer.body])  # type: ignore[union-attr]
    said = [json.loads(line[6:]) for line in text.splitlines() if line.startswith(b"data: ")]
    assert said[0]["params"]["notifications"]["taskIds"] == [mine]
    assert said[1]["params"] == {"taskId": mine, "status": "completed"}
    assert len(said) == 2


async def test_a_task_that_comes_in_a_stream_is_known_too() -> None:
    progress = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": 1}}
    stream = Stream(sse(progress), sse({"jsonrpc": "2.0", "id": 1, "result": WORKING}))
    item = call("tools/call", {"name": "dig", "_meta": ABLE})
    answer = await Tasks(IDS)(item, Onward(Reply(200, [], stream)))
    text = b"".join([chunk async for chunk in answer.body])  # type: ignore[union-attr]
    assert text.startswith(sse(progress))
    task = IDS.read(json.loads(text.split(b"data: ")[2])["result"]["taskId"], ALICE)
    assert task == Task("one", "dig", "t-1")


async def test_without_tasks_a_call_and_its_answer_keep_their_bytes() -> None:
    item, answer = call("tools/call", {"name": "dig"}), reply(WORKING)
    onward = Onward(answer)
    whole = answer.body
    assert (await Tasks(IDS)(item, onward)).body is whole
    assert onward.reached == [item]


NONE = [
    b"",
    b"[]",
    b'{"result":[{"taskId":"x"}]}',
    b'{"result":{"taskId":5}}',
    b'{"result":{"taskId":"x"',
    b'{"result":{"other":{"taskId":"x"}}}',
    b'\xff"taskId"',
]


@pytest.mark.parametrize("raw", NONE)
def test_what_holds_no_task_keeps_its_bytes(raw: bytes) -> None:
    assert rewritten(raw, lambda own: "new") is raw
