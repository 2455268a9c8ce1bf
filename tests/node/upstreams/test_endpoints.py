"""A node with one server at several endpoints: what a client sees of it, and an operator."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.attacks.house import Answer, House, Upstream, open_house
from tests.servers.plain import served

from mantlet.keys.api_keys import make_api_key

PATIENCE_S = 20.0
HASTE: dict[str, Any] = {"interval": 0.05, "timeout": 0.05, "recheck": 0.05, "fall": 2, "rise": 1}


@asynccontextmanager
async def behind(
    folder: Path, ups: list[Upstream], weights: Sequence[float] = (1, 1, 1), **server: Any
) -> AsyncIterator[House]:
    for up in ups:
        await up.open()
    one = {
        "name": "one",
        "transport": "http",
        "url": "http://one.internal/mcp",  # a name, and nowhere to go
        "era": "dual",
        "endpoints": [
            {"url": f"http://127.0.0.1:{up.port}/mcp", "name": up.name, "weight": weight}
            for up, weight in zip(ups, weights, strict=True)
        ],
        "health": {"interval": 3600, "timeout": 10},
        **server,
    }
    try:
        async with asyncio.timeout(PATIENCE_S), open_house(folder, servers=0, mcp={"servers": [one]}) as house:
            yield house
    finally:
        for up in ups:
            await up.close()


@pytest.fixture
def ups() -> list[Upstream]:
    return [Upstream(name) for name in ("a", "b", "c")]


def by(answer: Answer) -> str:
    assert answer.status == 200, answer.body
    return str(answer.json["result"]["from"])


async def state_of(house: House, name: str) -> Any:
    answer = await house.ask(
        "GET", "/admin/v1/upstreams", {"Authorization": f"Bearer {house.keys['root']}"}, door="admin"
    )
    (upstream,) = answer.json["upstreams"]
    return next(one for one in upstream["endpoints"] if one["name"] == name)


async def until(house: House, name: str, *states: str) -> None:
    while (await state_of(house, name))["state"] not in states:
        await asyncio.sleep(0.01)


async def all_known(house: House) -> None:
    """One that was not asked yet is passed over while others are known."""
    for name in ("a", "b", "c"):
        await until(house, name, "healthy")


async def test_calls_are_spread_and_recorded(tmp_path: Path, ups: list[Upstream]) -> None:
    async with behind(tmp_path, ups) as house:
        await all_known(house)
        counted = Counter([by(await house.call()) for _ in range(9)])
        assert counted == {"a": 3, "b": 3, "c": 3}
        noted = Counter(line["notes"].get("endpoint") for line in house.audit() if line["action"] == "tools/call")
        assert noted == counted


async def test_weights_count(tmp_path: Path, ups: list[Upstream]) -> None:
    async with behind(tmp_path, ups, (4, 1, 1), balance="weighted") as house:
        await all_known(house)
        assert Counter([by(await house.call()) for _ in range(12)]) == {"a": 8, "b": 2, "c": 2}


async def test_a_caller_stays_at_one_endpoint_where_that_is_asked_for(tmp_path: Path, ups: list[Upstream]) -> None:
    async with behind(tmp_path, ups, balance="session_affinity") as house:
        alice = {by(await house.call()) for _ in range(5)}
        assert len(alice) == 1


async def test_a_session_stays_where_it_was_opened_and_its_id_does_not_say_where(
    tmp_path: Path, ups: list[Upstream]
) -> None:
    """MCP-04"""
    async with behind(tmp_path, ups) as house:
        sessions = {}
        for up in ups:
            opened = await house.legacy("initialize", {"protocolVersion": "2025-11-25"}, server="one")
            session = opened.headers["mcp-session-id"]
            assert up.name in {name for name in ("a", "b", "c") if f"session-of-{name}" not in session}
            sessions[session] = await house.legacy("tools/call", {"name": "echo"}, server="one", session=session)
        assert Counter(by(answer) for answer in sessions.values()) == {"a": 1, "b": 1, "c": 1}
        for session, answer in sessions.items():
            for _ in range(3):
                again = await house.legacy("tools/call", {"name": "echo"}, server="one", session=session)
                assert by(again) == by(answer)
        for up in ups:  # each was shown its own word, and nothing of ours
            shown = {sent.headers["mcp-session-id"] for sent in up.sent if "mcp-session-id" in sent.headers}
            assert shown == up.sessions


async def test_another_callers_session_is_nobodys(tmp_path: Path, ups: list[Upstream]) -> None:
    """MCP-04, AUTHZ-04"""
    async with behind(tmp_path, ups) as house:
        opened = await house.legacy("initialize", {"protocolVersion": "2025-11-25"}, server="one")
        session = opened.headers["mcp-session-id"]
        before = [len(up.sent) for up in ups]
        answer = await house.legacy("tools/call", {"name": "echo"}, server="one", session=session,
                                    credential=house.keys["bob"])  # fmt: skip
        assert answer.status == 404
        assert [len(up.sent) for up in ups] == before


async def test_the_dead_lose_their_own_sessions_and_no_calls(tmp_path: Path, ups: list[Upstream]) -> None:
    """RES-06"""
    async with behind(tmp_path, ups, health=HASTE) as house:
        await all_known(house)
        sessions = {}
        for _ in ups:
            opened = await house.legacy("initialize", {"protocolVersion": "2025-11-25"}, server="one")
            session = opened.headers["mcp-session-id"]
            sessions[by(await house.legacy("tools/call", {"name": "echo"}, server="one", session=session))] = session
        await ups[1].close()
        assert {by(await house.call()) for _ in range(6)} == {"a", "c"}  # no client hears of it
        await until(house, "b", "unhealthy")
        lost = await house.legacy("tools/call", {"name": "echo"}, server="one", session=sessions["b"])
        assert lost.status == 404  # so that its client begins a new one (2025-11-25, Session Management)
        for name in ("a", "c"):
            assert by(await house.legacy("tools/call", {"name": "echo"}, server="one", session=sessions[name])) == name
        told = await state_of(house, "b")
        assert "probe: no connection" in told["reasons"][0]
        await ups[1].open()
        await until(house, "b", "healthy", "degraded")
        assert {by(await house.call()) for _ in range(6)} == {"a", "b", "c"}


async def test_modern_clients_of_legacy_servers_do_not_notice_that_one_dies(
    tmp_path: Path, ups: list[Upstream]
) -> None:
    """The bridge's own session with it is begun anew, elsewhere."""
    async with behind(tmp_path, ups, health=HASTE, era="legacy") as house:
        for up in ups:
            await until(house, up.name, "healthy")
        homes = {by(await house.call()) for _ in range(4)}
        (home,) = homes  # one session a caller
        await next(up for up in ups if up.name == home).close()
        await until(house, home, "unhealthy")
        assert by(await house.call()) != home


