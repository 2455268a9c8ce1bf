"""A merged GET stream whose client comes back with `Last-Event-ID` (2025-11-25, "Resumability and Redelivery")."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.policies.aggregate.test_asked import ask, begun
from tests.policies.aggregate.test_listen import note, until
from tests.policies.aggregate.test_streams import ACCEPT, Server
from tests.policies.aggregate.world import House, World
from tests.policies.support import ALICE, BOB

from mantlet.core import refusal as r
from mantlet.core.caller import Caller
from mantlet.policies.aggregate import changes, handover, source, streams
from mantlet.policies.aggregate.replay import MAX_BYTES, MAX_EVENTS, Replay, read, unpacked
from mantlet.wire.sse import SseSplitter

LISTS = {f"notifications/{kind}/list_changed" for kind in ("tools", "prompts", "resources")}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "DEBOUNCE_S", 0.0)
    monkeypatch.setattr(source, "FIRST_DELAY_S", 0.0)


class Client:
    """Reads one stream, and remembers the last id as the standard has it."""

    def __init__(self, policy: Any, world: World, session: str, caller: Caller = ALICE) -> None:
        self.policy, self.world, self.session, self.caller = policy, world, session, caller
        self.last = ""
        self.is_primed = False

    async def open(self, policy: Any = None, last: str | None = None) -> None:
        resume = self.last if last is None else last
        fields = [*ACCEPT, (b"last-event-id", resume.encode())] if resume else ACCEPT
        item = ask("", kind="stream", session=self.session, raw_id=None, fields=fields, caller=self.caller)
        reply = await (policy or self.policy)(item, self.world)
        assert not isinstance(reply.body, bytes)
        self.body = reply.body
        self._events = self._read(self.body)

    async def _read(self, body: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
        splitter = SseSplitter(1 << 21)
        async for chunk in body:
            for event in splitter.feed(chunk):
                self.last = event.id.decode() if event.id else self.last
                if event.data:
                    yield json.loads(event.data)
                else:
                    self.is_primed = True

    async def hear(self) -> dict[str, Any]:
        async with asyncio.timeout(5):
            return await anext(self._events)

    async def hear_numbers(self, count: int) -> list[int]:
        return [(await self.hear())["params"]["data"] for _ in range(count)]

    async def hear_lists_changed(self) -> None:
        assert {(await self.hear())["method"] for _ in range(3)} == LISTS

    async def leave(self) -> None:
        await self.body.aclose()  # type: ignore[attr-defined]


def number(value: int) -> dict[str, Any]:
    return note("message", level="info", data=value)


async def listening(house: House, *servers: str, **bounds: Any) -> tuple[Client, dict[str, Server], Any]:
    """A client that hears every server, and has heard 0 of the first."""
    made = {name: Server() for name in servers}
    world = World(**made)
    policy = house.worker(world, **bounds)
    client = Client(policy, world, await begun(policy, world))
    await policy(ask("tools/list", session=client.session), world)
    await client.open()
    await until(lambda: all(server.streams for server in made.values()))
    made[servers[0]].say(number(0))
    assert await client.hear_numbers(1) == [0]
    return client, made, policy


async def test_who_comes_back_gets_what_was_said_meanwhile_once_and_nothing_is_opened_anew() -> None:
    client, servers, policy = await listening(House(), "one", "two")
    for round_ in (1, 3):
        await client.leave()
        servers["one"].say(number(round_))
        servers["two"].say(number(round_ + 1))
        await until(lambda: policy._legacy._streams._open)
        await client.open()
        assert sorted(await client.hear_numbers(2)) == [round_, round_ + 1]
    servers["one"].say(number(9))
    assert await client.hear_numbers(1) == [9]
    assert [len(server.opened) for server in servers.values()] == [1, 1]
    await client.leave()


async def test_at_another_worker_it_goes_on_and_the_first_lets_go() -> None:
    house = House()
    client, servers, here = await listening(house, "one")
    there = house.worker(client.world)
    await client.leave()
    servers["one"].say(number(1))
    await until(lambda: here._legacy._streams._open)
    for _ in range(20):
        await asyncio.sleep(0)
    await client.open(there)
    assert await client.hear_numbers(1) == [1]
    assert here._legacy._streams._open == {}
    await until(lambda: servers["one"].closed == 1 and len(servers["one"].streams) == 2)
    servers["one"].say(number(2))
    assert await client.hear_numbers(1) == [2]
    await client.open(here)
    servers["one"].say(number(3))
    await until(lambda: len(servers["one"].streams) == 3)
    await client.leave()


@pytest.mark.parametrize("how", ["dead", "silent", "forgotten"])
async def test_where_nobody_knows_what_was_missed_all_lists_may_have_changed(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "HAND_OVER_S", 0.01)
    house = House()
    client, _, here = await listening(house, "one")
    await client.leave()
    if how == "dead":
        house.posts.clear()
    elif how == "silent":
        monkeypatch.setattr(here._legacy._streams._handover, "_give", lambda key, token: 1 / 0)
        for post in house.posts.values():
            post.close(handover.ASK_BOX)
    else:
        here._legacy._streams._open.clear()
    before = client.last
    await client.open(house.worker(client.world))
    await client.hear_lists_changed()
    assert client.last.split(".")[0] != before.split(".")[0]
    await client.leave()


async def test_more_than_is_kept_is_told_to_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    client, servers, _ = await listening(House(), "one")
    await client.leave()
    for value in range(1, MAX_EVENTS + 11):
        servers["one"].say(number(value))
    await until(lambda: servers["one"].streams[0]._size == 0)
    await client.open()
    assert await client.hear_numbers(MAX_EVENTS) == list(range(11, MAX_EVENTS + 11))
    await client.hear_lists_changed()
    await client.leave()


@pytest.mark.parametrize("caller", [ALICE, BOB])
async def test_an_id_of_another_session_opens_nothing_of_it(caller: Caller) -> None:
    """MCP-04: whoever shows it, and whatever is kept."""
    house = House()
    client, servers, policy = await listening(house, "one")
    await client.leave()
    servers["one"].say(note("message", level="info", data="secret"))
    session = await begun(policy, client.world, caller=caller)
    for worker in (policy, house.worker(client.world)):
        thief = Client(worker, client.world, session, caller)
        await thief.open(last=client.last)
        await thief.hear_lists_changed()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await anext(thief._events)
        await thief.leave()
    await client.open()
    assert (await client.hear())["params"]["data"] == "secret"
    with pytest.raises(r.SessionNotFound):
        await Client(policy, client.world, client.session, BOB).open(last=client.last)
    await client.leave()


async def test_what_a_server_said_is_not_told_to_who_may_not_reach_it_any_more() -> None:
    may_not: set[str] = set()
    client, servers, _ = await listening(House(), "one", "two", may_reach=lambda caller, server: server not in may_not)
    await client.leave()
    servers["one"].say(number(1))
    servers["two"].say(number(666))
    servers["one"].say(number(2))
    await until(lambda: not any(server.streams[0]._size for server in servers.values()))
    may_not.add("two")
    await client.open()
    assert await client.hear_numbers(2) == [1, 2]
    await until(lambda: servers["two"].closed == 1)
    assert len(servers["two"].opened) == 1
    await client.leave()


async def test_nobody_waits_for_ever_for_a_client_and_its_place_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """MCP-07"""
    client, servers, policy = await listening(House(), "one", max_streams=1)
    monkeypatch.setattr(streams, "LINGER_S", 0.0)
    await client.leave()
    await until(lambda: servers["one"].closed == 1)
    assert policy._legacy._streams._open == {}
    monkeypatch.setattr(streams, "LINGER_S", 30.0)
    await client.open()  # there is room, though it is one stream at most
    await client.hear_lists_changed()
    await client.leave()


@pytest.mark.parametrize(
    ("bounds", "caller"),
    [({"max_streams_per_caller": 1}, ALICE), ({"max_streams": 1}, ALICE), ({"max_streams": 1}, BOB)],
)
async def test_a_stream_that_waits_for_its_client_takes_no_place_from_one_that_listens(
    bounds: dict[str, int], caller: Caller
) -> None:
    """MCP-07"""
    client, servers, policy = await listening(House(), "one", **bounds)
    session = await begun(policy, client.world, caller=caller)
    other = Client(policy, client.world, session, caller)
    with pytest.raises(r.Overloaded):
        await other.open()
    await client.leave()
    await other.open()
    await until(lambda: servers["one"].closed == 1)
    with pytest.raises(r.Overloaded):
        await client.open()
    await other.leave()


async def test_who_has_all_places_of_one_caller_ends_nobody_elses_stream() -> None:
    """MCP-07"""
    client, servers, policy = await listening(House(), "one", max_streams_per_caller=1)
    await client.leave()
    bobs = [Client(policy, client.world, await begun(policy, client.world, caller=BOB), BOB) for _ in range(2)]
    await bobs[0].open()
    with pytest.raises(r.Overloaded):
        await bobs[1].open()
    servers["one"].say(number(1))
    await client.open()
    assert await client.hear_numbers(1) == [1]
    await client.leave()
    await bobs[0].leave()


@pytest.mark.parametrize("is_here", [True, False])
async def test_a_session_that_ends_takes_its_stream_along_also_one_that_waits(is_here: bool) -> None:
    """MCP-04"""
    house = House()
    client, servers, here = await listening(house, "one")
    await client.leave()
    other = here if is_here else house.worker(client.world)
    await other(ask("", kind="end", session=client.session, raw_id=None), client.world)
    await until(lambda: servers["one"].closed == 1)
    assert here._legacy._streams._open == {}


@pytest.mark.parametrize(
    "last",
    ["x", ".", "0.0", "a" * 16 + ".1", "a" * 16 + ".-1", "a" * 16 + ".99999999999999999999", "é" * 20, "1" * 9_000],
)
async def test_what_is_no_id_of_ours_is_a_client_that_missed_something(last: str) -> None:
    client, _, _ = await listening(House(), "one")
    await client.leave()
    await client.open(last=last)
    await client.hear_lists_changed()
    await client.leave()


async def test_an_event_that_never_was_is_one_that_is_lost() -> None:
    client, servers, _ = await listening(House(), "one")
    token = client.last.split(".")[0]
    await client.leave()
    await client.open(last=f"{token}.999999")
    await client.hear_lists_changed()
    servers["one"].say(number(5))
    assert await client.hear_numbers(1) == [5]
    await client.leave()


async def test_a_client_too_slow_for_its_stream_may_come_back_for_the_rest() -> None:
    client, servers, _ = await listening(House(), "one")
    big = "x" * 100_000
    for value in range(12):
        servers["one"].say(note("message", level="info", data=value, pad=big))
        await until(lambda: not servers["one"].streams[0]._size)
    heard = [message["params"]["data"] async for message in client._events]  # to the end that the node made
    assert heard == list(range(len(heard)))
    assert len(heard) < 12
    await client.open()
    assert await client.hear_numbers(2) == [10, 11]
    servers["one"].say(number(12))
    assert await client.hear_numbers(1) == [12]
    await client.leave()


@pytest.mark.parametrize(("version", "is_primed"), [("2025-11-25", True), ("2025-06-18", False)])
async def test_older_clients_get_no_event_without_data(version: str, is_primed: bool) -> None:
    one = Server()
    world = World(one=one)
    policy = House().worker(world)
    client = Client(policy, world, await begun(policy, world, version=version))
    await policy(ask("tools/list", session=client.session), world)
    await client.open()
    await until(lambda: one.streams)
    one.say(number(1))
    assert await client.hear_numbers(1) == [1]
    assert client.is_primed is is_primed
    await client.leave()


def test_what_is_kept_is_bounded_in_number_and_size() -> None:
    kept = Replay("t" * 16)
    for value in range(MAX_EVENTS + 5):
        assert kept.keep("one", b"%d" % value) == b"%s.%d" % (b"t" * 16, value + 1)
    assert not kept.has_all_after(4)
    assert kept.has_all_after(5)
    assert len(list(kept.after(0, ["one"]))) == MAX_EVENTS
    kept.keep("one", b"x" * (MAX_BYTES + 1))
    assert list(kept.after(0, ["one"])) == []
    assert [kept.has_all_after(n) for n in (260, 261, 262, 263)] == [False, False, True, False]


def test_a_stream_is_the_same_after_its_way() -> None:
    kept = Replay("t" * 16)
    kept.keep("one", b"1")
    kept.keep("", b"2")
    there = unpacked(kept.packed())
    assert list(there.after(0, [])) == [(b"tttttttttttttttt.2", b"2")]
    assert there.keep("one", b"3") == b"tttttttttttttttt.3"
    assert read("tttttttttttttttt.3") == ("t" * 16, 3)
