"""Sessions at the endpoint of all servers, over several workers (MCP-04, AUTHZ-04)."""

import asyncio
import json
from typing import Any

import pytest
from tests.policies.aggregate.test_asked import ask, begun
from tests.policies.aggregate.world import House, World, result_of, tools
from tests.policies.support import BOB, Stream

from mantlet.core import refusal as r
from mantlet.core.call import Call
from mantlet.core.clock import Clock
from mantlet.policies.aggregate import session as sessions
from mantlet.policies.aggregate.quota import Quota
from mantlet.stores.state import MemoryState


async def listed(policy: Any, world: Any, session: str) -> list[str]:
    reply = await policy(ask("tools/list", session=session), world)
    return [tool["name"] for tool in result_of(reply)["tools"]]


async def test_all_workers_use_one_session_with_a_server() -> None:
    world, house = World(one=tools("a"), two=tools("b")), House()
    workers = [house.worker(world) for _ in range(4)]
    mine = await begun(workers[0], world)
    for worker in workers:
        assert await listed(worker, world, mine) == ["a", "b"]
    assert len(world.asked("initialize")) == 2


async def test_workers_that_race_agree_and_the_losers_end_what_they_opened() -> None:
    world, house = World(one=tools("a")), House()
    workers = [house.worker(world) for _ in range(4)]
    mine = await begun(workers[0], world)
    world.gate = asyncio.Event()
    asking = [asyncio.ensure_future(listed(worker, world, mine)) for worker in workers]
    while len(world.asked("initialize")) < 4:
        await asyncio.sleep(0)
    world.gate.set()
    assert await asyncio.gather(*asking) == [["a"]] * 4
    assert len({c.session for c in world.asked("tools/list")}) == 1
    ended = {c.session for c in world.reached if c.kind == "end"}
    assert len(ended) == 3
    assert ended.isdisjoint({c.session for c in world.asked("tools/list")})


async def test_a_server_that_forgot_gets_one_new_session_for_all_workers() -> None:
    """RES-06: however often it forgets, and whichever worker notices first."""
    world, house = World(one=tools("a")), House()
    workers = [house.worker(world) for _ in range(3)]
    mine = await begun(workers[0], world)
    for turn in range(1, 5):
        for worker in workers[turn % 3 :] + workers[: turn % 3]:
            assert await listed(worker, world, mine) == ["a"]
        assert len(world.asked("initialize")) == turn
        world.live.clear()
    newcomer = house.worker(world)
    assert await listed(newcomer, world, mine) == ["a"]
    assert [await listed(worker, world, mine) for worker in workers] == [["a"]] * 3
    assert len(world.asked("initialize")) == 5


async def test_a_session_that_ends_at_one_worker_ends_at_all() -> None:
    """MCP-04: at the siblings as soon as they hear of it, and after `BELIEVED_S` if they do not."""
    now_s = [0.0]
    world, house = World(one=tools("a")), House(monotonic=lambda: now_s[0])
    here, there, deaf = (house.worker(world) for _ in range(3))
    mine = await begun(here, world)
    await listed(there, world, mine)
    await listed(deaf, world, mine)
    deaf._legacy.ids._post.close(sessions.BOX)
    assert (await here(ask("", kind="end", session=mine, raw_id=None), world)).status == 204
    assert [c.session for c in world.reached if c.kind == "end"] == ["one-1"]
    with pytest.raises(r.SessionNotFound):
        await listed(here, world, mine)
    with pytest.raises(r.SessionNotFound):
        await listed(house.worker(world), world, mine)
    await asyncio.sleep(0)
    with pytest.raises(r.SessionNotFound):
        await listed(there, world, mine)
    await listed(deaf, world, mine)
    now_s[0] += sessions.BELIEVED_S
    with pytest.raises(r.SessionNotFound):
        await listed(deaf, world, mine)