async def test_one_that_hangs_is_found_out_and_left_alone(tmp_path: Path, ups: list[Upstream]) -> None:
    """RES-06"""
    async with behind(tmp_path, ups, health=HASTE) as house:
        await until(house, "a", "healthy")
        ups[0].hangs = True
        await until(house, "a", "unhealthy")
        assert "no answer within" in (await state_of(house, "a"))["reasons"][0]
        assert {by(await house.call()) for _ in range(6)} == {"b", "c"}


async def test_who_waits_for_a_connection_to_one_that_hangs_goes_elsewhere(tmp_path: Path, ups: list[Upstream]) -> None:
    """RES-03: what is in flight there stays; nothing of the others was sent."""
    async with behind(tmp_path, ups, health=HASTE, max_connections=1) as house:
        for up in ups:
            await until(house, up.name, "healthy")
        ups[0].hangs = True
        calls = [asyncio.ensure_future(house.call()) for _ in range(12)]  # four of them to each
        while sum(call.done() for call in calls) < 11:
            await asyncio.sleep(0.01)
        assert {by(call.result()) for call in calls if call.done()} <= {"b", "c"}
        ups[0].hangs = False
        ups[0].release.set()
        assert Counter(by(answer) for answer in await asyncio.gather(*calls))["a"] == 1


async def test_where_nobody_probes_calls_alone_tell(tmp_path: Path, ups: list[Upstream]) -> None:
    """RES-06"""
    outlier = {"failures": 2, "ejection": 0.2}
    async with behind(tmp_path, ups, health={"enabled": False}, outlier=outlier, breaker=None) as house:
        assert Counter([by(await house.call()) for _ in range(6)]) == {"a": 2, "b": 2, "c": 2}
        assert all(sent.message["method"] == "tools/call" for up in ups for sent in up.sent)
        await ups[0].close()
        assert {by(await house.call()) for _ in range(12)} == {"b", "c"}
        assert (await state_of(house, "a"))["state"] == "unhealthy"
        await ups[0].open()
        await until(house, "a", "degraded")
        while (await state_of(house, "a"))["state"] != "healthy":
            await house.call()


async def test_a_path_is_probed_where_one_is_named(tmp_path: Path) -> None:
    async with served() as plain:
        one = {
            "name": "plain",
            "url": "http://plain.internal/base",
            "endpoints": [{"url": f"{plain.url}/base", "name": "good"}, {"url": f"{plain.url}/base/", "name": "bad"}],
            "health": {**HASTE, "timeout": 0.05, "path": "/base/echo/health"},
        }
        rules = [{"name": "all", "allow": {"roles": ["user"]}}]
        async with (
            asyncio.timeout(PATIENCE_S),
            open_house(tmp_path, servers=0, http_upstreams=[one], authorization={"rules": rules}) as house,
        ):
            await until(house, "good", "healthy")
            answer = await house.ask("GET", "/api/plain/echo/x", {"Authorization": f"Bearer {house.keys['alice']}"})
            assert answer.status == 200


