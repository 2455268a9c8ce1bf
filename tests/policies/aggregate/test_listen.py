"""Merged subscriptions (2026-07-28, basic/patterns/subscriptions)."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from tests.policies.aggregate.world import World, endpoint
from tests.policies.support import ALICE, BOB, call

from mantlet.core import refusal as r
from mantlet.core.call import Call, Reply
from mantlet.policies.aggregate import changes, source
from mantlet.wire.event_stream import EventStream
from mantlet.wire.mcp.methods import META_SUBSCRIPTION

ACCEPT = [(b"accept", b"application/json, text/event-stream")]
ACKNOWLEDGED = "notifications/subscriptions/acknowledged"
ALL = {"toolsListChanged": True, "promptsListChanged": True, "resourcesListChanged": True}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "DEBOUNCE_S", 0.0)
    monkeypatch.setattr(source, "FIRST_DELAY_S", 0.0)


def note(method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": f"notifications/{method}", "params": params}


def acknowledged(**agreed: Any) -> dict[str, Any]:
    return note("subscriptions/acknowledged", notifications=agreed, _meta={META_SUBSCRIPTION: "mantlet"})


class Server:
    """A server whose subscriptions are fed by hand."""

    def __init__(self, *, uris: Sequence[str] = (), answer: Any = None) -> None:
        self.uris = uris
        self.answer = answer
        self.listens: list[Call] = []
        self.streams: list[EventStream] = []
        self.closed = 0
        self.arrived = asyncio.Event()

    def __call__(self, item: Call) -> Any:
        if item.method == "resources/list":
            return {"resources": [{"uri": uri} for uri in self.uris]}
        if item.method == "resources/templates/list":
            return {"resourceTemplates": []}
        assert item.method == "subscriptions/listen"
        self.listens.append(item)
        self.arrived.set()
        if self.answer is not None:
            return self.answer(item) if callable(self.answer) else self.answer
        stream = EventStream(self._close)
        self.streams.append(stream)
        stream.push(json.dumps(acknowledged(**item.params["notifications"])).encode())
        return Reply(200, [], stream)

    def _close(self) -> None:
        self.closed += 1

    def say(self, *messages: Any) -> None:
        for message in messages:
            self.streams[-1].push(json.dumps(message).encode())


class Heard:
    """The client's end of a subscription."""

    def __init__(self, reply: Reply) -> None:
        assert not isinstance(reply.body, bytes)
        self.body = reply.body
        self._buffer: list[Any] = []

    async def next(self) -> Any:
        async with asyncio.timeout(5):
            while not self._buffer:
                chunk = await anext(self.body)
                self._buffer += [json.loads(line[6:]) for line in chunk.splitlines() if line.startswith(b"data: {")]
        return self._buffer.pop(0)

    async def close(self) -> None:
        await self.body.aclose()  # type: ignore[attr-defined]


async def listen(policy: Any, world: World, raw_id: bytes = b"7", caller: Any = ALICE, **wanted: Any) -> Heard:
    params = {"notifications": wanted}
    item = call("subscriptions/listen", params, server="", fields=ACCEPT, raw_id=raw_id, caller=caller)
    return Heard(await policy(item, world))


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


async def test_one_subscription_stands_for_many_and_is_acknowledged_once() -> None:
    one, two = Server(uris=["a://1"]), Server(uris=["b://1"])
    world = World(one=one, two=two)
    heard = await listen(endpoint(world), world, b'"mine"', **ALL, resourceSubscriptions=["b://1", "a://1", "z://"])
    first = await heard.next()
    assert first["method"] == ACKNOWLEDGED
    assert first["params"]["_meta"] == {META_SUBSCRIPTION: "mine"}
    agreed = first["params"]["notifications"]
    assert {**agreed, "resourceSubscriptions": sorted(agreed["resourceSubscriptions"])} == {
        **ALL,
        "resourceSubscriptions": ["a://1", "b://1"],
    }
    assert one.listens[0].params["notifications"] == {**ALL, "resourceSubscriptions": ["a://1"]}
    assert two.listens[0].params["notifications"] == {**ALL, "resourceSubscriptions": ["b://1"]}
    two.say(note("resources/updated", uri="b://1", _meta={META_SUBSCRIPTION: "mantlet", "x": 1}))
    event = await heard.next()
    assert event == note("resources/updated", uri="b://1", _meta={META_SUBSCRIPTION: "mine", "x": 1})
    await heard.close()
    await until(lambda: one.closed == two.closed == 1)


