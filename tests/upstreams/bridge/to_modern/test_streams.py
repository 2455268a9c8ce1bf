"""What a legacy client hears unasked: its stream, the node's one listen, subscriptions."""

import asyncio
from typing import Any

import pytest
from tests.upstreams.bridge.to_modern.conftest import Node
from tests.upstreams.bridge.to_modern.support import Client, Events, error, result, until
from tests.upstreams.transports.http.support import BOB

from mantlet.core.call import Call, Reply
from mantlet.core.refusal import InvalidParams, NotAcceptable, Overloaded, SessionNotFound
from mantlet.upstreams.bridge.to_modern import feed, stream, subscriptions
from mantlet.upstreams.bridge.to_modern.crossing import ToModern

TOOLS = "notifications/tools/list_changed"
UPDATED = "notifications/resources/updated"


async def listened(node: Node, client: Client, *, door: ToModern | None = None, last: str = "") -> Events:
    """The client's stream, once the server is heard on it."""
    events = Events(await client.stream(last, door=door))
    await until(lambda: node.server.listening)
    await until(lambda: all(made._feed._acknowledged >= made._feed._asked for made in feeds(node)))
    return events


def feeds(node: Node) -> list[Any]:
    return [made._streams for made in node.processes]


async def test_a_stream_hears_what_the_server_tells_without_the_subscription_id(node: Node) -> None:
    client = await node.client()
    events = await listened(node, client)
    node.server.tell(TOOLS)
    assert await events.next() == {"jsonrpc": "2.0", "method": TOOLS}
    (listen,) = node.server.of("subscriptions/listen")
    assert listen.params["notifications"] == {"toolsListChanged": True, "resourcesListChanged": True}
    await events.close()


async def test_only_revisions_that_know_it_get_an_event_without_data(node: Node) -> None:
    """2025-11-25, basic/transports: older clients take the empty data for a message."""
    door = node.process()
    new, old = await node.client(door), await node.client(door, version="2025-06-18")
    assert (await Events(await new.stream()).primed()).endswith(".0")
    events = await listened(node, old)
    node.server.tell(TOOLS)
    assert (await events.next())["method"] == TOOLS
    assert len(events.ids) == 1


async def test_a_thousand_streams_are_one_listen(node: Node) -> None:
    door = node.process()
    clients = [await node.client(door) for _ in range(100)]
    streams = [await listened(node, client) for client in clients]
    assert len(node.server.listening) == 1
    node.server.tell(TOOLS)
    for events in streams:
        assert (await events.next())["method"] == TOOLS
        await events.close()


async def test_subscriptions_are_the_session_s_and_change_what_is_listened_for(node: Node) -> None:
    door = node.process()
    client, other = await node.client(door), await node.client(door)
    events, others = await listened(node, client), await listened(node, other)
    await client.ask("resources/subscribe", {"uri": "x:1"})
    await other.ask("resources/subscribe", {"uri": "x:2"})
    asked = [
        call.params["notifications"].get("resourceSubscriptions") for call in node.server.of("subscriptions/listen")
    ]
    assert asked == [None, ["x:1"], ["x:1", "x:2"]]
    assert len(node.server.listening) == 1
    for uri in ("x:3", "x:2", "x:1"):
        node.server.tell(UPDATED, uri=uri)
    assert (await events.next())["params"] == {"uri": "x:1"}
    assert (await others.next())["params"] == {"uri": "x:2"}
    await client.ask("resources/unsubscribe", {"uri": "x:1"})
    for uri in ("x:1", "x:2"):
        node.server.tell(UPDATED, uri=uri)
    node.server.tell(TOOLS)
    assert (await events.next())["method"] == TOOLS
    await until(lambda: len(node.server.listening) == 1)


async def test_a_subscription_made_at_another_process_reaches_the_stream(node: Node) -> None:
    here, there = node.process(), node.process()
    client = await node.client(here)
    await client.ask("resources/subscribe", {"uri": "x:0"}, door=there)  # before there is a stream
    events = await listened(node, client, door=here)
    await client.ask("resources/subscribe", {"uri": "x:1"}, door=there)
    assert node.server.calls[-1].params["notifications"]["resourceSubscriptions"] == ["x:0", "x:1"]
    node.server.tell(UPDATED, uri="x:1")
    assert (await events.next())["params"]["uri"] == "x:1"


async def test_changes_of_one_session_at_two_processes_at_once_are_all_kept(node: Node) -> None:
    here, there = node.process(), node.process()
    client = await node.client(here, there)
    await asyncio.gather(*(client.ask("resources/subscribe", {"uri": f"x:{n}"}) for n in range(20)))
    events = await listened(node, client)
    assert len(node.server.calls[-1].params["notifications"]["resourceSubscriptions"]) == 20
    await events.close()


