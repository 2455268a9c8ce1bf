"""What a server wants to know in mid-call, asked of a legacy client. MCP-06, AUTHZ-08"""

import asyncio
from typing import Any

import pytest
from tests.upstreams.bridge.to_modern.conftest import Node
from tests.upstreams.bridge.to_modern.support import ADA, FORM, Client, Events, asks, error, note, text, until
from tests.upstreams.transports.http.support import BOB

from mantlet.core.call import Call, Reply
from mantlet.core.refusal import UpstreamUnavailable
from mantlet.wire.event_stream import HEADERS

STATE = "st\u00e4te \\/ ="


def asking(node: Node, rounds: int = 1, **requests: Any) -> None:
    """A tool that asks `rounds` times and then says what it was told."""

    async def tool(call: Call) -> Reply:
        state = call.params.get("requestState", "")
        if state.count("#") < rounds:
            return asks(call, state + "#" + STATE, **(requests or {"k": FORM}))
        answers = call.params["inputResponses"]
        return text(call, f"{sorted(answers)} {answers[min(answers)]}")

    node.server.on["tools/call"] = tool


async def test_a_question_goes_to_the_client_and_its_answer_to_the_server(node: Node) -> None:
    asking(node)
    client = await node.client()
    params = {"name": "x", "arguments": {"a": 1.0}, "_meta": {"progressToken": 3}}
    events = Events(await client.send("tools/call", params, id=5))
    asked = await events.next()
    assert (asked["method"], asked["params"]) == (FORM["method"], FORM["params"])
    assert await client.answer(asked["id"], ADA) == 202
    answer = await events.next()
    assert answer["id"] == 5
    assert answer["result"]["content"][0]["text"] == f"['k'] {ADA}"
    first, retry = node.server.of("tools/call")
    assert first.id != retry.id
    assert retry.params["requestState"] == "#" + STATE
    assert retry.params["inputResponses"] == {"k": ADA}
    assert retry.params["arguments"] == {"a": 1.0}
    assert b'"arguments":' + first.body.partition(b'"arguments":')[2].partition(b"}")[0] in retry.body
    assert retry.params["_meta"] == first.params["_meta"]
    assert await events.rest() == []
    await until(node.nothing_left)


async def test_several_questions_are_asked_at_once_and_answered_in_any_order(node: Node) -> None:
    asking(node, a=FORM, b={"method": "sampling/createMessage", "params": {"messages": []}}, c={"method": "roots/list"})
    client = await node.client()
    events = Events(await client.send("tools/call", {"name": "x"}))
    asked = [await events.next() for _ in range(3)]
    assert len({question["id"] for question in asked}) == 3
    for question in reversed(asked):
        await client.answer(question["id"], {"for": question["method"]})
    await events.next()
    responses = node.server.calls[-1].params["inputResponses"]
    assert {key: value["for"] for key, value in responses.items()} == {
        "a": "elicitation/create",
        "b": "sampling/createMessage",
        "c": "roots/list",
    }


@pytest.mark.parametrize(
    ("method", "params"), [("prompts/get", {"name": "p", "arguments": {"a": "b"}}), ("resources/read", {"uri": "x:1"})]
)
async def test_prompts_and_resources_may_ask_too(node: Node, method: str, params: dict[str, Any]) -> None:
    async def asks_first(call: Call) -> Reply:
        return text(call, "done") if "inputResponses" in call.params else asks(call, k=FORM)

    node.server.on[method] = asks_first
    client = await node.client()
    events = Events(await client.send(method, params))
    await client.answer((await events.next())["id"], ADA)
    assert "result" in await events.next()
    first, retry = node.server.of(method)
    assert retry.arrival.headers.get(b"mcp-name") == first.arrival.headers.get(b"mcp-name")
    assert {name: retry.params[name] for name in params} == params


async def test_rounds_follow_each_other(node: Node) -> None:
    asking(node, rounds=3)
    client = await node.client()
    events = Events(await client.send("tools/call", {"name": "x"}))
    for _ in range(3):
        await client.answer((await events.next())["id"], ADA)
    assert "result" in await events.next()
    assert len(node.server.of("tools/call")) == 4


async def test_a_server_that_never_has_enough_is_left(node: Node) -> None:
    asking(node, rounds=1_000)
    client = await node.client()
    events = Events(await client.send("tools/call", {"name": "x"}))
    for _ in range(10):
        await client.answer((await events.next())["id"], ADA)
    answer = await events.next()
    assert "too often" in answer["error"]["message"]
    assert len(node.server.of("tools/call")) == 11