async def test_a_session_costs_the_store_nothing_while_it_is_believed() -> None:
    world, house = World(one=tools("a")), House()
    asked: list[Any] = []
    get = house.state.get

    async def counted(key: Any, /) -> Any:
        asked.append(key)
        return await get(key)

    house.state.get = counted  # type: ignore[method-assign]
    policy = house.worker(world)
    mine = await begun(policy, world)
    await policy(ask("tools/call", {"name": "a"}, session=mine), world)
    asked.clear()
    for _ in range(10):
        await policy(ask("tools/call", {"name": "a"}, session=mine), world)
    assert asked == []


async def test_a_server_speaks_the_revision_it_settled_on() -> None:
    def old(item: Call) -> Any:
        return tools("a")(item)

    world = World(one=old)
    policy = House().worker(world)
    mine = await begun(policy, world)

    async def answering(item: Call) -> Any:
        reply = await world(item)
        if item.method == "initialize":
            reply.body = reply.body.replace(b"2025-11-25", b"2025-03-26")  # type: ignore[union-attr]
        return reply

    fields = [(b"mcp-protocol-version", b"2025-11-25")]
    await policy(ask("tools/call", {"name": "a"}, session=mine, fields=fields), answering)
    for method in ("notifications/initialized", "tools/list", "tools/call"):
        assert world.asked(method)[0].arrival.headers.get(b"mcp-protocol-version") == b"2025-03-26"


async def test_a_revision_that_nobody_knows_opens_no_session() -> None:
    world = World(one=tools("a"))
    policy = House().worker(world)
    mine = await begun(policy, world)

    async def answering(item: Call) -> Any:
        reply = await world(item)
        if item.method == "initialize":
            reply.body = reply.body.replace(b"2025-11-25", b"1999-01-01")  # type: ignore[union-attr]
        return reply

    with pytest.raises(r.InvalidParams):
        await policy(ask("tools/call", {"name": "a"}, session=mine), answering)
    assert world.asked("tools/list") == []


async def test_a_server_that_forgets_at_once_is_at_fault_and_not_the_client() -> None:
    """A 404 would tell the client that its own session is gone."""
    world = World(one=tools("a"))
    policy = House().worker(world)
    mine = await begun(policy, world)
    await listed(policy, world, mine)

    async def forgetting(item: Call) -> Any:
        if item.method == "tools/call":
            raise r.SessionNotFound
        return await world(item)

    with pytest.raises(r.BadUpstream):
        await policy(ask("tools/call", {"name": "a"}, session=mine), forgetting)


async def test_a_session_belongs_to_its_endpoint_and_caller() -> None:
    """AUTHZ-04"""
    from mantlet.policies.aggregate.config import VirtualServerConfig

    world, house = World(one=tools("a")), House()
    policy = house.worker(world, virtual=[VirtualServerConfig(name="v", tools=["a"])])
    mine = await begun(policy, world)
    await listed(policy, world, mine)
    item = ask("tools/list", session=mine)
    item.view = "v"
    with pytest.raises(r.SessionNotFound):
        await policy(item, world)
    with pytest.raises(r.SessionNotFound):
        await policy(ask("tools/list", session=mine, caller=BOB), world)


async def test_ten_thousand_sessions_leave_a_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MAX_OPENED", 10)
    world = World(one=tools("a"))
    policy = House().worker(world)
    texts = [await begun(policy, world) for _ in range(50)]
    for text in texts:
        await policy(ask("ping", session=text), world)
    assert len(policy._legacy.ids._opened) == 10
    assert result_of(await policy(ask("ping", session=texts[0]), world)) == {}