async def test_subscriptions_are_bounded(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriptions, "MAX_URIS", 2)
    client = await node.client()
    for uri in ("x:1", "x:2"):
        await client.ask("resources/subscribe", {"uri": uri})
    with pytest.raises(InvalidParams, match="2 resources"):
        await client.ask("resources/subscribe", {"uri": "x:3"})
    with pytest.raises(InvalidParams, match="longer"):
        await client.ask("resources/subscribe", {"uri": "x" * 3_000})


# --- resumption


@pytest.mark.parametrize("is_elsewhere", [False, True])
async def test_a_stream_goes_on_after_the_last_event_its_client_saw(node: Node, is_elsewhere: bool) -> None:
    here = node.process()
    there = node.process() if is_elsewhere else here
    client = await node.client(here)
    await client.ask("resources/subscribe", {"uri": "x:"})
    events = await listened(node, client, door=here)
    for n in range(3):
        node.server.tell(UPDATED, uri=f"x:/{n}")
    for _ in range(2):
        await events.next()
    last = events.ids[2]  # the first is the one without data
    await events.close()
    node.server.tell(UPDATED, uri="x:/while-away")
    await until(lambda: any(there_is._kept for there_is in held(node)))
    again = await listened(node, client, door=there, last=last)
    node.server.tell(UPDATED, uri="x:/after")
    said = [(await again.next())["params"]["uri"] for _ in range(3)]
    assert said == ["x:/2", "x:/while-away", "x:/after"]
    assert len(set(again.ids[1:])) == len(again.ids[1:])
    assert [made.counts()["streams"] for made in node.processes] == ([0, 1] if is_elsewhere else [1])


def held(node: Node) -> list[Any]:
    return [one for made in feeds(node) for one in made._here.values()]


async def test_what_is_no_longer_kept_is_told_as_a_change_of_everything(node: Node) -> None:
    client = await node.client(node.process(replay_events=2))
    await client.ask("resources/subscribe", {"uri": "x:"})
    events = await listened(node, client)
    first = await events.primed()
    for n in range(5):
        node.server.tell(UPDATED, uri=f"x:/{n}")
    await events.next()
    await events.close()
    again = await listened(node, client, last=first)
    said = [await again.next() for _ in range(5)]
    assert [message["method"] for message in said[:2]] == [TOOLS, "notifications/resources/list_changed"]
    assert [message["params"]["uri"] for message in said[2:]] == ["x:", "x:/3", "x:/4"]


@pytest.mark.parametrize("last", ["nonsense", "house0.unknown.5", "nowhere.t.1", "house0.unknown.9" * 50])
async def test_an_event_that_nobody_knows_begins_a_new_stream_and_everything_may_have_changed(
    node: Node, last: str
) -> None:
    client = await node.client()
    await client.ask("resources/subscribe", {"uri": "x:1"})
    events = await listened(node, client, last=last)
    node.server.tell("notifications/prompts/list_changed")  # not offered
    node.server.tell(UPDATED, uri="x:1/2")
    said = [await events.next() for _ in range(4)]
    assert [message["method"] for message in said] == [TOOLS, "notifications/resources/list_changed", UPDATED, UPDATED]
    assert [message["params"]["uri"] for message in said[2:]] == ["x:1", "x:1/2"]


async def test_nobody_resumes_another_s_stream(node: Node) -> None:
    """AUTHZ-08"""
    door = node.process()
    client, eve = await node.client(door), await node.client(door, caller=BOB)
    await client.ask("resources/subscribe", {"uri": "x:1"})
    events = await listened(node, client)
    node.server.tell(UPDATED, uri="x:1")
    last = await events.primed()
    stolen = await listened(node, eve, last=last)
    node.server.tell("notifications/resources/list_changed")
    said = [(await stolen.next())["method"] for _ in range(3)]
    assert said == [TOOLS, "notifications/resources/list_changed", "notifications/resources/list_changed"]
    assert (await events.next())["method"] == UPDATED


async def test_a_client_that_does_not_come_back_is_waited_for_no_longer_than_a_while(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "LINGER_S", 0.0)
    client = await node.client()
    events = await listened(node, client)
    await events.close()
    await until(node.nothing_left)
    assert not node.server.listening
    assert not [key for key in node.state.values if key[1] == "stream"]


# --- one stream a session, and its end


@pytest.mark.parametrize("is_elsewhere", [False, True])
async def test_a_second_stream_takes_the_place_of_the_first(node: Node, is_elsewhere: bool) -> None:
    here = node.process()
    there = node.process() if is_elsewhere else here
    client = await node.client(here)
    first = await listened(node, client, door=here)
    second = await listened(node, client, door=there)
    assert await first.rest() == []
    node.server.tell(TOOLS)
    assert (await second.next())["method"] == TOOLS
    assert sum(made.counts()["streams"] for made in node.processes) == 1


