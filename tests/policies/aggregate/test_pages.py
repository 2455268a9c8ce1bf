"""Pages of merged lists, and virtual servers."""

from typing import Any

import pytest
from tests.policies.aggregate.test_asked import ask as ask_legacy
from tests.policies.aggregate.test_asked import begun
from tests.policies.aggregate.world import House, World, endpoint, result_of, tools
from tests.policies.support import ALICE, BOB, call

from mantlet.core import refusal as r
from mantlet.core.call import Call
from mantlet.policies.aggregate.config import VirtualServerConfig
from mantlet.policies.aggregate.merge import ERRORS


def ask(method: str, params: dict[str, Any] | None = None, *, view: str = "", **options: Any) -> Call:
    item = call(method, params, server="", **options)
    item.view = view
    return item


async def pages(policy: Any, world: World, between: Any = lambda: None) -> list[list[str]]:
    found: list[list[str]] = []
    params: dict[str, Any] = {}
    while len(found) < 100:
        result = result_of(await policy(ask("tools/list", params), world))
        found.append([tool["name"] for tool in result["tools"]])
        if "nextCursor" not in result:
            return found
        params = {"cursor": result["nextCursor"]}
        between()
    raise AssertionError("it never ends")


def many(*counts: int) -> World:
    letters = "abcde"
    return World(**{f"s{i}": tools(*(f"{letters[i]}{n}" for n in range(count))) for i, count in enumerate(counts)})


@pytest.mark.parametrize("size", [1, 2, 3, 5, 9, 10, 100])
async def test_pages_put_together_are_the_list(size: int) -> None:
    world = many(4, 0, 3, 2)
    found = await pages(endpoint(world, page_size=size), world)
    assert [name for page in found for name in page] == [f"a{n}" for n in range(4)] + ["c0", "c1", "c2", "d0", "d1"]
    assert all(len(page) == size for page in found[:-1])


async def test_servers_whose_items_were_shown_are_not_asked_again() -> None:
    world = many(2, 2, 2)
    await pages(endpoint(world, page_size=2), world)
    assert [c.server for c in world.asked("tools/list")] == ["s0", "s1", "s2", "s1", "s2", "s2"]


async def test_a_list_that_changes_meanwhile_ends_all_the_same() -> None:
    world = many(3, 3, 3)
    policy = endpoint(world, page_size=1)
    turns = [0]

    def change() -> None:
        turns[0] += 1
        world.servers["s0"] = r_unavailable if turns[0] == 1 else tools("a0", *(f"n{n}" for n in range(turns[0] * 3)))

    def r_unavailable(_: Call) -> Any:
        return r.UpstreamUnavailable(why="x")

    found = await pages(policy, world, change)
    assert len(found) < 30
    shrinking = many(5, 2)
    policy = endpoint(shrinking, page_size=3)
    found = await pages(policy, shrinking, lambda: shrinking.servers.update(s0=tools("a0")))
    assert found == [["a0", "a1", "a2"], ["b0", "b1"]]


async def test_a_cursor_is_its_callers_and_its_lists_alone() -> None:
    """AUTHZ-04"""
    world = many(3)
    policy = endpoint(world, page_size=1, virtual=[VirtualServerConfig(name="v", tools=["*"])])
    cursor = result_of(await policy(ask("tools/list"), world))["nextCursor"]
    bad = [
        ask("tools/list", {"cursor": cursor}, caller=BOB),
        ask("prompts/list", {"cursor": cursor}),
        ask("tools/list", {"cursor": cursor}, view="v"),
        *[ask("tools/list", {"cursor": text}) for text in ("", "x", cursor[:-1], "é", "a" * 5_000, 5, {}, [])],
    ]
    for item in bad:
        with pytest.raises(r.InvalidParams):
            await policy(item, world)
    reached = len(world.reached)
    assert result_of(await policy(ask("tools/list", {"cursor": cursor}), world))["tools"] == [{"name": "a1"}]
    assert len(world.reached) == reached + 1


async def test_a_server_that_is_out_of_reach_by_now_is_over() -> None:
    world = many(2, 2)
    reach = [True]
    policy = endpoint(world, page_size=1, may_reach=lambda caller, server: reach[0] or server == "s1")
    cursor = result_of(await policy(ask("tools/list"), world))["nextCursor"]
    reach[0] = False
    result = result_of(await policy(ask("tools/list", {"cursor": cursor}), world))
    assert result["tools"] == []
    assert "nextCursor" not in result


async def test_errors_stand_on_every_page() -> None:
    world = many(2, 2)
    world.servers["s1"] = lambda c: r.UpstreamUnavailable(why="x")
    policy = endpoint(world, page_size=1)
    result = result_of(await policy(ask("tools/list"), world))
    assert result["_meta"] == {ERRORS: {"s1": "upstream_unavailable"}}
    result = result_of(await policy(ask("tools/list", {"cursor": result["nextCursor"]}), world))
    assert result["_meta"] == {ERRORS: {"s1": "upstream_unavailable"}}


# --- virtual servers ------------------------------------------------------------------------------------------------


