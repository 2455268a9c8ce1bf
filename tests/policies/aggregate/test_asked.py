"""MCP-05, MCP-07: what servers ask a legacy client, under ids that lead back."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from tests.policies.aggregate.world import House, World, tools
from tests.policies.support import ALICE, BOB, Stream, call, sse

from mantlet.core import refusal as r
from mantlet.core.call import Call, Reply
from mantlet.policies.aggregate import asked
from mantlet.policies.aggregate.session import Session

CAN = {"elicitation": {}, "roots": {}}


def ask(method: str, params: dict[str, Any] | None = None, **options: Any) -> Call:
    return call(method, params, server="", era="legacy", **options)


def session(secret: bytes = b"s" * 16, **capabilities: Any) -> Session:
    return Session("text", "key", secret, 10**10, "2025-11-25", capabilities, {}, ALICE.key, "")


async def begun(policy: Any, world: World, *, can: Any = CAN, version: str = "2025-11-25", **options: Any) -> str:
    params = {"protocolVersion": version, "capabilities": can, "clientInfo": {"name": "c", "version": "1"}}
    reply = await policy(ask("initialize", params, **options), world)
    return str(reply.header(b"mcp-session-id").decode())


def data_of(chunks: bytes) -> list[Any]:
    return [json.loads(line[6:]) for line in chunks.splitlines() if line.startswith(b"data: ")]


async def whole(reply: Reply) -> bytes:
    assert not isinstance(reply.body, bytes)
    return b"".join([chunk async for chunk in reply.body])


def asking(raw_id: Any, method: str = "elicitation/create", **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": raw_id, "method": method, "params": {"message": "?", **params}}


@pytest.mark.parametrize("own", [b"1", b'"1"', b'"a~b~c"', '"ü"'.encode(), b"-5"])
@pytest.mark.parametrize("use", ["request", "progress", "event"])
def test_a_word_reads_back_in_its_own_session_for_its_own_use(own: bytes, use: Any) -> None:
    mine = session()
    word = asked.shown(mine, "one~two", use, own)
    assert asked.read(mine, use, word) == ("one~two", own)
    assert asked.shown(mine, "one~two", use, own) == word
    others = {"request", "progress", "event"} - {use}
    assert all(asked.read(mine, other, word) is None for other in others)  # type: ignore[arg-type]
    assert asked.read(session(b"t" * 16), use, word) is None


def test_made_up_words_say_nothing() -> None:
    mine = session()
    word = asked.shown(mine, "one", "request", b"1")
    server, own, code = word.split("~")
    forged = [f"two~{own}~{code}", f"{server}~Mg~{code}", f"{server}~{own}~", f"{server}~{own}~{code[:-1]}", word + "=",
              f"~{word}", f"{word}~{code}", "", "~", "~~", "é~é~é", "a" * 10_000, 5, None, {}]  # fmt: skip
    assert [asked.read(mine, "request", text) for text in forged] == [None] * len(forged)


def test_only_what_bears_an_id_is_written_anew() -> None:
    mine = session(elicitation={})
    for message in (
        {"jsonrpc": "2.0", "id": 1, "result": {"method": "x"}},
        {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": 1}},
        {"jsonrpc": "2.0", "method": "notifications/cancelled"},
    ):
        data = json.dumps(message).encode()
        assert asked.for_client(mine, "one", data) is data
    for raw in (b'{"method":', b'["method"]', b'{"method":1,"id":2}', b'{"method":"x","id":1.5}'):
        assert asked.for_client(mine, "one", raw) is raw


async def test_equal_ids_of_two_servers_stay_apart_and_answers_find_back_on_any_worker() -> None:
    """MCP-05: three workers; the calls at two of them, the answers at the third."""

    def server(item: Call) -> Any:
        if item.method == "tools/list":
            return {"tools": [{"name": f"ask-{item.server}"}]}
        if item.kind == "response":
            return Reply(202, [])
        return Reply(200, [], Stream(sse(asking(7, _meta={"progressToken": 7})), sse({"id": 1, "result": {}})))

    world, house = World(one=server, two=server), House()
    workers = [house.worker(world) for _ in range(3)]
    mine = await begun(workers[0], world)
    words = []
    for worker, name in ((workers[0], "one"), (workers[1], "two")):
        reply = await worker(ask("tools/call", {"name": f"ask-{name}"}, session=mine, raw_id=b"1"), world)
        words.append(data_of(await whole(reply))[0])
    assert words[0]["id"] != words[1]["id"]
    for word, name in zip(words, ("one", "two"), strict=True):
        for n, who in enumerate((BOB, ALICE)):
            answer = {"jsonrpc": "2.0", "id": word["id"], "result": {"action": "accept", "content": {"x": 1.0}}}
            item = ask("", kind="response", session=mine, raw_id=None, caller=who)
            item = replace(item, message=answer)
            if n == 0:
                with pytest.raises(r.SessionNotFound):
                    await workers[2](item, world)
            else:
                assert (await workers[2](item, world)).status == 202
        sent = world.reached[-1]
        assert (sent.kind, sent.server, json.loads(sent.body)["id"]) == ("response", name, 7)
        assert sent.session == next(c.session for c in world.reached if c.server == name and c.method == "tools/call")
        assert json.loads(sent.body)["result"] == {"action": "accept", "content": {"x": 1.0}}
        token = word["params"]["_meta"]["progressToken"]
        note = ask("notifications/progress", {"progressToken": token, "progress": 1}, kind="notification",
                   session=mine, raw_id=None)  # fmt: skip
        await workers[2](note, world)
        assert (world.reached[-1].server, world.reached[-1].params["progressToken"]) == (name, 7)
    assert len(world.asked("initialize")) == 2


async def test_forged_and_foreign_answers_reach_no_server() -> None:
    """MCP-05, AUTHZ-04"""
    world, house = World(one=tools("x")), House()
    policy = house.worker(world)
    mine, theirs = await begun(policy, world), await begun(policy, world, caller=BOB)
    for who, text in ((ALICE, mine), (BOB, theirs)):
        await policy(ask("tools/list", session=text, caller=who), world)
    word = asked.shown((await policy._legacy.ids.find(ask("ping", session=mine))), "one", "request", b"1")
    for identity in (1, "1", "one~MQ~", word[:-2] + "xx"):
        item = replace(ask("", kind="response", session=mine, raw_id=None), message={"id": identity, "result": {}})
        with pytest.raises(r.InvalidRequest):
            await policy(item, world)
    item = replace(
        ask("", kind="response", session=theirs, caller=BOB, raw_id=None), message={"id": word, "result": {}}
    )
    with pytest.raises(r.InvalidRequest):
        await policy(item, world)
    assert not [c for c in world.reached if c.kind == "response"]


async def test_what_the_client_cannot_be_asked_is_refused_for_it() -> None:
    """MCP-07: the server is answered at once, and the client hears nothing of it."""
    ended = {"jsonrpc": "2.0", "id": 1, "result": {"content": []}}

    def server(item: Call) -> Any:
        if item.method == "tools/list":
            return {"tools": [{"name": "x"}]}
        if item.kind == "response":
            return Reply(202, [])
        return Reply(200, [], Stream(sse(asking("s", "sampling/createMessage")), sse(asking(2)), sse(ended)))

    world = World(one=server)
    policy = House().worker(world)
    mine = await begun(policy, world, can={"elicitation": {}})
    reply = await policy(ask("tools/call", {"name": "x"}, session=mine), world)
    said = data_of(await whole(reply))
    assert [message.get("method") for message in said] == ["elicitation/create", None]
    (refused,) = [c for c in world.reached if c.kind == "response"]
    answer = json.loads(refused.body)
    assert (answer["id"], answer["error"]["code"]) == ("s", -32601)


async def test_servers_hear_what_the_client_can_do_and_who_it_is() -> None:
    world = World(one=tools("x"))
    policy = House().worker(world)
    mine = await begun(policy, world, can={"elicitation": {"form": {}}, "roots": {"listChanged": True}})
    await policy(ask("tools/list", session=mine), world)
    (handshake,) = world.asked("initialize", "one")
    assert handshake.params["capabilities"] == {"elicitation": {"form": {}}, "roots": {"listChanged": True}}
    assert handshake.params["clientInfo"] == {"name": "c", "version": "1"}
    assert handshake.params["protocolVersion"] == "2025-11-25"
    huge = {"sampling": {"x": "y" * 2_000}, "other": {}}
    long = await begun(policy, world, can=huge)
    assert len(long) < 4_096
    await policy(ask("tools/list", session=long), world)
    assert world.asked("initialize", "one")[-1].params["capabilities"] == {"sampling": {}}


async def test_a_cancelled_question_is_cancelled_under_the_id_it_was_asked_by() -> None:
    cancelled = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7, "reason": "late"}}

    def server(item: Call) -> Any:
        if item.method == "tools/list":
            return {"tools": [{"name": "x"}]}
        return Reply(200, [], Stream(sse(asking(7)), sse(cancelled)))

    world = World(one=server)
    policy = House().worker(world)
    mine = await begun(policy, world)
    reply = await policy(ask("tools/call", {"name": "x"}, session=mine), world)
    question, note = data_of(await whole(reply))
    assert note["params"] == {"requestId": question["id"], "reason": "late"}


async def test_a_stream_that_breaks_off_is_taken_up_where_it_came_from() -> None:
    """2025-11-25, "Resumability and Redelivery": an event id leads back to the server's own."""

    def server(item: Call) -> Any:
        if item.method == "tools/list":
            return {"tools": [{"name": "x"}]}
        if item.kind == "stream":
            return Reply(200, [], Stream(b"id: 9\n" + sse(asking(8))))
        return Reply(
            200, [], Stream(b"id: 4/2\nretry: 5\ndata: \n\n", b"id: 4/3\n" + sse({"id": 1, "result": {"a": 1.0}}))
        )

    world = World(one=server, two=tools("y"))
    policy = House().worker(world)
    mine = await begun(policy, world)
    reply = await policy(ask("tools/call", {"name": "x"}, session=mine), world)
    text = await whole(reply)
    ids = [line[4:] for line in text.splitlines() if line.startswith(b"id: ")]
    assert len(ids) == 2
    first, second = text.split(b"\n\n")[:2]
    # Without its empty data the event would be none, and its id unheard.
    assert set(first.split(b"\n")) == {b"id: " + ids[0], b"retry: 5", b"data: "}
    assert data_of(second) == [{"id": 1, "result": {"a": 1.0}}]
    fields = [(b"last-event-id", ids[0]), (b"accept", b"text/event-stream")]
    resumed = await policy(ask("", kind="stream", session=mine, raw_id=None, fields=fields), world)
    assert world.reached[-1].arrival.headers.get(b"last-event-id") == b"4/2"
    assert world.reached[-1].server == "one"
    question = data_of(await whole(resumed))[0]
    assert question["id"].startswith("one~")


