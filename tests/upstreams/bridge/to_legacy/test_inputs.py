"""What a server asks in the middle of a call becomes input that the client is asked for, and the call goes on."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from tests.upstreams.bridge.to_legacy.conftest import Door, MakeDoor
from tests.upstreams.bridge.to_legacy.support import ACCEPTED, ALL, FORM, Answering, Client, Legacy, each
from tests.upstreams.transports.http.support import ALICE, BOB

from mantlet.core.refusal import InvalidParams, Overloaded, Refusal
from mantlet.wire.mcp.bridge import to_legacy_state as states

URL = {"mode": "url", "message": "Go.", "url": "https://example.com/x", "elicitationId": "e"}
PAGE = {key: value for key, value in URL.items() if key != "elicitationId"}
META = {"a": 2}
NAMED = {**FORM, "mode": "form", "x": 1}
VISITED = {"action": "accept"}
DECLINED = {"action": "decline"}
SAMPLE = TOLD = {"messages": [], "maxTokens": 5}
SAMPLED = {"role": "assistant", "content": {"type": "text", "text": "Paris"}, "model": "m"}
ROOTS = {"roots": [{"uri": "file:///x"}]}


async def ask(at: Answering) -> Any:
    return {"content": [], "answers": [await at.ask("elicitation/create", FORM)]}


@pytest.fixture(autouse=True)
def _tools(server: Legacy) -> None:
    server.tools["ask"] = ask


@pytest.fixture
def client(door: Door) -> Client:
    return door.client(capabilities=ALL)


def asked_of(result: Any) -> tuple[str, dict[str, Any]]:
    """State and requests of an interim result."""
    assert result["resultType"] == "input_required", result
    return result["requestState"], result["inputRequests"]


@pytest.mark.parametrize("on_stream", [True, False])
@pytest.mark.parametrize(
    ("method", "theirs", "ours", "response"),
    [
        ("elicitation/create", FORM, FORM, ACCEPTED),
        ("elicitation/create", {**NAMED, "task": {}}, NAMED, DECLINED),
        ("elicitation/create", URL, PAGE, VISITED),
        ("sampling/createMessage", {**TOLD, "_meta": {"progressToken": 1, **META}}, {**TOLD, "_meta": META}, SAMPLED),
        ("roots/list", None, None, ROOTS),
    ],
)  # fmt: skip
async def test_a_question_is_asked_and_its_answer_brought(
    client: Client, server: Legacy, method: str, theirs: Any, ours: Any, response: Any, on_stream: bool
) -> None:
    async def asking(at: Answering) -> Any:
        return {"content": [], "answer": await at.ask(method, theirs, on_stream=on_stream)}

    server.tools["asking"] = asking
    state, requests = asked_of(await client.call("asking", {"q": 1}))
    ((key, request),) = requests.items()
    assert request == ({"method": method} if ours is None else {"method": method, "params": ours})
    assert "ttlMs" not in request
    params = {"requestState": state, "inputResponses": {key: {**response, "resultType": "complete"}}}
    result = await client.call("asking", {"q": 1}, params=params)
    assert result["answer"] == response
    assert result["resultType"] == "complete"
    assert len(server.of("tools/call")) == 1


async def test_questions_arrive_in_rounds_and_the_last_answer_has_the_last_id(client: Client, server: Legacy) -> None:
    async def rounds(at: Answering) -> Any:
        said = []
        for number in range(3):
            at.notify("notifications/progress", progressToken=at.token, progress=number)
            said.append((await at.ask("elicitation/create", {**FORM, "message": str(number)}))["content"]["n"])
        return {"content": [], "said": said}

    server.tools["rounds"] = rounds
    params: dict[str, Any] = {"name": "rounds", "arguments": {}}
    heard = []
    for number in range(4):
        messages = await client.messages("tools/call", params, id=f"leg-{number}", meta={"progressToken": f"t{number}"})
        heard += [(m["params"]["progressToken"], m["params"]["progress"]) for m in messages[:-1]]
        assert messages[-1]["id"] == f"leg-{number}"
        result = messages[-1]["result"]
        if result["resultType"] == "complete":
            break
        state, requests = asked_of(result)
        ((key, request),) = requests.items()
        answer = {"action": "accept", "content": {"n": request["params"]["message"]}}
        params = {**params, "requestState": state, "inputResponses": {key: answer}}
    assert result["said"] == ["0", "1", "2"]
    assert heard == [("t0", 0), ("t1", 1), ("t2", 2)]


async def test_progress_while_nobody_is_there_comes_with_the_retry_under_its_token(
    client: Client, server: Legacy
) -> None:
    async def busy(at: Answering) -> Any:
        asking = asyncio.ensure_future(at.ask("elicitation/create", FORM))
        await server.event("waits").wait()
        for number in (1, 2):
            at.notify("notifications/progress", progressToken=at.token, progress=number)
        server.event("busy").set()
        return {"content": [], "said": await asking}

    server.tools["busy"] = busy
    state, requests = asked_of(await client.call("busy", meta={"progressToken": "first"}))
    server.event("waits").set()
    await server.seen("busy")
    responses = dict.fromkeys(requests, ACCEPTED)
    params = {"name": "busy", "arguments": {}, "requestState": state, "inputResponses": responses}
    messages = await client.messages("tools/call", params, meta={"progressToken": "second"})
    assert [(m["params"]["progressToken"], m["params"]["progress"]) for m in messages[:-1]] == [
        ("second", 1),
        ("second", 2),
    ]


async def test_two_questions_at_once_are_asked_together_and_what_is_left_out_again(
    client: Client, server: Legacy
) -> None:
    async def both(at: Answering) -> Any:
        answers = [asyncio.ensure_future(at.ask("elicitation/create", {**FORM, "message": m})) for m in "ab"]
        return {"content": [], "said": [(await answer)["content"]["x"] for answer in answers]}

    server.tools["both"] = both
    state, requests = asked_of(await client.call("both"))
    if len(requests) == 1:  # the second came in another packet: it is asked for in the next round
        state, requests = asked_of(await client.retry("both", state, {}))
    (first, second) = requests
    responses = {first: {"action": "accept", "content": {"x": 1}}, "never asked": {"what": 1}}
    state, requests = asked_of(await client.retry("both", state, responses))
    assert list(requests) == [second]
    result = await client.retry("both", state, {second: {"action": "accept", "content": {"x": 2}}})
    assert result["said"] == [1, 2]


@pytest.mark.parametrize(
    ("declared", "method", "params", "code", "needed"),
    [
        ({}, "elicitation/create", FORM, -32601, {"elicitation": {"form": {}}}),
        ({"elicitation": {}}, "elicitation/create", URL, -32602, {"elicitation": {"url": {}}}),
        ({"elicitation": {"url": {}}}, "elicitation/create", FORM, -32602, {"elicitation": {"form": {}}}),
        ({"roots": {}}, "sampling/createMessage", SAMPLE, -32601, {"sampling": {}}),
        ({"sampling": {}}, "sampling/createMessage", {**SAMPLE, "tools": []}, -32602, {"sampling": {"tools": {}}}),
        ({"sampling": {}}, "roots/list", None, -32601, {"roots": {}}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("how", ["error", "tool error", "fine"])
async def test_what_the_client_did_not_declare_is_not_asked(
    door: Door, server: Legacy, declared: Any, method: str, params: Any, code: int, needed: Any, how: str
) -> None:
    async def asking(at: Answering) -> Any:
        error = await at.ask(method, params)
        if how == "error":
            return {"error": {"code": -32603, "message": error["message"]}}
        return {"content": [], "isError": how == "tool error", "code": error["code"]}

    server.tools["asking"] = asking
    reply = await door.client(capabilities=declared).send("tools/call", {"name": "asking"})
    assert isinstance(reply.body, bytes)
    answer = json.loads(reply.body)
    if how == "fine":
        assert answer["result"]["code"] == code
    else:
        assert reply.status == 400
        assert answer["error"]["code"] == -32021
        assert answer["error"]["data"] == {"requiredCapabilities": needed}


async def test_nothing_is_asked_during_what_cannot_wait(client: Client, server: Legacy) -> None:
    async def listed(at: Answering) -> Any:
        return {"tools": [], "refused": (await at.ask("roots/list"))["code"]}

    server.tools["tools/list"] = listed
    assert (await client.ask("tools/list"))["result"]["refused"] == -32601


@pytest.mark.parametrize("on_stream", [True, False])
async def test_pings_and_strange_questions_are_answered_by_the_node(
    client: Client, server: Legacy, on_stream: bool
) -> None:
    async def odd(at: Answering) -> Any:
        return {"content": [], "said": [await at.ask(m, on_stream=on_stream) for m in ("ping", "x/y")]}

    server.tools["odd"] = odd
    ping, strange = (await client.call("odd"))["said"]
    assert ping == {}
    assert strange["code"] == -32601


async def test_a_ping_is_answered_while_the_call_waits_for_input(client: Client, server: Legacy) -> None:
    async def patient(at: Answering) -> Any:
        asking = asyncio.ensure_future(at.ask("elicitation/create", FORM))
        await server.event("waits").wait()
        await at.ask("ping")
        server.event("pinged").set()
        return {"content": [], "said": await asking}

    server.tools["patient"] = patient
    state, requests = asked_of(await client.call("patient"))
    server.event("waits").set()
    await server.seen("pinged")
    assert (await client.retry("patient", state, dict.fromkeys(requests, ACCEPTED)))["said"] == ACCEPTED


async def test_a_question_outside_any_calls_stream_with_two_calls_is_nobodys(client: Client, server: Legacy) -> None:
    both = asyncio.Barrier(2)

    async def asking(at: Answering) -> Any:
        await both.wait()
        answer = await at.ask("roots/list", on_stream=False) if at.arguments["n"] else None
        await both.wait()
        return {"content": [], "answer": answer}

    server.tools["asking"] = asking
    results = await asyncio.gather(*(client.call("asking", {"n": n}) for n in (0, 1)))
    assert results[1]["answer"]["code"] == -32603


async def test_a_question_that_the_server_takes_back_is_not_asked(client: Client, server: Legacy) -> None:
    async def hasty(at: Answering) -> Any:
        asking = asyncio.ensure_future(at.ask("elicitation/create", FORM))
        await asyncio.sleep(0)
        at.notify("notifications/cancelled", requestId=next(iter(server.asked))[1])
        asking.cancel()
        return {"content": [], "done": True}

    server.tools["hasty"] = hasty
    result = await client.call("hasty")
    if result["resultType"] == "input_required":  # it was asked already: the answer is not waited for
        result = await client.retry("hasty", result["requestState"], dict.fromkeys(result["inputRequests"], ACCEPTED))
    assert result["done"]


async def test_prompts_and_resources_may_ask_too(client: Client, server: Legacy) -> None:
    async def got(at: Answering) -> Any:
        return {"messages": [], "contents": [], "said": await at.ask("elicitation/create", FORM)}

    server.tools["prompts/get"] = server.tools["resources/read"] = got
    for method, params in (("prompts/get", {"name": "p"}), ("resources/read", {"uri": "x://y"})):
        first = (await client.ask(method, params))["result"]
        state, requests = asked_of(first)
        assert "ttlMs" not in first
        again = {**params, "requestState": state, "inputResponses": dict.fromkeys(requests, ACCEPTED)}
        assert (await client.ask(method, again))["result"]["said"] == ACCEPTED


# --- requestState


async def held(client: Client) -> tuple[str, dict[str, Any]]:
    state, requests = asked_of(await client.call("ask", {"a": 1}))
    return state, dict.fromkeys(requests, ACCEPTED)


async def refused(client: Client, state: Any, responses: Any, **changed: Any) -> str:
    params = {"name": "ask", "arguments": {"a": 1}, "requestState": state, "inputResponses": responses, **changed}
    with pytest.raises(InvalidParams) as raised:
        await client.send(changed.pop("method", "tools/call"), params)
    return raised.value.detail


async def test_a_state_is_good_once(client: Client) -> None:
    """MCP-06"""
    state, responses = await held(client)
    assert (await client.call("ask", {"a": 1}, params={"requestState": state, "inputResponses": responses}))["answers"]
    assert "used already" in await refused(client, state, responses)


async def test_of_two_retries_at_once_one_is_refused(client: Client) -> None:
    """MCP-06"""
    state, responses = await held(client)
    params = {"requestState": state, "inputResponses": responses}
    both = await asyncio.gather(
        *(client.call("ask", {"a": 1}, params=params) for _ in range(2)), return_exceptions=True
    )
    assert sorted(type(one).__name__ for one in both) == ["InvalidParams", "dict"]


@pytest.mark.parametrize("state", ["", "x", "AAAA", 7, None, ["a"], "x" * 10_000])
async def test_a_forged_state_is_refused(client: Client, state: Any) -> None:
    """MCP-06"""
    await refused(client, state, {})


async def test_a_tampered_state_is_refused(client: Client) -> None:
    """MCP-06"""
    state, responses = await held(client)
    for place in range(0, len(state), 7):
        other = "A" if state[place] != "A" else "B"
        await refused(client, state[:place] + other + state[place + 1 :], responses)
    assert (await client.call("ask", {"a": 1}, params={"requestState": state, "inputResponses": responses}))["answers"]


async def test_a_state_is_only_for_its_caller_rights_server_and_request(
    client: Client, door: Door, open_door: MakeDoor
) -> None:
    """MCP-06, AUTHZ-08"""
    state, responses = await held(client)
    admin = replace(ALICE, roles=frozenset({"admin"}))
    for other in (door.client(caller=BOB, capabilities=ALL), door.client(caller=admin, capabilities=ALL)):
        await refused(other, state, responses)
    await refused(client, state, responses, arguments={"a": 2})
    await refused(client, state, responses, name="other")
    await refused(client, state, responses, more=1)
    await refused(client, state, responses, method="prompts/get")
    elsewhere = client.make("tools/call", {"name": "ask", "arguments": {"a": 1}, "requestState": state})
    elsewhere.server = "another"
    with pytest.raises(InvalidParams):
        await door.crossing.send(elsewhere)
    assert (await client.call("ask", {"a": 1}, params={"requestState": state, "inputResponses": responses}))["answers"]


async def test_an_expired_state_is_refused(client: Client, door: Door) -> None:
    """MCP-06"""
    call = client.make("tools/call", {"name": "ask", "arguments": {"a": 1}})
    context = states.context(call.caller, call.server, call.method, call.params)
    state = door.sealer.seal(states.encode(states.State(1.0, "", "")), context)
    assert "its time is over" in await refused(client, state, {})


async def test_responses_that_are_none_leave_the_call_waiting(client: Client) -> None:
    state, responses = await held(client)
    (key,) = responses
    for bad in ([], "x", {key: 1}, {key: {"action": "perhaps"}}, {key: {"action": "accept", "content": [1]}}):
        await refused(client, state, bad)
    assert (await client.call("ask", {"a": 1}, params={"requestState": state, "inputResponses": responses}))["answers"]


async def test_responses_without_a_state_are_refused(client: Client) -> None:
    with pytest.raises(InvalidParams):
        await client.call("ask", params={"inputResponses": {}})


# --- bounds and ends


async def test_held_calls_are_bounded(open_door: MakeDoor, server: Legacy) -> None:
    door = open_door(max_held=3, max_held_per_caller=2)
    alice, bob = (door.client(caller=caller, capabilities=ALL) for caller in (ALICE, BOB))
    states_ = [await held(alice) for _ in range(2)]
    with pytest.raises(Overloaded):
        await alice.call("ask")
    await server.seen("notifications/cancelled")  # what cannot wait is not left at the server
    await held(bob)
    with pytest.raises(Overloaded):
        await bob.call("ask")
    state, responses = states_[0]
    assert (await alice.call("ask", {"a": 1}, params={"requestState": state, "inputResponses": responses}))["answers"]
    await held(alice)


async def test_held_calls_leave_connections_to_the_server(open_door: MakeDoor, server: Legacy) -> None:
    """RES-03: however many wait for input, what is not held is served, and what is held can be answered."""

    async def echo(at: Answering) -> Any:
        return {"content": [], "echo": True}

    server.tools["echo"] = echo
    door = open_door(connections=4)
    waiting = [(client, *await held(client)) for client in (door.client(capabilities=ALL) for _ in range(2))]
    assert door.inner.room.taken == 3  # and the session's own stream, on which it may be asked something
    with pytest.raises(Overloaded, match="wait for input"):
        await door.client(capabilities=ALL).call("ask")
    assert (await door.client().call("echo"))["echo"]
    for client, state, responses in waiting:
        params = {"requestState": state, "inputResponses": responses}
        assert (await client.call("ask", {"a": 1}, params=params))["answers"]
    assert len(door.crossing._held) == 0
    assert door.inner.room.taken == 1


async def test_input_that_does_not_come_ends_the_call(open_door: MakeDoor, server: Legacy) -> None:
    door = open_door(input_timeout=0.1)
    client = door.client(capabilities=ALL)
    state, responses = await held(client)
    await server.seen("notifications/cancelled")
    await refused(client, state, responses)
    assert (door.places.held, len(door.crossing._held)) == (0, 0)


async def test_a_server_that_dies_while_the_call_waits_is_told_of_at_once(client: Client, server: Legacy) -> None:
    async def dying(at: Answering) -> Any:
        asking = asyncio.ensure_future(at.ask("elicitation/create", FORM))
        await server.event("die").wait()
        at.writer.transport.abort()
        asking.cancel()

    server.tools["dying"] = dying
    state, requests = asked_of(await client.call("dying"))
    server.event("die").set()
    with pytest.raises(Refusal) as refused_:
        await client.retry("dying", state, dict.fromkeys(requests, ACCEPTED))
    assert refused_.value.reason == "bad_upstream"


async def test_an_answer_that_did_not_wait_for_the_input_is_given_to_the_retry(client: Client, server: Legacy) -> None:
    async def hasty(at: Answering) -> Any:
        asking = asyncio.ensure_future(at.ask("elicitation/create", FORM))
        await server.event("go").wait()
        asking.cancel()
        return {"content": [], "without": True}

    server.tools["hasty"] = hasty
    state, requests = asked_of(await client.call("hasty"))
    server.event("go").set()
    await server.seen("tools/call")
    assert (await client.retry("hasty", state, dict.fromkeys(requests, ACCEPTED)))["without"]


async def test_a_retry_that_leaves_cancels_the_call(client: Client, server: Legacy, door: Door) -> None:
    """MCP-07"""

    async def long(at: Answering) -> Any:
        await at.ask("elicitation/create", FORM)
        server.event("long").set()
        await asyncio.get_running_loop().create_future()

    server.tools["long"] = long
    state, requests = asked_of(await client.call("long"))
    task = asyncio.ensure_future(client.retry("long", state, dict.fromkeys(requests, ACCEPTED)))
    await server.seen("long")
    task.cancel()
    await asyncio.wait([task])
    await server.seen("notifications/cancelled")
    await door.settle()
    assert server.gone["long"] == 1


async def test_closing_gives_up_what_waits(open_door: MakeDoor, server: Legacy) -> None:
    door = open_door()
    for _ in range(5):
        await held(door.client(capabilities=ALL))
    await door.close()
    assert (door.places.held, server.live) == (0, set())


async def test_asking_works_where_answers_are_whole(client: Client, server: Legacy) -> None:
    """The server answers with JSON, so the question can only come on the session's own stream."""
    server.is_json = True

    async def asking(at: Answering) -> Any:
        return {"content": [], "answer": await at.ask("roots/list", on_stream=False)}

    server.tools["asking"] = asking
    state, requests = asked_of(await client.call("asking"))
    assert (await client.retry("asking", state, dict.fromkeys(requests, ROOTS)))["answer"] == ROOTS