def whole(item: Call) -> Any:
    match item.method:
        case "tools/list":
            return {"tools": [{"name": "echo"}, {"name": f"only_{item.server}"}, {"name": "delete_all"}]}
        case "prompts/list":
            return {"prompts": [{"name": "greet"}]}
        case "resources/list":
            return {"resources": [{"uri": f"{item.server}://a"}, {"uri": f"{item.server}://secret"}]}
        case "resources/templates/list":
            return {"resourceTemplates": [{"uriTemplate": f"{item.server}://t/{{x}}"}]}
    return {"called": item.target, "at": item.server}


RESEARCH = VirtualServerConfig(name="research", tools=["one__echo", "only_*", "two__echo"])
PAPERS = VirtualServerConfig(name="papers", prompts=["greet"], resources=["one://a", "one://t/*"])
VIRTUAL = [RESEARCH, PAPERS]


async def names(policy: Any, world: World, method: str, view: str) -> list[str]:
    result = result_of(await policy(ask(method, view=view), world))
    (items,) = (value for value in result.values() if type(value) is list)
    return [item.get("name") or item.get("uri") or item.get("uriTemplate") for item in items]


async def test_a_virtual_server_shows_what_it_names_and_nothing_else() -> None:
    world = World(one=whole, two=whole)
    policy = endpoint(world, virtual=VIRTUAL)
    assert await names(policy, world, "tools/list", "research") == ["echo", "only_one", "two__echo", "only_two"]
    assert await names(policy, world, "prompts/list", "research") == []
    assert await names(policy, world, "resources/list", "research") == []
    assert await names(policy, world, "tools/list", "papers") == []
    assert await names(policy, world, "prompts/list", "papers") == ["greet"]
    assert await names(policy, world, "resources/list", "papers") == ["one://a"]
    assert await names(policy, world, "resources/templates/list", "papers") == ["one://t/{x}"]
    assert len(await names(policy, world, "tools/list", "")) == 6


@pytest.mark.parametrize(
    ("method", "params", "view", "found"),
    [
        ("tools/call", {"name": "echo"}, "research", ("one", "echo")),
        ("tools/call", {"name": "two__echo"}, "research", ("two", "echo")),
        ("tools/call", {"name": "delete_all"}, "research", None),
        ("tools/call", {"name": "one__echo"}, "research", None),
        ("tools/call", {"name": "echo"}, "papers", None),
        ("prompts/get", {"name": "greet"}, "papers", ("one", "greet")),
        ("prompts/get", {"name": "two__greet"}, "papers", None),
        ("prompts/get", {"name": "greet"}, "research", None),
        ("resources/read", {"uri": "one://a"}, "papers", ("one", "one://a")),
        ("resources/read", {"uri": "one://t/5"}, "papers", ("one", "one://t/5")),
        ("resources/read", {"uri": "one://secret"}, "papers", None),
        ("resources/read", {"uri": "one://a"}, "research", None),
        ("completion/complete", {"ref": {"type": "ref/prompt", "name": "greet"}}, "research", None),
        ("completion/complete", {"ref": {"type": "ref/resource", "uri": "one://t/{x}"}}, "papers",
         ("one", "one://t/{x}")),
    ],
)  # fmt: skip
async def test_what_is_not_shown_is_unknown(method: str, params: Any, view: str, found: Any) -> None:
    world = World(one=whole, two=whole)
    policy = endpoint(world, virtual=VIRTUAL)
    await names(policy, world, "tools/list", "")
    await names(policy, world, "prompts/list", "")
    reached = len(world.reached)
    if found is None:
        with pytest.raises(r.InvalidParams):
            await policy(ask(method, params, view=view), world)
        assert not [c for c in world.reached[reached:] if not c.method.endswith("/list")]
    else:
        result = result_of(await policy(ask(method, params, view=view), world))
        assert (result["at"], result["called"]) == found


async def test_a_virtual_server_serves_the_older_era_with_sessions_of_its_own() -> None:
    world = World(one=whole, two=whole)
    policy = House().worker(world, virtual=VIRTUAL)

    def at(view: str, item: Call) -> Call:
        item.view = view
        return item

    reply = await policy(at("research", ask_legacy("initialize", {"protocolVersion": "2025-11-25"})), world)
    assert set(result_of(reply)["capabilities"]) == {"logging", "completions", "tools"}
    mine = reply.header(b"mcp-session-id").decode()
    result = result_of(await policy(at("research", ask_legacy("tools/list", session=mine)), world))
    assert len(result["tools"]) == 4
    elsewhere = await begun(policy, world)
    with pytest.raises(r.SessionNotFound):
        await policy(at("research", ask_legacy("tools/list", session=elsewhere)), world)


async def test_rules_decide_behind_a_virtual_server_as_everywhere() -> None:
    """AUTHZ-01"""
    world = World(one=whole, two=whole)
    policy = endpoint(world, virtual=VIRTUAL, may_reach=lambda caller, server: caller is ALICE)
    with pytest.raises(r.Denied):
        await policy(ask("tools/list", view="research", caller=BOB), world)
    await policy(ask("tools/call", {"name": "echo"}, view="research"), world)
    assert world.reached[-1].caller is ALICE


@pytest.mark.parametrize("bad", [{"name": "a/b", "tools": ["x"]}, {"name": "", "tools": ["x"]}, {"name": "x"}])
def test_a_virtual_server_without_a_name_or_a_purpose_is_no_config(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"mcp\.virtual"):
        VirtualServerConfig(**bad)