@pytest.mark.parametrize("is_stream", [False, True])
async def test_the_id_of_a_session_behind_stays_inside(is_stream: bool) -> None:
    """MCP-04: a client that took it up would have lost its own."""
    world = World(one=tools("a"))
    policy = House().worker(world)
    mine = await begun(policy, world)

    async def telling(item: Call) -> Any:
        reply = await world(item)
        if item.method == "tools/call":
            reply.headers.append((b"mcp-session-id", item.session.encode()))
            if is_stream:
                reply.body = Stream(b"data: {}\n\n")
        return reply

    reply = await policy(ask("tools/call", {"name": "a"}, session=mine), telling)
    assert reply.header(b"mcp-session-id") is None
    assert reply.header(b"content-type") is not None


async def test_no_two_requests_of_a_session_have_one_id() -> None:
    """MCP-05: servers file their streams by id, and of two at once under one only one is ever answered."""
    world, house = World(one=tools("a")), House()
    workers = [house.worker(world) for _ in range(2)]
    mine = await begun(workers[0], world)
    for method in ("tools/list", "prompts/list", "resources/list"):
        await asyncio.gather(*(worker(ask(method, session=mine), world) for worker in workers * 3))
    with pytest.raises(r.ResourceNotFound):
        await workers[0](ask("resources/read", {"uri": "no://such"}, session=mine), world)
    ids = [c.id for c in world.reached if c.kind == "request"]
    assert len(set(ids)) == len(ids) > 18
    assert all(c.message["id"] == json.loads(c.id or b"") == json.loads(c.body)["id"] for c in world.reached if c.id)


def test_a_caller_has_so_many_sessions_and_no_more() -> None:
    """MCP-04: others have theirs; one that ended or rests makes room."""
    now_s = [0.0]
    quota = Quota(lambda: now_s[0], idle_s=60, per_caller=2)
    ann, bob = ("t", "i", "ann"), ("t", "i", "bob")
    for session in ("a", "b", "a"):
        quota.use(ann, session)
    with pytest.raises(r.Overloaded):
        quota.use(ann, "c")
    quota.use(bob, "c")
    quota.end(ann, "b")
    quota.use(ann, "c")
    now_s[0] = 60
    quota.use(ann, "a")
    now_s[0] += 1
    quota.use(ann, "d")
    with pytest.raises(r.Overloaded):
        quota.use(ann, "c")
    for session in ("a", "d"):
        quota.end(ann, session)
    quota.end(bob, "c")
    quota.end(bob, "c")
    assert quota._used == {}


async def test_a_session_that_rests_for_too_long_is_over_at_all_workers() -> None:
    """MCP-04"""
    now_s = [1e9]
    world = World(one=tools("a"))
    house = House(monotonic=lambda: now_s[0], wall=lambda: now_s[0])
    house.state = MemoryState(Clock(lambda: now_s[0], lambda: now_s[0]))
    here, there = (house.worker(world) for _ in range(2))
    mine = await begun(here, world)
    for worker in (there, here, there, here):
        now_s[0] += 3_599
        assert await listed(worker, world, mine) == ["a"]
    now_s[0] += 3_660
    for worker in (here, there, here):
        with pytest.raises(r.SessionNotFound):
            await listed(worker, world, mine)
    assert here._legacy.ids._quota._used == {}


async def test_a_session_with_a_call_or_a_stream_is_in_use() -> None:
    """MCP-04: whatever it is, it is named to those who decide who rests."""
    world = World(one=tools("a"))
    policy = House().worker(world)
    mine = await begun(policy, world)
    await listed(policy, world, mine)
    key = (await policy._legacy.ids.find(ask("ping", session=mine))).key
    assert list(policy._legacy._busy()) == []
    stream = await policy(
        ask("", kind="stream", session=mine, raw_id=None, fields=[(b"accept", b"text/event-stream")]), world
    )
    assert list(policy._legacy._busy()) == [key]
    await stream.body.aclose()  # type: ignore[union-attr]

    async def looking(item: Call) -> Any:
        if item.method == "tools/call":
            assert key in policy._legacy._busy()
        return await world(item)

    await policy(ask("tools/call", {"name": "a"}, session=mine), looking)
    assert list(policy._legacy._busy()) == []