async def test_a_server_that_only_wants_to_be_called_again_is_called_again(node: Node) -> None:
    async def tool(call: Call) -> Reply:
        state = call.params.get("requestState", "")
        assert "inputResponses" not in call.params
        return asks(call, state + "#") if len(state) < 2 else text(call, "done")

    node.server.on["tools/call"] = tool
    client = await node.client()
    said = await Events(await client.send("tools/call", {"name": "x"})).rest()
    assert said[-1]["result"]["content"][0]["text"] == "done"


async def test_a_question_on_a_stream_and_an_answer_by_another_process(node: Node) -> None:
    async def tool(call: Call) -> Reply:
        stream = node.server.stream()
        stream.push(note("notifications/progress", progressToken=7, progress=1))
        reply = text(call, "done") if "inputResponses" in call.params else asks(call, k=FORM)
        assert isinstance(reply.body, bytes)
        stream.end(reply.body)
        return Reply(200, list(HEADERS), stream)

    node.server.on["tools/call"] = tool
    here, there = node.process(), node.process()
    client = await node.client(here)
    events = Events(await client.send("tools/call", {"name": "x"}, door=here))
    assert (await events.next())["method"] == "notifications/progress"
    asked = await events.next()
    assert await client.answer(asked["id"], ADA, door=there) == 202
    assert (await events.next())["method"] == "notifications/progress"
    assert (await events.next())["result"]["content"][0]["text"] == "done"


@pytest.mark.parametrize("kind", ["decline", "cancel"])
async def test_a_person_who_declines_is_an_answer_like_any_other(node: Node, kind: str) -> None:
    asking(node)
    client = await node.client()
    events = Events(await client.send("tools/call", {"name": "x"}))
    await client.answer((await events.next())["id"], {"action": kind})
    await events.next()
    assert node.server.calls[-1].params["inputResponses"] == {"k": {"action": kind}}


async def test_a_client_s_error_is_the_call_s_and_ends_the_other_questions(node: Node) -> None:
    """client/sampling, "Error Handling": nobody need tell the server, for it does not wait."""
    asking(node, a=FORM, b=FORM)
    client = await node.client()
    events = Events(await client.send("tools/call", {"name": "x"}, id=4))
    asked = [await events.next(), await events.next()]
    refusal = {"code": -1, "message": "User rejected", "data": {"why": 1}}
    await client.answer(asked[0]["id"], refusal, key="error")
    withdrawn = await events.next()
    assert withdrawn["method"] == "notifications/cancelled"
    assert withdrawn["params"]["requestId"] == asked[1]["id"]
    assert await events.next() == {"jsonrpc": "2.0", "id": 4, "error": refusal}
    assert len(node.server.of("tools/call")) == 1
    await until(node.nothing_left)


@pytest.mark.parametrize("value", [None, [], "x"])
async def test_a_result_that_is_none_is_an_error(node: Node, value: Any) -> None:
    asking(node)
    client = await node.client()
    events = Events(await client.send("tools/call", {"name": "x"}))
    await client.answer((await events.next())["id"], value)
    assert (await events.next())["error"]["code"] == -32602


async def test_a_client_that_did_not_say_it_can_is_not_asked(node: Node) -> None:
    """basic/index: -32021 names what is missing."""
    asking(node)
    client = await node.client(capabilities={"sampling": {}})
    (answer,) = await Events(await client.send("tools/call", {"name": "x"}, id=4)).rest()
    assert (answer["id"], answer["error"]["code"]) == (4, -32021)
    assert answer["error"]["data"] == {"requiredCapabilities": {"elicitation": {"form": {}}}}


async def test_a_client_that_never_answers_is_waited_for_no_longer_than_configured(node: Node) -> None:
    asking(node)
    client = await node.client(node.process(input_timeout=0.01))
    events = Events(await client.send("tools/call", {"name": "x"}))
    asked = await events.next()
    assert (await events.next())["params"]["requestId"] == asked["id"]
    assert (await events.next())["error"]["data"]["reason"] == "deadline_exceeded"
    await until(node.nothing_left)