async def test_one_url_is_watched_and_nothing_stands_before_it(tmp_path: Path) -> None:
    up = Upstream("one")
    await up.open()
    server = {"name": "one", "transport": "http", "url": f"http://127.0.0.1:{up.port}/mcp", "health": HASTE}
    try:
        async with asyncio.timeout(PATIENCE_S), open_house(tmp_path, servers=0, mcp={"servers": [server]}) as house:
            root = {"Authorization": f"Bearer {house.keys['root']}"}

            async def told() -> Any:
                return (await house.ask("GET", "/admin/v1/upstreams", root, door="admin")).json["upstreams"][0]

            while (await told())["state"] != "healthy":
                await asyncio.sleep(0.01)
            up.hangs = True
            while (await told())["state"] != "unhealthy":
                await asyncio.sleep(0.01)
            up.hangs = False
            up.release.set()
            assert (await house.call()).status == 200  # it decides nothing
    finally:
        await up.close()


async def test_figures_tell_of_each_endpoint(tmp_path: Path, ups: list[Upstream]) -> None:
    async with behind(tmp_path, ups, health=HASTE) as house:
        await until(house, "a", "healthy")
        await ups[1].close()
        await until(house, "b", "unhealthy")
        text = (await house.ask("GET", "/metrics", door="admin")).body.decode()
        assert 'mantlet_endpoint_state{endpoint="a",server="one"} 0.0' in text
        assert 'mantlet_endpoint_state{endpoint="b",server="one"} 4.0' in text
        assert 'mantlet_endpoint_in_flight{endpoint="a",server="one"} 0.0' in text
        assert 'mantlet_endpoint_changes{server="one",state="unhealthy"} 1.0' in text


# --- orders of an operator --------------------------------------------------------------------------------------------


async def order(house: House, verb: str, query: str, who: str = "root") -> Answer:
    fields = {"Authorization": f"Bearer {house.keys[who]}"}
    return await house.ask(verb, f"/admin/v1/endpoints{query}", fields, door="admin")


async def test_an_operator_drains_an_endpoint_and_takes_it_back(tmp_path: Path, ups: list[Upstream]) -> None:
    """RES-05, AUD-01"""
    async with behind(tmp_path, ups) as house:
        opened = await house.legacy("initialize", {"protocolVersion": "2025-11-25"}, server="one")
        session = opened.headers["mcp-session-id"]
        home = by(await house.legacy("tools/call", {"name": "echo"}, server="one", session=session))
        told = await order(house, "POST", f"?server=one&endpoint={home}&for=600")
        assert told.json == {"server": "one", "endpoint": home, "stops_in_s": 600.0}
        assert (await state_of(house, home))["state"] == "draining"
        assert home not in {by(await house.call()) for _ in range(6)}
        assert by(await house.legacy("tools/call", {"name": "echo"}, server="one", session=session)) == home
        rows = (await order(house, "GET", "")).json["endpoints"]
        assert {row["name"]: row["state"] for row in rows}[home] == "draining"
        assert (await order(house, "DELETE", f"?server=one&endpoint={home}")).json["was_drained"]
        assert {by(await house.call()) for _ in range(6)} == {"a", "b", "c"}
        acts = [line["event"] for line in house.audit() if line["event"].startswith("endpoint.")]
        assert acts == ["endpoint.drained", "endpoint.undrained"]


async def test_what_is_stopped_loses_its_sessions(tmp_path: Path, ups: list[Upstream]) -> None:
    """RES-05"""
    async with behind(tmp_path, ups) as house:
        opened = await house.legacy("initialize", {"protocolVersion": "2025-11-25"}, server="one")
        session = opened.headers["mcp-session-id"]
        home = by(await house.legacy("tools/call", {"name": "echo"}, server="one", session=session))
        await order(house, "POST", f"?server=one&endpoint={home}&for=0")
        await until(house, home, "stopped")
        answer = await house.legacy("tools/call", {"name": "echo"}, server="one", session=session)
        assert answer.status == 404


async def test_what_was_drained_is_drained_after_a_restart(tmp_path: Path, ups: list[Upstream]) -> None:
    """RES-05: a node without any store but its own file does not forget it."""
    async with behind(tmp_path, ups) as house:
        await order(house, "POST", "?server=one&endpoint=b&for=600")
        await order(house, "POST", "?server=one&endpoint=c&for=0")
        await order(house, "POST", "?server=one&endpoint=a")
        await order(house, "DELETE", "?server=one&endpoint=a")
    async with behind(tmp_path, ups) as again:
        assert {by(await again.call()) for _ in range(6)} == {"a"}  # from the first call on
        assert (await state_of(again, "b"))["state"] == "draining"
        assert (await order(again, "DELETE", "?server=one&endpoint=b")).json["was_drained"]
        assert (await order(again, "DELETE", "?server=one&endpoint=c")).json["was_drained"]
        assert {by(await again.call()) for _ in range(6)} == {"a", "b", "c"}


