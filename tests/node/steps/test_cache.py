"""The cache in a whole node: one process alone, and several that share a store."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
from tests.attacks.house import Answer, House, call_body, open_house

CACHE: dict[str, Any] = {"enabled": True, "tools": ["one__echo"]}


async def admin(house: House, verb: str = "GET", query: str = "") -> Answer:
    bearer = {"Authorization": f"Bearer {house.keys['root']}"}
    return await house.ask(verb, f"/admin/v1/cache{query}", bearer, door="admin")


def calls(house: House, method: str = "tools/call") -> int:
    return sum(sent.message.get("method") == method for sent in house.one.sent)


async def test_a_hit_is_decided_recorded_and_shown(tmp_path: Path) -> None:
    """CACHE-01: the decision point runs before a hit."""
    async with open_house(tmp_path, cache=CACHE) as house:
        first, second = await house.call(), await house.call()
        assert first.json["result"] == second.json["result"]
        assert calls(house) == 1
        assert [record["notes"]["cache"] for record in house.audit()[-2:]] == ["fetched", "hit"]
        refused = await house.call(credential=house.keys["norules"])
        assert refused.status == 403
        bobs = await house.call(credential=house.keys["bob"])
        assert bobs.status == 200
        assert calls(house) == 2
        [stats] = (await admin(house)).json["cache"]
        assert (stats["hits"], stats["misses"], stats["entries"], stats["state"]) == (1, 2, 2, "on")
        exposed = (await house.ask("GET", "/metrics", door="admin")).body.decode()
        assert 'mantlet_cache_lookups_total{outcome="hit"} 1' in exposed
        assert "mantlet_cache_entries 2" in exposed


async def test_a_call_at_the_endpoint_of_all_servers_is_the_same_question(tmp_path: Path) -> None:
    async with open_house(tmp_path, servers=2, cache={"enabled": True, "tools": ["*__echo"]}) as house:
        listed = (await house.send(call_body("tools/list"), server="")).json["result"]["tools"]
        name = next(tool["name"] for tool in listed if tool["name"].endswith("echo"))
        await house.send(call_body(name=name), server="")
        before = len(house.one.sent) + len(house.upstreams["two"].sent)
        await house.send(call_body(name=name), server="")
        assert len(house.one.sent) + len(house.upstreams["two"].sent) == before


async def test_purging_is_recorded_and_takes_effect(tmp_path: Path) -> None:
    """CACHE-05, AUD-02"""
    async with open_house(tmp_path, cache=CACHE) as house:
        expected = 0
        for query, is_purged in [("", True), ("?server=one", True), ("?server=one&kind=tools", True),
                                 ("?server=one&kind=prompts", False)]:  # fmt: skip
            await house.call()
            expected = calls(house)
            told = await admin(house, "DELETE", query)
            assert told.json["told_all"]
            assert house.audit()[-2]["event"] == "cache.purged"
            await house.call()
            assert calls(house) == expected + is_purged, query
        assert (await admin(house, "DELETE", "?kind=tools")).status == 400
        assert (await admin(house, "DELETE", "?server=one&kind=all")).status == 400
        unknown = await admin(house, "DELETE", "?server=nosuch")
        assert (unknown.status, unknown.json["detail"]) == (
            404,
            "There is no server called 'nosuch'; there are: one.",
        )


@pytest.mark.parametrize(
    ("level", "told"), [("INFO", ["cache.computed"]), ("DEBUG", ["cache.compute", "cache.computed"])]
)
async def test_a_miss_is_one_line(
    tmp_path: Path, level: str, told: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(level)
    async with open_house(tmp_path, cache=CACHE) as house:
        with structlog.testing.capture_logs() as logs:
            await house.call()
            await house.call()
    assert [line["event"] for line in logs if line["event"].startswith("cache.comp")] == told


async def test_where_nothing_is_kept_that_is_said(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await house.call()
        await house.call()
        assert calls(house) == 2
        assert (await admin(house)).status == 404


async def test_many_cold_callers_make_one_call(tmp_path: Path) -> None:
    """CACHE-03"""
    async with open_house(tmp_path, cache={"enabled": True, "tools": ["one__hold"]}) as house:
        asking = [asyncio.create_task(house.call("hold")) for _ in range(200)]
        await house.one.reached.wait()
        async with asyncio.timeout(20):
            while house.node.cache is None or house.node.cache.cache.figures.misses < 200:
                await asyncio.sleep(0.01)  # they come over sockets
        house.one.release.set()
        answers = await asyncio.gather(*asking)
        assert {answer.status for answer in answers} == {200}
        assert calls(house) == 1


async def test_a_reload_with_another_policy_is_asked_anew(tmp_path: Path) -> None:
    """CACHE-05"""
    async with open_house(tmp_path, cache=CACHE) as house:
        await house.call()
        rules = house.config.authorization.rules[:1] + house.config.authorization.rules[2:]
        authorization = msgspec.structs.replace(house.config.authorization, rules=rules)
        await house.node.renewal.prepare(msgspec.structs.replace(house.config, authorization=authorization))
        house.node.renewal.commit()
        await house.call()
        assert calls(house) == 2


async def test_each_reply_passes_what_guards_results(tmp_path: Path) -> None:
    """TOOL-04: what is kept is what the server said, and every caller's reply is looked at."""
    async with open_house(tmp_path, cache=CACHE, validation={"filters": {"secrets": "redact"}}) as house:
        house.one.name = secret = "AKIA" + "ABCDEFGHIJKLMNOP"
        for _ in range(2):
            answer = await house.call()
            assert answer.status == 200
            assert secret not in answer.body.decode()
            assert "secrets" in house.audit()[-1]["notes"]["filters"]
        assert calls(house) == 1