async def test_the_end_of_a_session_ends_its_stream_wherever_it_is(node: Node) -> None:
    here, there = node.process(), node.process()
    client = await node.client(here)
    await client.ask("resources/subscribe", {"uri": "x:1"})
    events = await listened(node, client, door=here)
    assert await client.end(door=there) == 200
    assert await events.rest() == []
    await until(node.nothing_left)
    assert [key[1] for key in node.state.values] == ["said"]
    with pytest.raises(SessionNotFound):
        await client.stream(door=here)


async def test_streams_are_bounded(node: Node) -> None:
    door = node.process(max_streams=2)
    for _ in range(2):
        await (await node.client(door)).stream()
    with pytest.raises(Overloaded):
        await (await node.client(door)).stream()


async def test_a_client_must_take_a_stream(node: Node) -> None:
    client = await node.client()
    call = client.call("", kind="stream")
    call.arrival.headers = type(call.arrival.headers)([(b"accept", b"application/json")])
    with pytest.raises(NotAcceptable):
        await client.door().send(call)


# --- the server's side


async def test_a_server_that_ends_its_stream_is_asked_again_and_everything_may_have_changed(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "FIRST_PAUSE_S", 0.0)
    monkeypatch.setattr(feed, "DEAF_S", 0.0)
    client = await node.client()
    await client.ask("resources/subscribe", {"uri": "x:1"})
    events = await listened(node, client)
    node.server.streams[0].end()
    said = [await events.next() for _ in range(3)]
    assert [message["method"] for message in said] == [TOOLS, "notifications/resources/list_changed", UPDATED]
    node.server.tell(TOOLS)
    assert (await events.next())["method"] == TOOLS
    assert len(node.server.of("subscriptions/listen")) == 2


async def test_a_server_that_cannot_be_reached_is_tried_again(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "FIRST_PAUSE_S", 0.0)
    answers = iter([503, 500, 404])
    listens = node.server.on["subscriptions/listen"]

    async def late(call: Call) -> Reply:
        status = next(answers, None)
        return await listens(call) if status is None else error(call, -32603, "later", status=status)

    node.server.on["subscriptions/listen"] = late
    client = await node.client()
    events = await listened(node, client)
    node.server.tell(TOOLS)
    assert (await events.next())["method"] == TOOLS


async def test_a_server_that_never_acknowledges_does_not_hold_a_subscription_up(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "OPEN_S", 0.01)
    door = node.process()
    door._streams.subscriptions.timeout_s = 0.05

    async def mute(call: Call) -> Reply:
        return Reply(200, [], node.server.stream())

    node.server.on["subscriptions/listen"] = mute
    client = await node.client(door)
    await client.stream()
    assert (await client.ask("resources/subscribe", {"uri": "x:1"}))["result"] == {}
    await until(lambda: not node.server.listening)


async def test_a_server_that_knows_no_listen_is_not_asked_again_and_again(node: Node) -> None:
    async def unknown(call: Call) -> Reply:
        return error(call, -32601, "Method not found", status=404)

    node.server.on["subscriptions/listen"] = unknown
    client = await node.client()
    events = Events(await client.stream())
    await events.primed()
    await until(lambda: node.server.of("subscriptions/listen"))
    for n in range(3):
        assert (await client.ask("resources/subscribe", {"uri": f"x:{n}"}))["result"] == {}
    assert len(node.server.of("subscriptions/listen")) == 1


async def test_one_listen_asks_for_so_many_resources_and_no_more(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "MAX_URIS", 3)
    door = node.process()
    for number in range(2):
        client = await node.client(door)
        for n in range(2):
            await client.ask("resources/subscribe", {"uri": f"x:{number}/{n}"})
        await listened(node, client)
    assert len(node.server.calls[-1].params["notifications"]["resourceSubscriptions"]) == 3
    with pytest.raises(InvalidParams, match="Too many"):
        await client.ask("resources/subscribe", {"uri": "x:more"})


async def test_a_server_without_listen_gives_a_stream_that_only_stays_open(node: Node) -> None:
    async def bare(call: Call) -> Reply:
        return result(call, {"capabilities": {"tools": {}}})

    node.server.on["server/discover"] = bare
    client = await node.client()
    events = Events(await client.stream())
    await events.primed()
    assert not node.server.of("subscriptions/listen")
    await events.close()


async def test_a_thousand_streams_given_up_leave_nothing(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "LINGER_S", 0.0)
    client = await node.client()
    for number in range(300):
        events = Events(await client.stream())
        if number % 3:
            await events.primed()
        await events.close()
    await until(node.nothing_left)
    assert not node.server.listening
