"""Keys that are taken at one door alone, tried at all of them. AUTHN-02"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.attacks.test_message_doors import ON, Doors, open_doors

from mantlet.keys.api_keys import make_api_key

RULES = [{"name": "all", "allow": {}}]


@pytest.fixture
async def doors(tmp_path: Path) -> AsyncIterator[tuple[Doors, dict[str, str]]]:
    keys = {name: make_api_key()[1].reveal() for name in ("websocket", "tcp")}
    sections = {name: {**ON, "auth_token": key} for name, key in keys.items()}
    async with open_doors(tmp_path, authorization={"rules": RULES}, **sections) as opened:
        yield opened, keys


async def taken(doors: Doors, key: str) -> set[str]:
    """Where it is taken."""
    found = set()
    if (await doors.knock({"Authorization": f"Bearer {key}"})).status == 101:
        found.add("websocket")
    if "result" in await (await doors.lines(key)).hear():
        found.add("tcp")
    if (await doors.house.call(credential=key)).status == 200:
        found.add("http")
    headers = {"Authorization": f"Bearer {key}"}
    answer = await doors.house.ask("GET", "/admin/v1/status", headers, door="admin")
    if answer.status != 401:
        found.add("admin")
    return found


async def test_a_doors_own_key_is_taken_there_alone(doors: tuple[Doors, dict[str, str]]) -> None:
    """And nobody who was let in a moment ago makes it good elsewhere."""
    opened, keys = doors
    for _ in range(2):
        for name, key in keys.items():
            assert await taken(opened, key) == {name}
    assert await taken(opened, opened.house.keys["alice"]) == {"websocket", "tcp", "http", "admin"}
    names = {record.get("principal") for record in opened.house.audit()}
    assert {"default/mantlet:api-key/websocket", "default/mantlet:api-key/tcp"} <= names
