"""`subscriptions/listen`, served from the session's own stream."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.upstreams.bridge.to_legacy.conftest import Door, MakeDoor
from tests.upstreams.bridge.to_legacy.support import ALL, Answering, Client, Legacy, close, each
from tests.upstreams.transports.http.support import BOB

from mantlet.core.call import Reply
from mantlet.core.refusal import InvalidParams, NotAcceptable, Overloaded

EVERYTHING = {
    "toolsListChanged": True,
    "promptsListChanged": True,
    "resourcesListChanged": True,
    "resourceSubscriptions": ["test://a", "test://b", "test://a"],
}
HONOURED = {"toolsListChanged": True, "resourcesListChanged": True, "resourceSubscriptions": ["test://a", "test://b"]}
ID = "io.modelcontextprotocol/subscriptionId"
ACKNOWLEDGED = "notifications/subscriptions/acknowledged"


class Listening:
    """A subscription and what came on it."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self._messages: AsyncIterator[Any] = each(reply)

    async def next(self) -> Any:
        async with asyncio.timeout(5):
            return await anext(self._messages)

    async def rest(self) -> list[Any]:
        async with asyncio.timeout(5):
            return [message async for message in self._messages]

    async def close(self) -> None:
        await close(self.reply)


async def listen(client: Client, wanted: Any = EVERYTHING, **more: Any) -> tuple[Listening, Any]:
    """Begin one; gives what was acknowledged."""
    listening = Listening(await client.send("subscriptions/listen", {"notifications": wanted}, **more))
    acknowledged = await listening.next()
    assert acknowledged["method"] == ACKNOWLEDGED
    return listening, acknowledged["params"]["notifications"]


def changed(server: Legacy, method: str = "notifications/tools/list_changed", **params: Any) -> None:
    server.push(next(iter(server.streams)), {"method": method, **({"params": params} if params else {})})


async def test_what_is_offered_is_acknowledged_and_delivered(door: Door, server: Legacy) -> None:
    listening, honoured = await listen(door.client(), id="sub-1")
    assert honoured == HONOURED
    changed(server)
    changed(server, "notifications/prompts/list_changed")  # not honoured: the server never offered it
    changed(server, "notifications/resources/updated", uri="test://b/part", _meta={"x": 1}, more=2)
    changed(server, "notifications/resources/updated", uri="test://other")
    changed(server, "notifications/message", level="info", data="not here")
    changed(server, "notifications/resources/list_changed")
    assert await listening.next() == {
        "jsonrpc": "2.0", "method": "notifications/tools/list_changed", "params": {"_meta": {ID: "sub-1"}},
    }  # fmt: skip
    updated = await listening.next()
    assert updated["params"] == {"uri": "test://b/part", "more": 2, "_meta": {"x": 1, ID: "sub-1"}}
    assert (await listening.next())["method"] == "notifications/resources/list_changed"
    await listening.close()


async def test_only_what_is_asked_for_comes(door: Door, server: Legacy) -> None:
    client = door.client()
    first, honoured = await listen(client, {"resourcesListChanged": True}, id=1)
    second, nothing = await listen(client, {}, id=2)
    assert (honoured, nothing) == ({"resourcesListChanged": True}, {})
    changed(server)
    changed(server, "notifications/resources/list_changed")
    assert (await first.next())["params"]["_meta"] == {ID: 1}
    assert len(server.streams) == 1
    await first.close()
    await second.close()


async def test_notifications_on_a_calls_stream_reach_subscriptions(door: Door, server: Legacy) -> None:
    async def grow(at: Answering) -> Any:
        at.notify("notifications/tools/list_changed")
        return {"content": []}

    server.tools["grow"] = grow
    client = door.client()
    listening, _ = await listen(client)
    assert [m.get("method") for m in await client.messages("tools/call", {"name": "grow"})] == [None]
    assert (await listening.next())["method"] == "notifications/tools/list_changed"
    await listening.close()


async def test_callers_hear_of_their_own_sessions_only(door: Door, server: Legacy) -> None:
    """AUTHZ-08"""
    alice, _ = await listen(door.client())
    bob, _ = await listen(door.client(caller=BOB))
    for session in server.streams:
        server.push(
            session, {"method": "notifications/resources/updated", "params": {"uri": "test://a", "of": session}}
        )
    assert (await alice.next())["params"]["of"] == "s0"
    assert (await bob.next())["params"]["of"] == "s1"
    await alice.close()
    await bob.close()


