"""Approvals, raced and stretched: a yes is for one call, whoever hurries."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.attacks.house import Answer, House, call_body, open_house

APPROVALS = "/admin/v1/approvals"


def section(**changes: Any) -> dict[str, Any]:
    return {"rules": [{"name": "all", "allow": {}}], "approvals": {"tools": ["echo"], "hold": 0, **changes}}


async def admin(house: House, verb: str = "GET", path: str = "", *, who: str = "root") -> Answer:
    bearer = {"Authorization": f"Bearer {house.keys[who]}"}
    return await house.ask(verb, APPROVALS + path, bearer, door="admin")


async def pending(house: House, **arguments: Any) -> str:
    answer = await house.call(**arguments)
    assert (answer.status, answer.json["error"]["data"]["reason"]) == (403, "approval_pending")
    return str(answer.json["error"]["data"]["approval"])


async def approve(house: House, request_id: str, decision: str = "approve") -> Answer:
    return await admin(house, "POST", f"/{request_id}?decision={decision}")


async def test_one_yes_lets_one_of_many_pass(tmp_path: Path) -> None:
    """AUTHZ-09"""
    async with open_house(tmp_path, authorization=section()) as house:
        await approve(house, await pending(house, path="/a"))
        answers = await asyncio.gather(*(house.call(path="/a") for _ in range(30)))
        assert Counter(answer.status for answer in answers)[200] == 1
        assert len(house.one.sent) == 1


async def test_one_yes_lets_one_of_many_held_pass(tmp_path: Path) -> None:
    """AUTHZ-09"""
    async with open_house(tmp_path, authorization=section(hold=3)) as house:
        waiting = [asyncio.ensure_future(house.call(path="/a")) for _ in range(30)]
        while not (found := (await admin(house)).json["approvals"]):
            await asyncio.sleep(0.01)
        assert len(found) == 1
        await approve(house, found[0]["id"])
        answers = await asyncio.gather(*waiting)
        assert Counter(answer.status for answer in answers)[200] == 1
        assert len(house.one.sent) == 1


async def test_many_attempts_of_the_same_call_take_one_place(tmp_path: Path) -> None:
    """AUTHZ-09, RES-01: a client that hurries does not use up the places of its caller."""
    async with open_house(tmp_path, authorization=section()) as house:
        answers = await asyncio.gather(*(house.call(path="/a") for _ in range(30)))
        assert {answer.json["error"]["data"].get("approval") for answer in answers} == {
            one["id"] for one in (await admin(house)).json["approvals"]
        }
        for number in range(19):
            await pending(house, number=number)
        assert (await house.call(number=99)).status == 503


async def test_what_is_decided_takes_no_place(tmp_path: Path) -> None:
    """AUTHZ-09"""
    async with open_house(tmp_path, authorization=section()) as house:
        for number in range(25):
            await approve(house, await pending(house, number=number), "deny" if number % 2 else "approve")


async def test_yes_and_no_at_once_are_one_of_them(tmp_path: Path) -> None:
    """AUTHZ-09"""
    async with open_house(tmp_path, authorization=section()) as house:
        for number in range(10):
            request_id = await pending(house, number=number)
            said = await asyncio.gather(*(approve(house, request_id, how) for how in ("approve", "deny") * 5))
            states = {answer.json["state"] for answer in said if answer.status == 200}
            assert len(states) == 1
            status = (await house.call(number=number)).status
            assert status == (200 if states == {"approved"} else 403)


@pytest.mark.parametrize(
    "more",
    [
        {"_meta": {"io.modelcontextprotocol/override": "all"}},
        {"_meta": {"example.com/sudo": True}},
        {"_meta": {"progressToken": "1", "x": 1}},
        {"task": {"ttl": 1}},
        {"requestState": "x"},
        {"inputResponses": {"a": {"action": "accept"}}},
        {"name ": "other"},
    ],
)
async def test_a_yes_is_for_all_that_was_sent(tmp_path: Path, more: dict[str, Any]) -> None:
    """AUTHZ-09"""
    async with open_house(tmp_path, authorization=section()) as house:
        await approve(house, await pending(house, path="/a"))
        body = call_body(name="echo", path="/a")
        body["params"] = {**body["params"], **more, "_meta": {**body["params"]["_meta"], **more.get("_meta", {})}}
        assert (await house.send(body)).status != 200
        assert not house.one.sent


async def test_a_token_of_another_issuer_and_tenant_is_another(tmp_path: Path) -> None:
    async with open_house(tmp_path, authorization=section()) as house:
        await approve(house, await pending(house, path="/a"))
        for token in (house.token("alice"), house.token("alice", tenant="other")):
            assert (await house.call(credential=token, path="/a")).status == 403
        assert (await house.call(path="/a")).status == 200
