"""Sessions that no process owns. MCP-04, AUTHZ-04"""

from typing import Any

import pytest
from tests.upstreams.bridge.to_modern.conftest import Node
from tests.upstreams.bridge.to_modern.support import (
    ALL,
    DISCOVERY,
    Client,
    FakePost,
    Modern,
    error,
    process,
    result,
    text,
)
from tests.upstreams.transports.http.support import ALICE, BOB

from mantlet.core.call import Call, Reply
from mantlet.core.clock import SYSTEM, Clock
from mantlet.core.refusal import InvalidParams, InvalidRequest, MethodNotFound, SessionNotFound
from mantlet.stores.state import MemoryState
from mantlet.upstreams.bridge.to_modern import ToModern
from mantlet.wire.mcp.methods import META_CAPABILITIES, META_CLIENT_INFO, META_VERSION


@pytest.mark.parametrize("version", ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"])
async def test_a_handshake_asks_the_server_who_it_is(node: Node, version: str) -> None:
    client = Client(node.process())
    answer = await client.open(version)
    assert answer["result"] == {
        "protocolVersion": version,
        "capabilities": DISCOVERY["capabilities"],
        "serverInfo": {"name": "s", "version": ""},
    }
    (asked,) = node.server.calls
    assert asked.params["_meta"] == {
        META_VERSION: "2026-07-28",
        META_CLIENT_INFO: {"name": "c", "version": "1"},
        META_CAPABILITIES: ALL,
    }
    assert asked.caller == ALICE
    assert len(client.session) > 60
    assert client.session.isascii()


async def test_a_session_is_served_by_processes_that_never_saw_it(node: Node) -> None:
    opener = await node.client()
    for _ in range(2):
        elsewhere = Client(node.process())
        elsewhere.session = opener.session
        assert (await elsewhere.ask("ping"))["result"] == {}


async def test_what_the_server_says_instead_of_a_discovery_reaches_the_client(node: Node) -> None:
    async def broken(call: Call) -> Reply:
        return error(call, -32603, "broken", status=500)

    node.server.on["server/discover"] = broken
    client = Client(node.process())
    assert (await client.open())["error"] == {"code": -32603, "message": "broken"}
    assert not client.session


@pytest.mark.parametrize("kind", ["request", "notification", "response", "stream", "end"])
async def test_foreign_forged_and_ended_sessions_look_alike(node: Node, kind: Any) -> None:
    """AUTHZ-04"""
    door, sibling = node.process(), node.process()
    client = await node.client(door)
    foreign = Client(door, caller=BOB)
    foreign.session = client.session
    forged = Client(door)
    forged.session = ("B" if client.session.startswith("A") else "A") + client.session[1:]
    other = Modern()
    other.name = "t"  # the same node, the next server
    elsewhere = Client(process(other, node.state, node.houses["house0"]))
    elsewhere.session = client.session
    ended = await node.client(door)
    await ended.end(door=door)
    ended.doors = [sibling]
    said = set()
    for one in (foreign, forged, elsewhere, ended):
        with pytest.raises(SessionNotFound) as refused:
            await one.door().send(one.call("ping", kind=kind))
        said.add((refused.value.detail, refused.value.reason))
    assert len(said) == 1
    assert (await client.ask("ping"))["result"] == {}


async def test_a_session_lives_a_day(node: Node) -> None:
    now_s = 1_000_000.0
    clock = Clock(SYSTEM.monotonic, lambda: now_s)
    door = process(node.server, node.state, FakePost(node.houses, "house"), clock=clock)
    client = await node.client(door)
    await client.ask("ping")  # a mark that it is in use, which in this store never dies
    now_s += 86_399
    assert (await client.ask("ping"))["result"] == {}
    now_s += 1
    with pytest.raises(SessionNotFound):
        await client.ask("ping")


async def test_without_a_session_only_a_handshake_is_heard(node: Node) -> None:
    client = Client(node.process())
    with pytest.raises(InvalidRequest, match="Mcp-Session-Id"):
        await client.ask("ping")


async def test_a_client_with_much_to_say_of_itself_still_has_a_short_id(node: Node) -> None:
    door, sibling = node.process(), node.process()
    client = Client(door, capabilities={**ALL, "experimental": {"x": {"y": "z" * 5_000}}})
    await client.open()
    assert len(client.session) < 1_024
    client.doors = [sibling]

    async def answered(call: Call) -> Reply:
        return text(call, str(len(call.params["_meta"][META_CAPABILITIES]["experimental"]["x"]["y"])))

    node.server.on["tools/call"] = answered
    said = await client.ask("tools/call", {"name": "x"})
    assert said["result"]["content"][0]["text"] == "5000"
    await client.end()
    assert not [key for key in node.state.values if key[1] == "client"]


async def test_a_client_with_too_much_to_say_is_refused(node: Node) -> None:
    client = Client(node.process(), capabilities={"experimental": {"x": {"y": "z" * 40_000}}})
    with pytest.raises(InvalidParams, match="larger than"):
        await client.open()


async def test_tasks_of_that_time_are_refused_in_clear_words(node: Node) -> None:
    client = await node.client()
    with pytest.raises(MethodNotFound, match="Tasks of 2025-11-25"):
        await client.ask("tasks/get", {"taskId": "t"})


async def test_notifications_are_accepted_and_go_no_further(node: Node) -> None:
    client = await node.client()
    for method in ("notifications/initialized", "notifications/roots/list_changed", "notifications/never_heard_of"):
        assert await client.tell(method) == 202
    assert [call.method for call in node.server.calls] == ["server/discover"]


async def test_the_level_of_log_messages_is_the_session_s_at_every_process(node: Node) -> None:
    async def leveled(call: Call) -> Reply:
        return text(call, str(call.params["_meta"].get("io.modelcontextprotocol/logLevel")))

    node.server.on["tools/call"] = leveled
    doors = node.process(), node.process()
    client, other = await node.client(*doors), await node.client(*doors)
    await client.ask("logging/setLevel", {"level": "warning"})
    for _ in doors:
        assert (await client.ask("tools/call", {"name": "x"}))["result"]["content"][0]["text"] == "warning"
        assert (await other.ask("tools/call", {"name": "x"}))["result"]["content"][0]["text"] == "None"
    with pytest.raises(InvalidParams):
        await client.ask("logging/setLevel", {"level": "loud"})


async def test_a_server_that_offers_no_subscriptions_has_none(node: Node) -> None:
    async def bare(call: Call) -> Reply:
        return result(call, {"capabilities": {"tools": {}}})

    node.server.on["server/discover"] = bare
    client = await node.client()
    with pytest.raises(MethodNotFound):
        await client.ask("resources/subscribe", {"uri": "x:1"})


class AtThatTime(Modern):
    """It does not compare deadlines with this machine's clock."""

    async def send(self, call: Call, /) -> Reply:
        return await self.on[call.method](call)


async def test_a_session_that_rests_for_too_long_is_over_at_every_process(node: Node) -> None:
    """MCP-04"""
    now_s = 1_000_000.0
    clock = Clock(lambda: now_s, lambda: now_s)
    state = MemoryState(clock)

    async def pinged(door: ToModern) -> None:
        client.doors = [door]
        assert (await client.ask("ping"))["result"] == {}

    doors = [process(AtThatTime(), state, FakePost(node.houses, f"h{n}"), clock=clock) for n in range(2)]
    client = await node.client(doors[0])
    for door in (doors[1], doors[0], doors[1]):
        now_s += 3_599
        await pinged(door)
    now_s += 3_660
    for door in doors:
        with pytest.raises(SessionNotFound):
            await pinged(door)
    for door in doors:
        await door.close()


async def test_a_session_with_a_call_or_a_stream_is_in_use(node: Node) -> None:
    """MCP-04: whatever it is, it is named to those who decide who rests."""
    door = node.process()
    client = await node.client(door)
    key = (await door._sessions.open(client.session, ALICE)).session.key
    assert list(door._busy()) == []
    stream = await client.stream()
    assert list(door._busy()) == [key]
    await stream.body.aclose()  # type: ignore[union-attr]

    async def looking(call: Call) -> Reply:
        assert key in door._parts.in_flight.sessions()
        return text(call, "seen")

    node.server.on["tools/call"] = looking
    await client.ask("tools/call", {"name": "x"})
    assert list(door._parts.in_flight.sessions()) == []
