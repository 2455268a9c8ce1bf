"""The store behind whole nodes: what they share over it, and what they do without it."""

import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from tests.attacks.house import Answer, House, call_body, open_house
from tests.contracts.outside import store_named
from tests.stores.servers import Servers, Store, say
from tests.waiting import until

SHARED = ["valkey", "sentinel", "cluster"]


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Servers]:
    servers = Servers(tmp_path / "servers")
    yield servers
    servers.close()


async def ask_admin(house: House, verb: str, path: str, **query: str) -> Answer:
    words = "&".join(f"{key}={quote(value, safe='')}" for key, value in query.items())
    bearer = {"Authorization": f"Bearer {house.keys['root']}"}
    return await house.ask(verb, f"/admin/v1/{path}?{words}", bearer, door="admin")


async def figure(house: House, name: str) -> float:
    text = (await house.ask("GET", "/metrics", door="admin")).body.decode()
    return float(next(line for line in text.splitlines() if line.startswith(name + " ")).split()[1])


async def test_with_a_wrong_password_the_node_serves_and_says_so_everywhere(tmp_path: Path, own: Servers) -> None:
    """RATE-05: health, metric, audit; limits by this node's share; back by itself, with no second quota."""
    port = own.start("--requirepass", "theirs")
    limits = {"client": {"requests": 20, "window": 600}, "burst": None, "nodes": 2}
    store = {"url": f"valkey://127.0.0.1:{port}", "password": "our0wn"}
    async with open_house(tmp_path, store=store, limits=limits) as house:
        answers = [(await house.call()).status for _ in range(15)]
        assert answers == [200] * 10 + [429] * 5
        status = (await ask_admin(house, "GET", "status")).json
        assert "degraded" in json.dumps(status)
        assert "WRONGPASS" in json.dumps(status)
        assert await figure(house, "mantlet_store_state") == 2
        assert await figure(house, "mantlet_store_failures") == 1
        assert (await house.ask("GET", "/readyz", door="admin")).status == 200
        await until(_recorded(house, "store.degraded"))
        [record] = [one for one in house.audit() if one["event"] == "store.degraded"]
        assert "WRONGPASS" in json.dumps(record)
        assert "our0wn" not in json.dumps(house.audit())
        say(port, "CONFIG", "SET", "requirepass", "our0wn", login=("theirs",))
        await until(_recorded(house, "store.recovering"))
        assert await figure(house, "mantlet_store_state") == 1
        assert (await house.call()).status == 429


def _recorded(house: House, event: str) -> Callable[[], Awaitable[bool]]:
    async def found() -> bool:
        return any(one["event"] == event for one in house.audit())

    return found


@pytest.fixture(params=SHARED)
def store(request: pytest.FixtureRequest) -> Store:
    return store_named(request, request.param)


def settings_of(store: Store) -> dict[str, Any]:
    password = store.access.password
    login = {} if password is None else {"user": store.access.user, "password": password.reveal()}
    return {"url": store.url} | login


async def test_nodes_share_limits_kills_blocks_and_sessions(tmp_path: Path, store: Store) -> None:
    """RATE-03, RATE-07, AUTHZ-07: over one server, over the master that Sentinels name, and over a cluster."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    limits = {"client": {"requests": 12, "window": 600}, "burst": None, "nodes": 2}
    settings = {"store": settings_of(store), "limits": limits, "addresses": {"deny": ["192.0.2.0/24"]}}
    async with open_house(tmp_path / "a", **settings) as one, open_house(tmp_path / "b", **settings) as other:
        token = one.token("carol" + tmp_path.name)
        as_seen_there = other.token("carol" + tmp_path.name)
        admitted = 0
        for _ in range(10):
            admitted += (await one.call(credential=token)).status == 200
            admitted += (await other.call(credential=as_seen_there)).status == 200
        assert admitted == 12
        assert await figure(one, 'mantlet_store_answers{use="limits"}') >= 10
        assert 0 < await figure(one, 'mantlet_store_wait_seconds{use="limits"}') < 60

        name = f"tool{tmp_path.name}"
        assert (await ask_admin(one, "POST", "kills", kind="tool", name=name, reason="drill")).status == 200

        async def is_killed_there() -> bool:
            listed = (await ask_admin(other, "GET", "kills")).json["kills"]
            return any(kill["name"] == name for kill in listed)

        await until(is_killed_there)
        await ask_admin(one, "DELETE", "kills", kind="tool", name=name)

        assert (await ask_admin(one, "POST", "blocks", address="203.0.113.9")).status == 200

        async def is_blocked_there() -> bool:
            return b"203.0.113.9" in (await ask_admin(other, "GET", "blocks")).body

        await until(is_blocked_there)
        await ask_admin(one, "DELETE", "blocks", address="203.0.113.9")

        assert await one.node.post.send(other.node.post.address, "nobody", b"x")
        await one.node.state.put(("of", tmp_path.name), b"x", 60)
        assert await other.node.state.get(("of", tmp_path.name)) == b"x"


async def test_a_node_starts_without_its_store_and_finds_it_later(tmp_path: Path, own: Servers) -> None:
    """RES-06: what is not there yet is no reason not to serve."""
    port = own.start()
    own.kill(port)
    async with open_house(tmp_path, store={"url": f"valkey://127.0.0.1:{port}"}) as house:
        assert (await house.send(call_body())).status == 200
        assert await figure(house, "mantlet_store_state") == 2
        own.start(port=port)

        async def is_back() -> bool:
            return await figure(house, "mantlet_store_state") == 1

        await until(is_back)
        assert (await house.call()).status == 200