async def test_changes_of_lists_are_told_once_a_kind_and_nothing_that_was_not_asked_for() -> None:
    one, two = Server(), Server()
    world = World(one=one, two=two)
    heard = await listen(endpoint(world), world, toolsListChanged=True)
    assert (await heard.next())["params"]["notifications"] == {"toolsListChanged": True}
    for server in (one, two):
        server.say(note("prompts/list_changed"), note("progress", progressToken=1), note("resources/updated", uri="x"),
                   {"jsonrpc": "2.0", "id": 5, "method": "ping"}, *[note("tools/list_changed")] * 20)  # fmt: skip
    assert (await heard.next())["method"] == "notifications/tools/list_changed"
    one.say(note("tools/list_changed"))
    event = await heard.next()
    assert event["params"] == {"_meta": {META_SUBSCRIPTION: 7}}
    await heard.close()


async def test_only_servers_that_the_filter_concerns_are_asked() -> None:
    one, two = Server(uris=["a://1"]), Server()
    world = World(one=one, two=two)
    heard = await listen(endpoint(world), world, resourceSubscriptions=["a://1"])
    await heard.next()
    assert (len(one.listens), len(two.listens)) == (1, 0)
    await heard.close()


async def test_who_may_not_reach_a_server_hears_nothing_of_it() -> None:
    """AUTHZ-03"""
    one, two = Server(uris=["a://1"]), Server(uris=["b://1"])
    world = World(one=one, two=two)
    policy = endpoint(world, may_reach=lambda caller, server: caller is ALICE or server == "one")
    everything = await listen(policy, world, **ALL, resourceSubscriptions=["b://1"])
    await everything.next()
    heard = await listen(policy, world, caller=BOB, **ALL, resourceSubscriptions=["b://1"])
    assert "resourceSubscriptions" not in (await heard.next())["params"]["notifications"]
    assert {c.caller for c in world.asked("subscriptions/listen", "two")} == {ALICE}
    for each in (everything, heard):
        await each.close()


@pytest.mark.parametrize(
    "answer",
    [
        r.MethodNotFound(),
        r.EraUnavailable("2026-07-28", ()),
        Reply(404, [], b'{"jsonrpc":"2.0","id":"mantlet","error":{"code":-32601,"message":"x"}}'),
        Reply(200, [], b'{"jsonrpc":"2.0","id":"mantlet","error":{"code":-32601,"message":"x"}}'),
    ],
)
async def test_a_server_without_subscriptions_is_left_out_and_let_be(answer: Any) -> None:
    two = Server(answer=answer)
    world = World(one=Server(), two=two)
    policy = endpoint(world)
    heard = await listen(policy, world, toolsListChanged=True)
    assert (await heard.next())["params"]["notifications"] == {"toolsListChanged": True}
    alone = World(two=two)
    other = await listen(endpoint(alone), alone, toolsListChanged=True)
    assert (await other.next())["params"]["notifications"] == {}
    await asyncio.sleep(0.01)
    assert len(two.listens) == 2
    for each in (heard, other):
        await each.close()


async def test_a_server_that_hangs_holds_up_nobody_and_joins_in_when_it_answers() -> None:
    """RES-03"""
    gate = asyncio.Event()
    slow = Server()

    async def hang(item: Call) -> Any:
        if item.method == "subscriptions/listen":
            await gate.wait()
        return slow(item)

    one = Server()
    world = World(one=one, two=hang)
    heard = await listen(endpoint(world, timeout_s=0.02), world, toolsListChanged=True)
    assert (await heard.next())["method"] == ACKNOWLEDGED
    one.say(note("tools/list_changed"))
    assert (await heard.next())["method"] == "notifications/tools/list_changed"
    gate.set()
    await slow.arrived.wait()
    await asyncio.sleep(0)
    slow.say(note("tools/list_changed"))
    assert (await heard.next())["method"] == "notifications/tools/list_changed"
    await heard.close()


async def test_a_server_that_went_away_is_asked_again_and_the_gap_is_told() -> None:
    """RES-06: what changed meanwhile nobody has said."""
    one = Server(uris=["a://1"])
    world = World(one=one)
    heard = await listen(endpoint(world), world, toolsListChanged=True, resourceSubscriptions=["a://1"])
    await heard.next()
    one.answer = r.UpstreamUnavailable(why="x")
    one.streams[0].end()
    await until(lambda: len(one.listens) > 3)
    one.answer = None
    said = [await heard.next(), await heard.next()]
    assert {message["method"] for message in said} == {
        "notifications/resources/updated",
        "notifications/tools/list_changed",
    }
    await heard.close()


