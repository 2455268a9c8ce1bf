"""The GET stream at the endpoint of all servers, levels, subscriptions and notifications (2025-11-25)."""

import asyncio
import json
from typing import Any

import pytest
from tests.policies.aggregate.test_asked import ask, begun
from tests.policies.aggregate.test_listen import Heard, note, until
from tests.policies.aggregate.world import House, World, result_of
from tests.policies.support import BOB

from mantlet.core import refusal as r
from mantlet.core.call import Call, Reply
from mantlet.policies.aggregate import changes, source, streams
from mantlet.wire.event_stream import EventStream

ACCEPT = [(b"accept", b"text/event-stream")]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "DEBOUNCE_S", 0.0)
    monkeypatch.setattr(source, "FIRST_DELAY_S", 0.0)
    monkeypatch.setattr(streams, "LINGER_S", 0.0)


class Server:
    """A legacy server with a stream a session, fed by hand."""

    def __init__(self, *, stream: Any = None) -> None:
        self.stream_answer = stream
        self.streams: list[EventStream] = []
        self.opened: list[Call] = []
        self.closed = 0

    def __call__(self, item: Call) -> Any:
        if item.kind == "stream":
            self.opened.append(item)
            if self.stream_answer is not None:
                return self.stream_answer
            self.streams.append(EventStream(self._close))
            return Reply(200, [], self.streams[-1])
        if item.method == "tools/list":
            return {"tools": [{"name": f"x-{item.server}"}]}
        if item.method == "resources/list":
            return {"resources": [{"uri": f"{item.server}://1"}]}
        if item.method == "resources/templates/list":
            return {"resourceTemplates": []}
        return {}

    def _close(self) -> None:
        self.closed += 1

    def say(self, message: Any) -> None:
        self.streams[-1].push(json.dumps(message).encode())


async def opened(policy: Any, world: World, session: str) -> Heard:
    item = ask("", kind="stream", session=session, raw_id=None, fields=ACCEPT)
    return Heard(await policy(item, world))


async def test_servers_join_the_stream_as_they_come_into_use_whatever_worker_uses_them() -> None:
    one, two = Server(), Server()
    world, house = World(one=one, two=two), House()
    here, there = house.worker(world), house.worker(world)
    mine = await begun(here, world)
    heard = await opened(here, world, mine)
    assert world.asked("initialize", "one") == []  # nothing is opened for a client that asked nothing yet
    await there(ask("tools/list", session=mine), world)
    await until(lambda: one.streams and two.streams)
    homes = {c.server: c.session for c in world.asked("tools/list")}
    for name, server in (("one", one), ("two", two)):
        assert server.opened[0].session == homes[name]
        server.say(note("message", level="info", data=name))
        assert (await heard.next())["params"]["data"] == name
    await heard.close()
    await until(lambda: one.closed == two.closed == 1)
    for policy in (here, there):
        assert policy._legacy._streams._open == {}


async def test_servers_in_use_before_are_heard_too() -> None:
    one = Server()
    world, house = World(one=one), House()
    mine = await begun(house.worker(world), world)
    await house.worker(world)(ask("tools/list", session=mine), world)
    heard = await opened(house.worker(world), world, mine)
    await until(lambda: one.streams)
    one.say({"jsonrpc": "2.0", "id": 3, "method": "roots/list"})
    question = await heard.next()
    assert question["id"].startswith("one~")
    one.say({"jsonrpc": "2.0", "id": 3, "method": "sampling/createMessage", "params": {}})
    await until(lambda: [c for c in world.reached if c.kind == "response"])
    one.say({"jsonrpc": "2.0", "id": 1, "result": {}})
    for _ in range(5):
        one.say(note("tools/list_changed"))
    one.say(note("resources/updated", uri="one://1"))
    said = [await heard.next(), await heard.next()]
    assert {message["method"] for message in said} == {
        "notifications/tools/list_changed",
        "notifications/resources/updated",
    }
    await heard.close()


async def test_a_second_stream_takes_the_place_of_the_first() -> None:
    one = Server()
    world, house = World(one=one), House()
    policy = house.worker(world)
    mine = await begun(policy, world)
    await policy(ask("tools/list", session=mine), world)
    first = await opened(policy, world, mine)
    await until(lambda: one.streams)
    second = await opened(policy, world, mine)
    with pytest.raises(StopAsyncIteration):
        await first.next()
    await until(lambda: len(one.streams) == 2)
    one.say(note("message", level="info"))
    assert (await second.next())["method"] == "notifications/message"
    await second.close()
    await until(lambda: one.closed == 2)