async def test_resources_are_subscribed_to_once_and_left_with_the_last(door: Door, server: Legacy) -> None:
    client = door.client()
    first, second = [(await listen(client, {"resourceSubscriptions": ["test://a"]}))[0] for _ in range(2)]
    assert server.subscribed["test://a"] == 1
    await first.close()
    await door.settle()
    assert server.subscribed["test://a"] == 1
    await second.close()
    await server.seen("resources/unsubscribe")
    assert server.subscribed["test://a"] == 0
    await (await listen(client, {"resourceSubscriptions": ["test://a"]}))[0].close()
    assert len(server.of("resources/subscribe")) == 2


async def test_a_resource_that_the_server_refuses_is_not_acknowledged(door: Door, server: Legacy) -> None:
    inner = server._request

    async def request(message: Any, session: str, writer: asyncio.StreamWriter) -> None:
        if message["method"] == "resources/subscribe" and message["params"]["uri"] == "test://b":
            message = {**message, "method": "nothing like it"}
        await inner(message, session, writer)

    server._request = request  # type: ignore[method-assign]
    listening, honoured = await listen(door.client())
    assert honoured["resourceSubscriptions"] == ["test://a"]
    await listening.close()


async def test_without_a_stream_nothing_is_promised(door: Door, server: Legacy) -> None:
    server.has_stream = False
    client = door.client()
    for _ in range(2):
        listening, honoured = await listen(client)
        assert honoured == {}
        await listening.close()
    assert server.subscribed == {}


async def test_a_stream_that_breaks_off_is_opened_again(door: Door, server: Legacy) -> None:
    listening, _ = await listen(door.client())
    await server.seen("stream")
    next(iter(server.streams.values())).transport.abort()
    await server.seen("stream gone")
    await server.seen("stream")
    changed(server)
    assert (await listening.next())["method"] == "notifications/tools/list_changed"
    await listening.close()


async def test_a_session_that_is_lost_is_opened_again_with_its_subscriptions(door: Door, server: Legacy) -> None:
    listening, _ = await listen(door.client(), {"resourceSubscriptions": ["test://a"]})
    await server.seen("stream")
    server.live.clear()
    next(iter(server.streams.values())).transport.abort()
    await server.seen("stream gone")
    await server.seen("stream")
    assert (list(server.streams), server.subscribed["test://a"]) == (["s1"], 2)
    changed(server, "notifications/resources/updated", uri="test://a")
    assert (await listening.next())["params"]["uri"] == "test://a"
    await listening.close()


async def test_the_stream_is_kept_a_while_and_not_for_ever(door: Door, server: Legacy, monkeypatch: Any) -> None:
    monkeypatch.setattr("mantlet.upstreams.bridge.to_legacy.feed.LINGER_S", 0.05)
    listening, _ = await listen(door.client())
    await listening.close()
    await server.seen("stream gone")
    assert server.streams == {}
    listening, _ = await listen(door.client())
    assert list(server.streams) == ["s0"]
    await listening.close()


async def test_a_subscription_keeps_its_session(open_door: MakeDoor, server: Legacy) -> None:
    door = open_door(session_idle=3600)
    listening, _ = await listen(door.client())
    sessions = door.crossing._sessions
    for session in sessions._by_key.values():
        session.used_at_s -= 2 * 3600
    sessions.reap()
    assert server.live == {"s0"}
    await listening.close()
    for session in sessions._by_key.values():
        session.used_at_s -= 2 * 3600
    while server.live:
        sessions.reap()
        await asyncio.sleep(0.005)


async def test_streams_are_bounded(open_door: MakeDoor, server: Legacy) -> None:
    door = open_door(max_streams=2)
    client = door.client()
    two = [(await listen(client, {}))[0] for _ in range(2)]
    with pytest.raises(Overloaded):
        await client.send("subscriptions/listen", {"notifications": {}})
    await two[0].close()
    two.append((await listen(client, {}))[0])
    for one in two:
        await one.close()
    assert door.places.streams == 0


async def test_a_client_that_is_too_slow_loses_the_subscription_and_not_a_part_of_it(
    door: Door, server: Legacy
) -> None:
    listening, _ = await listen(door.client())
    for _ in range(40):
        changed(server, "notifications/resources/updated", uri="test://a", big="x" * 40_000)
    async with asyncio.timeout(5):
        while listening.reply.body.push(b""):  # type: ignore[union-attr]
            await asyncio.sleep(0.01)
    messages = await listening.rest()
    assert 1 < len(messages) < 40
    assert door.places.streams == 0