async def test_a_dead_server_delays_no_acknowledgement() -> None:
    world = World(one=Server(), two=lambda c: r.UpstreamUnavailable(why="x"))
    heard = await listen(endpoint(world, timeout_s=1_000), world, toolsListChanged=True)
    assert (await heard.next())["method"] == ACKNOWLEDGED
    await heard.close()


async def test_one_forbidden_resource_does_not_cost_the_lists() -> None:
    def deny(item: Call) -> Any:
        if "resourceSubscriptions" in item.params["notifications"]:
            return r.Denied()
        stream = EventStream()
        stream.push(json.dumps(acknowledged(**item.params["notifications"])).encode())
        return Reply(200, [], stream)

    world = World(one=Server(uris=["a://1"], answer=deny))
    heard = await listen(endpoint(world), world, toolsListChanged=True, resourceSubscriptions=["a://1"])
    assert (await heard.next())["params"]["notifications"] == {"toolsListChanged": True}
    await heard.close()


async def test_a_change_of_resources_makes_the_node_forget_whose_they_are() -> None:
    one, two = Server(uris=["a://1"]), Server()
    world = World(one=one, two=two)
    policy = endpoint(world)
    heard = await listen(policy, world, resourcesListChanged=True, resourceSubscriptions=["a://1"])
    await heard.next()
    one.uris, two.uris = (), ["a://1"]
    one.say(note("resources/list_changed"))
    await heard.next()
    again = await listen(policy, world, resourceSubscriptions=["a://1"])
    await again.next()
    assert two.listens[-1].params["notifications"] == {"resourceSubscriptions": ["a://1"]}
    for each in (heard, again):
        await each.close()


async def test_streams_have_places_and_give_them_back() -> None:
    """MCP-07"""
    world = World(one=Server())
    policy = endpoint(world, max_streams=3, max_streams_per_caller=2)
    mine = [await listen(policy, world, toolsListChanged=True) for _ in range(2)]
    with pytest.raises(r.Overloaded):
        await listen(policy, world, toolsListChanged=True)
    theirs = await listen(policy, world, caller=BOB, toolsListChanged=True)
    with pytest.raises(r.Overloaded):
        await listen(policy, world, caller=BOB, toolsListChanged=True)
    for _ in range(2):
        await mine[0].close()
    mine.append(await listen(policy, world, toolsListChanged=True))
    for each in (*mine, theirs):
        await each.close()
    assert policy._listening._merged._places.taken == 0


async def test_a_reader_that_is_too_slow_is_let_go() -> None:
    one = Server(uris=["a://1"])
    world = World(one=one)
    heard = await listen(endpoint(world), world, resourceSubscriptions=["a://1"])
    await heard.next()
    big = "x" * 100_000
    for _ in range(12):
        one.say(note("resources/updated", uri="a://1", text=big))
        await asyncio.sleep(0)
    await until(lambda: one.closed)
    await heard.close()


async def test_a_thousand_that_leave_leave_nothing() -> None:
    """MCP-07"""
    one, two = Server(), Server()
    world = World(one=one, two=two)
    policy = endpoint(world, max_streams=10)
    before = len(asyncio.all_tasks())
    for turn in range(1_000):
        heard = await listen(policy, world, toolsListChanged=True)
        if turn % 3:
            await heard.next()
        await heard.close()
    await until(lambda: len(asyncio.all_tasks()) == before)
    assert one.closed == len(one.streams)
    assert two.closed == len(two.streams)


@pytest.mark.parametrize("wanted", [5, {"toolsListChanged": "yes"}, {"resourceSubscriptions": "a"},
                                    {"resourceSubscriptions": [1]}, {"taskIds": {}},
                                    {"resourceSubscriptions": ["x"] * 1_001}])  # fmt: skip
async def test_a_filter_of_another_shape_is_refused(wanted: Any) -> None:
    world = World(one=Server())
    item = call("subscriptions/listen", {"notifications": wanted}, server="", fields=ACCEPT)
    with pytest.raises(r.InvalidParams):
        await endpoint(world)(item, world)


async def test_a_client_that_takes_no_stream_is_told() -> None:
    world = World(one=Server())
    item = call("subscriptions/listen", {"notifications": {}}, server="", fields=[(b"accept", b"application/json")])
    with pytest.raises(r.NotAcceptable):
        await endpoint(world)(item, world)
