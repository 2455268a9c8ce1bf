"""Nodes on one PostgreSQL: what one writes the others know; and what becomes of them when it is away."""

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.attacks.house import House, open_house
from tests.stores.postgres import PostgresServer, running_postgres

from mantlet.core.config_error import ConfigError
from mantlet.core.refusal import StoreUnavailable

ADMIN = "admin"


@pytest.fixture(scope="module")
def own() -> Iterator[PostgresServer]:
    """One to stop and to pause."""
    with running_postgres() as server:
        yield server


def database(url: str, folder: Path) -> dict[str, Any]:
    return {"url": url, "folder": str(folder), "timeout": 0.5}


@asynccontextmanager
async def two_nodes(url: str, folder: Path) -> AsyncIterator[tuple[House, House]]:
    """Of two machines, with the same keys."""
    homes = [folder / "one", folder / "two"]
    homes[0].mkdir()
    async with open_house(homes[0], database=database(url, homes[0])) as one:
        shutil.copytree(homes[0] / "keys", homes[1] / "keys")
        async with open_house(homes[1], database=database(url, homes[1])) as two:
            yield one, two


async def admin(house: House, verb: str, path: str, said: Any = None) -> Any:
    fields = {"Authorization": f"Bearer {house.keys['root']}", "Content-Type": "application/json"}
    body = b"" if said is None else json.dumps(said).encode()
    answer = await house.ask(verb, f"/admin/v1/{path}", fields, body, door=ADMIN)
    assert answer.status < 300, answer.body
    return answer.json


async def until(asked: Callable[[], Any], expected: int, within_s: float = 5.0) -> float:
    """Call until the answer's status is `expected`; how long it took."""
    began_s = time.monotonic()
    async with asyncio.timeout(within_s):
        while (await asked()).status != expected:
            await asyncio.sleep(0.02)
    return time.monotonic() - began_s


async def test_what_one_node_gives_and_takes_back_the_other_knows(postgres: PostgresServer, tmp_path: Path) -> None:
    """TOK-10, AUTHN-06, AUTHZ-07: within the promised five seconds, without any other store in common."""
    async with two_nodes(postgres.url(), tmp_path) as (one, two):
        made = await admin(one, "POST", "keys", {"name": "ci", "roles": ["user"]})
        assert (await two.call(credential=made["key"])).status == 200
        assert [key["id"] for key in (await admin(two, "GET", "keys"))["keys"]] == [made["id"]]
        # A token that was stolen, a switch that was thrown, a key that was revoked: at one node each time.
        token = one.token(jti="stolen", key=two.secret)
        assert (await two.call(credential=token)).status == 200
        await admin(one, "POST", "revocations", {"token": "stolen"})
        await until(lambda: two.call(credential=token), 401)
        await admin(one, "POST", "kills?kind=tool&name=echo&reason=it%20deletes")
        await until(lambda: two.call(credential=made["key"]), 403)
        assert [kill["name"] for kill in (await admin(two, "GET", "kills"))["kills"]] == ["echo"]
        await admin(two, "DELETE", "kills?kind=tool&name=echo")
        await until(lambda: one.call(credential=made["key"]), 200)
        await admin(one, "DELETE", f"keys/{made['id']}")
        await until(lambda: two.call(credential=made["key"]), 401)
        await until(lambda: one.call(credential=made["key"]), 401)


async def test_a_node_that_could_not_check_the_keys_does_not_start(postgres: PostgresServer, tmp_path: Path) -> None:
    """Nodes that share keys share the pepper; found out at start, and the key itself is never in the database."""
    url = postgres.url()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    async with open_house(tmp_path / "one", database=database(url, tmp_path / "one")) as one:
        pepper = (tmp_path / "one" / "keys" / "api-keys.pepper").read_bytes().strip()
        found = await one.node.durable.database.rows("SELECT name, value FROM facts")
        assert pepper not in str(found).encode()
        with pytest.raises(ConfigError, match="copy keys/"):
            async with open_house(tmp_path / "two", database=database(url, tmp_path / "two")):
                pass


async def test_a_database_that_is_away_at_start_is_told(own: PostgresServer, tmp_path: Path) -> None:
    own.stop()
    try:
        with pytest.raises(StoreUnavailable, match=r"postgresql://gate@127\.0\.0\.1") as refused:
            async with open_house(tmp_path, database=database(own.where, tmp_path)):
                pass
        assert own.password not in refused.value.why
    finally:
        own.start()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["stopped", "hung"])
async def test_a_database_that_goes_away_leaves_known_keys_for_seconds_and_comes_back_by_itself(
    own: PostgresServer, tmp_path: Path, how: str
) -> None:
    """AUTHN-06: new keys are refused with 503, never let in; other credentials go on; nothing waits for long."""
    leave, come = (own.stop, own.start) if how == "stopped" else (own.pause, own.resume)
    async with open_house(tmp_path, database=database(own.url(), tmp_path)) as house:
        used = await admin(house, "POST", "keys", {"name": "used", "roles": ["user"]})
        fresh = await admin(house, "POST", "keys", {"name": "fresh", "roles": ["user"]})
        assert (await house.call(credential=used["key"])).status == 200
        await asyncio.to_thread(leave)
        try:
            assert (await house.call(credential=used["key"])).status == 200
            async with asyncio.timeout(3):
                assert (await house.call(credential=fresh["key"])).status == 503
            took_s = await until(lambda: house.call(credential=used["key"]), 503, 8)
            assert took_s < 5, "a key that was revoked meanwhile would act for longer than is promised"
            began_s = time.monotonic()
            for _ in range(20):
                assert (await house.call(credential=used["key"])).status == 503
                assert (await house.call(credential=house.token())).status == 200
                assert (await house.call()).status == 200, "a key of the configuration"
            assert time.monotonic() - began_s < 5
        finally:
            await asyncio.to_thread(come)
        for made in (used, fresh):
            await until(lambda made=made: house.call(credential=made["key"]), 200)
        await admin(house, "DELETE", f"keys/{used['id']}")
        await until(lambda: house.call(credential=used["key"]), 401)