async def test_an_answer_counts_once_and_only_for_its_own_session(node: Node) -> None:
    """AUTHZ-08"""
    asking(node, rounds=2)
    door = node.process()
    client = await node.client(door)
    stranger, same_person = await node.client(door, caller=BOB), await node.client(door)
    events = Events(await client.send("tools/call", {"name": "x"}))
    first = (await events.next())["id"]
    for other in (stranger, same_person):
        assert await other.answer(first, {"action": "accept", "content": {"name": "Eve"}}) == 202
    await client.answer(first, ADA)
    second = (await events.next())["id"]
    await client.answer(first, {"action": "accept", "content": {"name": "Late"}})
    for unknown in ("house0.unknown", "nowhere.x", "", 7, "a.b.c", None, "house0." + "x" * 100):
        assert await client.answer(unknown, ADA) == 202
    assert door.counts()["held"] == 1
    await client.answer(second, ADA)
    assert "Ada" in (await events.next())["result"]["content"][0]["text"]
    assert [call.params["inputResponses"]["k"] for call in node.server.of("tools/call")[1:]] == [ADA, ADA]


async def test_ids_of_questions_are_never_the_same_and_cannot_be_guessed(node: Node) -> None:
    asking(node)
    client = await node.client()
    seen = set()
    for _ in range(10):
        events = Events(await client.send("tools/call", {"name": "x"}))
        asked = await events.next()
        seen.add(asked["id"])
        assert len(asked["id"].partition(".")[2]) >= 22  # 128 bits
        await events.close()
    assert len(seen) == 10
    await until(node.nothing_left)


async def test_calls_that_wait_are_bounded_in_all_and_for_each_caller(node: Node) -> None:
    asking(node)
    door = node.process(max_held=3, max_held_per_caller=2)
    client, other = await node.client(door), await node.client(door, caller=BOB)
    held = [Events(await client.send("tools/call", {"name": "x"})) for _ in range(2)]
    for events in held:
        await events.next()
    (refused,) = await Events(await client.send("tools/call", {"name": "x"})).rest()
    assert refused["error"]["data"]["reason"] == "overloaded"
    third = Events(await other.send("tools/call", {"name": "x"}))
    await third.next()
    (refused,) = await Events(await other.send("tools/call", {"name": "x"})).rest()
    assert refused["error"]["data"]["reason"] == "overloaded"
    for events in [*held, third]:
        await events.close()
    await until(node.nothing_left)


async def test_a_server_that_dies_between_rounds_is_an_error(node: Node) -> None:
    async def dying(call: Call) -> Reply:
        if "inputResponses" in call.params:
            raise UpstreamUnavailable(why="gone")
        return asks(call, k=FORM)

    node.server.on["tools/call"] = dying
    client = await node.client()
    events = Events(await client.send("tools/call", {"name": "x"}))
    await client.answer((await events.next())["id"], ADA)
    assert (await events.next())["error"]["data"]["reason"] == "upstream_unavailable"
    await until(node.nothing_left)


async def test_the_server_s_error_after_a_round_is_the_call_s(node: Node) -> None:
    async def strict(call: Call) -> Reply:
        if "inputResponses" in call.params:
            return error(call, -32602, "bad state")
        return asks(call, k=FORM)

    node.server.on["tools/call"] = strict
    client = await node.client()
    events = Events(await client.send("tools/call", {"name": "x"}, id="c"))
    await client.answer((await events.next())["id"], ADA)
    assert await events.next() == {"jsonrpc": "2.0", "id": "c", "error": {"code": -32602, "message": "bad state"}}


async def test_a_call_that_waits_for_input_is_cancelled(node: Node) -> None:
    asking(node)
    client = await node.client()
    events = Events(await client.send("tools/call", {"name": "x"}, id=7))
    asked = await events.next()
    await client.tell("notifications/cancelled", {"requestId": 7})
    assert (await events.next())["params"]["requestId"] == asked["id"]
    assert (await events.next())["error"]["code"] == 4499
    await until(node.nothing_left)


async def test_a_client_that_leaves_is_waited_for_no_longer(node: Node) -> None:
    asking(node)
    client = await node.client()
    for number in range(200):
        events = Events(await client.send("tools/call", {"name": "x"}))
        if number % 2:
            await events.next()
        await events.close()
    await until(node.nothing_left)


async def test_many_clients_are_asked_at_once_and_each_has_its_own_answer(node: Node) -> None:
    asking(node)
    doors = [node.process(max_held_per_caller=100) for _ in range(3)]

    async def one(number: int) -> str:
        client = Client(*doors)
        client.turn = number
        await client.open()
        events = Events(await client.send("tools/call", {"name": "x"}))
        await client.answer((await events.next())["id"], {"action": "accept", "n": number})
        return str((await events.next())["result"]["content"][0]["text"])

    said = await asyncio.gather(*(one(number) for number in range(100)))
    assert [f"'n': {number}}}" in answer for number, answer in enumerate(said)] == [True] * 100
    await until(node.nothing_left)