@pytest.mark.parametrize("answer", [r.MethodNotAllowed("POST"), Reply(405, [])])
async def test_a_server_that_offers_no_stream_is_let_be(answer: Any) -> None:
    one = Server(stream=answer)
    world = World(one=one)
    policy = House().worker(world)
    mine = await begun(policy, world)
    await policy(ask("tools/list", session=mine), world)
    heard = await opened(policy, world, mine)
    await until(lambda: one.opened)
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(one.opened) == 1
    await heard.close()


async def test_a_stream_comes_back_in_the_session_that_follows() -> None:
    """RES-06"""
    one = Server()
    world = World(one=one)
    policy = House().worker(world)
    mine = await begun(policy, world)
    await policy(ask("tools/list", session=mine), world)
    heard = await opened(policy, world, mine)
    await until(lambda: one.streams)
    world.live.clear()
    one.streams[0].end()
    await until(lambda: len(one.streams) == 2)
    one.say(note("message", level="info"))
    assert (await heard.next())["method"] == "notifications/message"
    await policy(ask("tools/list", session=mine), world)
    assert len(world.asked("initialize")) == 2
    await heard.close()


async def test_a_session_is_asked_for_before_its_stream_is_opened() -> None:
    """MCP-04"""
    world = World(one=Server())
    policy = House().worker(world)
    mine = await begun(policy, world)
    with pytest.raises(r.SessionNotFound):
        await policy(ask("", kind="stream", session=mine, raw_id=None, fields=ACCEPT, caller=BOB), world)
    with pytest.raises(r.NotAcceptable):
        await policy(ask("", kind="stream", session=mine, raw_id=None), world)


async def test_a_level_reaches_servers_in_use_and_those_that_come_into_use() -> None:
    world, house = World(one=Server(), two=Server()), House()
    here, there = house.worker(world), house.worker(world)
    mine = await begun(here, world)
    await here(ask("tools/call", {"name": "x-one"}, session=mine), world)
    for message in (ask("logging/setLevel", {"level": "debug"}, session=mine),):
        assert result_of(await there(message, world)) == {}
    assert {c.server for c in world.asked("logging/setLevel")} == {"one", "two"}
    other = World(one=Server(), two=Server(), three=Server())
    later = House(state=house.state, posts=house.posts).worker(other)
    await later(ask("tools/list", session=mine), other)
    assert [c.params for c in other.asked("logging/setLevel", "three")] == [{"level": "debug"}]
    with pytest.raises(r.InvalidParams):
        await here(ask("logging/setLevel", {"level": "loud"}, session=mine), world)


async def test_a_server_that_cannot_log_is_not_told_how() -> None:
    world = World(one=Server())
    world.capabilities = {"tools": {}}
    policy = House().worker(world)
    mine = await begun(policy, world)
    await policy(ask("tools/list", session=mine), world)
    assert result_of(await policy(ask("logging/setLevel", {"level": "info"}, session=mine), world)) == {}
    assert world.asked("logging/setLevel") == []


async def test_subscriptions_go_to_the_server_that_has_the_resource() -> None:
    world = World(one=Server(), two=Server())
    policy = House().worker(world)
    mine = await begun(policy, world)
    for method in ("resources/subscribe", "resources/unsubscribe"):
        await policy(ask(method, {"uri": "two://1"}, session=mine), world)
        assert [c.server for c in world.asked(method)] == ["two"]
    with pytest.raises(r.InvalidParams):
        await policy(ask("resources/subscribe", {"uri": "three://1"}, session=mine), world)


async def test_roots_that_changed_are_told_to_all_and_cancellations_on_any_worker_too() -> None:
    world, house = World(one=Server(), two=Server()), House()
    here, there = house.worker(world), house.worker(world)
    mine = await begun(here, world)
    await here(ask("tools/list", session=mine), world)
    for method, params in (("notifications/roots/list_changed", {}), ("notifications/cancelled", {"requestId": 5})):
        await there(ask(method, params, kind="notification", session=mine, raw_id=None), world)
        told = world.asked(method)
        assert {(c.server, c.session) for c in told} == {(c.server, c.session) for c in world.asked("tools/list")}
        assert all(c.params == params for c in told)
    for method in ("notifications/initialized", "notifications/progress"):
        reached = len(world.reached)
        item = ask(method, {"progressToken": 1}, kind="notification", session=mine, raw_id=None)
        assert (await there(item, world)).status == 202
        assert len(world.reached) == reached