async def test_what_becomes_of_endpoints_is_recorded_once_each_way(tmp_path: Path, ups: list[Upstream]) -> None:
    """AUD-01: with why, and not each time that somebody tries."""
    outlier = {"failures": 1, "ejection": 0.05, "max_ejection": 0.05}
    async with behind(tmp_path, ups, health=HASTE, outlier=outlier) as house:
        await all_known(house)
        await ups[1].close()
        await until(house, "b", "unhealthy")
        for _ in range(20):
            await house.call()
            await asyncio.sleep(0.01)
        await ups[1].open()
        await until(house, "b", "healthy")
        await order(house, "POST", "?server=one&endpoint=c&for=0")
        await until(house, "c", "stopped")
        async with asyncio.timeout(5):
            while len(found := [line for line in house.audit() if line["event"].startswith("endpoint.")]) < 4:
                await asyncio.sleep(0.02)
        assert [(line["event"].partition(".")[2], line["object"]) for line in found] == [
            ("unhealthy", "one b"),
            ("healthy", "one b"),
            ("drained", "one c"),
            ("stopped", "one c"),
        ]
        assert found[0]["notes"]["why"]
        assert (found[0]["severity"], found[0]["principal"]) == ("warning", "node")


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 404),
        ("?server=one&endpoint=z", 404),
        ("?server=two&endpoint=a", 404),
        ("?server=one&endpoint=a&for=-1", 400),
        ("?server=one&endpoint=a&for=nan", 400),
        ("?server=one&endpoint=a&for=inf", 400),
        ("?server=one&endpoint=a&for=soon", 400),
    ],
)
async def test_an_order_that_cannot_be_is_refused(tmp_path: Path, ups: list[Upstream], query: str, status: int) -> None:
    async with behind(tmp_path, ups) as house:
        assert (await order(house, "POST", query)).status == status
        assert (await state_of(house, "a"))["state"] != "draining"


async def test_endpoints_are_for_administrators(tmp_path: Path, ups: list[Upstream]) -> None:
    """AUTHZ-05"""
    async with behind(tmp_path, ups) as house:
        for verb in ("GET", "POST", "DELETE"):
            assert (await order(house, verb, "?server=one&endpoint=a", who="alice")).status == 403


# --- other nodes ------------------------------------------------------------------------------------------------------


async def test_nodes_that_tell_their_load_are_asked_when_they_have_room(tmp_path: Path) -> None:
    key = make_api_key()[1].reveal()
    keys = {"api_keys": [{"name": "near", "key": key, "roles": ["user"]}]}
    limits = {"max_concurrent_requests": 4, "adaptive": {"enabled": False}}
    names = ("far", "further")
    ups, nodes = [Upstream(name) for name in names], []
    async with AsyncExitStack() as opened:
        await opened.enter_async_context(asyncio.timeout(PATIENCE_S))
        for up in ups:
            await up.open()
            opened.push_async_callback(up.close)
            server = {"name": "one", "transport": "http", "url": f"http://127.0.0.1:{up.port}/mcp", "era": "dual"}
            mcp = {"advertise_load": True, "limits": limits, "servers": [server]}
            folder = tmp_path / up.name
            folder.mkdir()
            nodes.append(await opened.enter_async_context(open_house(folder, servers=0, mcp=mcp, auth=keys)))
        peers = {
            "name": "one",
            "transport": "peer",
            "server": "one",
            "url": "http://peers.internal",
            "headers": {"Authorization": f"Bearer {key}"},
            "balance": "least_load",
            "health": {"interval": 3600},
            "endpoints": [
                {"url": f"http://127.0.0.1:{one.calls.port}", "name": name}
                for one, name in zip(nodes, names, strict=True)
            ],
        }
        near = await opened.enter_async_context(open_house(tmp_path, servers=0, mcp={"servers": [peers]}))
        idle = await nodes[0].call(credential=key)
        assert idle.headers["endpoint-load-metrics"] == "TEXT application_utilization=0.01"
        held = [asyncio.ensure_future(nodes[0].call("hold", credential=key)) for _ in range(3)]
        while ups[0].held < 3:
            await asyncio.sleep(0.01)
        answers = [await near.call() for _ in range(8)]
        assert Counter(map(by, answers))["further"] >= 7  # the other was asked once, and told
        assert all("endpoint-load-metrics" not in answer.headers for answer in answers)
        assert (await state_of(near, "far"))["load"] == 0.75
        ups[0].release.set()
        await asyncio.gather(*held)