async def test_closing_the_node_ends_subscriptions_with_a_word(open_door: MakeDoor, server: Legacy) -> None:
    door = open_door()
    listening, _ = await listen(door.client(), id=9)
    await door.crossing.close()
    assert await listening.next() == {
        "jsonrpc": "2.0", "id": 9, "result": {"resultType": "complete", "_meta": {ID: 9}},
    }  # fmt: skip
    with pytest.raises(StopAsyncIteration):
        await listening.next()
    assert door.places.streams == 0


async def test_a_thousand_that_came_and_went_leave_nothing(door: Door, server: Legacy) -> None:
    client = door.client()
    for _ in range(100):
        each_ = await asyncio.gather(*(listen(client, id=n) for n in range(10)))
        await asyncio.gather(*(listening.close() for listening, _ in each_))
    await door.settle()
    session = next(iter(door.crossing._sessions._by_key.values()))
    assert (session.users, door.places.streams) == (0, 0)
    assert not +server.subscribed


@pytest.mark.parametrize(
    "wanted",
    [[], {"toolsListChanged": 1}, {"resourceSubscriptions": "x"}, {"resourceSubscriptions": [1]},
     {"resourceSubscriptions": [f"x{n}" for n in range(257)]}],
)  # fmt: skip
async def test_a_filter_that_is_none_is_refused(door: Door, wanted: Any) -> None:
    with pytest.raises(InvalidParams):
        await door.client().send("subscriptions/listen", {"notifications": wanted})


async def test_who_takes_no_stream_is_told_so(door: Door) -> None:
    call = door.client().make("subscriptions/listen", {"notifications": {}})
    call.arrival.headers.fields[0] = (b"accept", b"application/json")
    call.arrival.headers.__init__(call.arrival.headers.fields)  # type: ignore[misc]
    with pytest.raises(NotAcceptable):
        await door.crossing.send(call)


async def test_the_stream_for_questions_is_shared_with_subscriptions(door: Door, server: Legacy) -> None:
    async def echo(at: Answering) -> Any:
        return {"content": []}

    server.tools["echo"] = echo
    client = door.client(capabilities=ALL)
    listening, _ = await listen(client)
    await client.call("echo")
    assert list(server.streams) == ["s0"]
    await listening.close()


@pytest.mark.parametrize("status", [b"400 Bad", b"404 Not", b"501 No", b"500 Bad"])
async def test_a_server_that_answers_a_get_in_its_own_way_has_no_stream(
    door: Door, server: Legacy, status: bytes
) -> None:
    async def odd(request: Any, session: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 %b\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nno" % status)

    server._stream = odd  # type: ignore[method-assign]
    server.has_sessions = False
    listening, honoured = await listen(door.client())
    assert honoured == {}
    await listening.close()


async def test_calls_do_not_wait_again_for_a_stream_that_does_not_come(
    door: Door, server: Legacy, monkeypatch: Any
) -> None:
    monkeypatch.setattr("mantlet.upstreams.bridge.to_legacy.feed.ASKING_WAIT_S", 0.05)
    waits = 0

    async def silent(request: Any, session: str, writer: asyncio.StreamWriter) -> None:
        nonlocal waits
        waits += 1
        await asyncio.get_running_loop().create_future()

    async def echo(at: Answering) -> Any:
        return {"content": []}

    server._stream = silent  # type: ignore[method-assign]
    server.tools["echo"] = echo
    client = door.client(capabilities=ALL)
    await client.call("echo")
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    for _ in range(20):
        await client.call("echo")
    assert loop.time() - began_s < 0.9  # twenty waits would take a second
    assert waits


async def test_streams_that_end_at_once_are_not_asked_for_in_a_loop(door: Door, server: Legacy) -> None:
    times = 0

    async def short(request: Any, session: str, writer: asyncio.StreamWriter) -> None:
        nonlocal times
        times += 1
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        )

    server._stream = short  # type: ignore[method-assign]
    listening, _ = await listen(door.client())
    await asyncio.sleep(0.5)
    assert times <= 4
    await listening.close()


async def test_nonsense_on_the_stream_does_not_end_it(door: Door, server: Legacy) -> None:
    listening, _ = await listen(door.client())
    changes = "notifications/tools/list_changed"
    nonsense = [
        {"method": changes, "params": [1]},
        {"method": changes, "params": {"_meta": 1}},
        {"id": {}, "method": "ping"},
        {"id": 1, "result": {}},
    ]
    for message in nonsense:
        server.push("s0", message)
    changed(server, "notifications/resources/list_changed")
    assert (await listening.next())["method"] == "notifications/resources/list_changed"
    await listening.close()