# --- -32042


async def must_visit(at: Answering) -> Any:
    if len(at.server.of("tools/call")) % 2:
        pages = [URL, {**URL, "url": "https://example.com/y"}]
        return {"error": {"code": -32042, "message": "Go first.", "data": {"elicitations": pages}}}
    return {"content": [], "been": True}


async def test_pages_to_be_visited_first_are_input_and_the_request_is_sent_again(
    client: Client, server: Legacy
) -> None:
    server.tools["must"] = must_visit
    state, requests = asked_of(await client.call("must"))
    assert [request["params"]["url"][-1] for request in requests.values()] == ["x", "y"]
    assert all(set(request["params"]) == {"mode", "message", "url"} for request in requests.values())
    assert (await client.retry("must", state, dict.fromkeys(requests, VISITED)))["been"]


async def test_who_declines_to_go_there_gets_an_error(client: Client, server: Legacy) -> None:
    server.tools["must"] = must_visit
    state, requests = asked_of(await client.call("must"))
    assert (await client.retry("must", state, dict.fromkeys(requests, DECLINED)))["code"] == -32603
    assert len(server.of("tools/call")) == 1


@pytest.mark.parametrize("declared", [{}, {"elicitation": {}}])
async def test_who_cannot_be_sent_anywhere_is_told_what_is_missing(door: Door, server: Legacy, declared: Any) -> None:
    server.tools["must"] = must_visit
    error = await door.client(capabilities=declared).call("must")
    assert (error["code"], error["data"]) == (-32021, {"requiredCapabilities": {"elicitation": {"url": {}}}})


async def test_interim_results_come_on_a_stream_too(client: Client, server: Legacy) -> None:
    async def talk(at: Answering) -> Any:
        at.notify("notifications/x")
        return await ask(at)

    server.tools["talk"] = talk
    reply = await client.send("tools/call", {"name": "talk", "arguments": {}})
    messages = [message async for message in each(reply)]
    state, requests = asked_of(messages[-1]["result"])
    assert messages[0]["method"] == "notifications/x"
    assert (await client.retry("talk", state, dict.fromkeys(requests, ACCEPTED)))["answers"] == [ACCEPTED]