async def test_many_callers_and_servers_never_cross() -> None:
    """AUTHZ-08, MCP-05: every server asks under the same id in every session."""

    def server(item: Call) -> Any:
        if item.method == "tools/list":
            return {"tools": [{"name": f"x-{item.server}"}]}
        if item.kind == "response":
            return Reply(202, [])
        return Reply(200, [], Stream(sse(asking(1, who=item.caller.subject)), sse({"id": 1, "result": {}})))

    world, house = World(**{f"s{n}": server for n in range(3)}), House()
    workers = [house.worker(world) for _ in range(3)]
    callers = [replace(ALICE, subject=f"c{n}") for n in range(20)]

    async def one(n: int, who: Any) -> None:
        mine = await begun(workers[0], world, caller=who)
        for turn in range(6):
            name = f"x-s{turn % 3}"
            item = ask("tools/call", {"name": name}, session=mine, caller=who)
            question = data_of(await whole(await workers[(n + turn) % 3](item, world)))[0]
            assert question["params"]["who"] == who.subject
            answer = {"jsonrpc": "2.0", "id": question["id"], "result": {"for": [who.subject, name]}}
            item = replace(ask("", kind="response", session=mine, caller=who, raw_id=None), message=answer)
            await workers[turn % 3](item, world)

    await asyncio.gather(*(one(n, who) for n, who in enumerate(callers)))
    answers = [c for c in world.reached if c.kind == "response"]
    assert len(answers) == 120
    homes = {(c.caller.subject, c.server): c.session for c in world.reached if c.method == "tools/call"}
    for item in answers:
        subject, name = json.loads(item.body)["result"]["for"]
        assert (item.caller.subject, f"x-{item.server}") == (subject, name)
        assert item.session == homes[subject, item.server]
    assert len(set(homes.values())) == 60
