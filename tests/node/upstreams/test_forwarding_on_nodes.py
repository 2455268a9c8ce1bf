"""Two nodes behind one name take sealed identities, and know of one another's only by the store that they share."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.attacks.house import Answer, House, open_house
from tests.node.upstreams.test_forwarding import ALL, FAR, MASTER, NEAR, served
from tests.stores.servers import Servers

from mantlet.keys.forwarded import derive

pytestmark = pytest.mark.slow


@dataclass
class Request:
    """As it stood on the network."""

    verb: str
    target: str
    headers: dict[str, str]
    body: bytes

    async def to(self, house: House) -> Answer:
        fields = {name: value for name, value in self.headers.items() if name not in ("host", "content-length")}
        return await house.ask(self.verb, self.target, fields, self.body)


class Tap:
    """Stands where the far node would, and keeps what comes instead of passing it on."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"]
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        self.requests.append(Request(scope["method"], scope["raw_path"].decode(), headers, body))
        message = json.loads(body or b"{}")
        result = {"resultType": "complete", "content": [], "tools": []}
        said = json.dumps({"jsonrpc": "2.0", "id": message.get("id"), "result": result}).encode()
        fields = [(b"content-type", b"application/json"), (b"content-length", str(len(said)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": said})


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Servers]:
    servers = Servers(tmp_path / "servers")
    yield servers
    servers.close()


@contextlib.asynccontextmanager
async def far_nodes(folder: Path, *stores: str) -> AsyncIterator[list[House]]:
    """One behind each store, all with one name and one key."""
    peer = {"name": "near", "issuer": NEAR, "audience": f"{FAR}/mcp", "role_map": {"user": "user"},
            "jwks_url": f"{NEAR}/.well-known/jwks.json", "key": derive(MASTER, "far").reveal()}  # fmt: skip
    async with contextlib.AsyncExitStack() as opened:
        houses = []
        for number, store in enumerate(stores):
            (own := folder / f"far{number}").mkdir()
            house = open_house(own, agent={"name": "far", "url": FAR}, auth={"peers": [peer]}, store={"url": store})
            houses.append(await opened.enter_async_context(house))
        yield houses


async def sealed(folder: Path, count: int) -> list[Request]:
    """What a node sends for its user, `count` times."""
    tap = Tap()
    (folder / "near").mkdir()
    async with served(tap) as port:
        server = {"name": "far", "transport": "peer", "url": f"http://127.0.0.1:{port}", "server": "one",
                  "forward_identity": "encrypt", "encrypt": {"audience": f"{FAR}/mcp", "roles": ["user"]}}  # fmt: skip
        async with open_house(
            folder / "near",
            servers=0,
            agent={"name": "near-1", "url": NEAR},
            inter_agent={"communication_key": MASTER.reveal()},
            authorization=ALL,
            mcp={"servers": [server]},
        ) as near:
            token = near.token("alice")
            for _ in range(count):
                answer = await near.call(credential=token, server="far")
                assert answer.status == 200, answer.body
            calls = [one for one in tap.requests if b"tools/call" in one.body]
            assert token not in json.dumps([one.headers for one in calls])
            return calls


async def test_what_one_node_took_no_other_takes(tmp_path: Path, own: Servers) -> None:
    """FWD-02: in either order, and of many at once exactly one."""
    store = f"valkey://127.0.0.1:{own.start()}"
    first, second, third = await sealed(tmp_path, 3)
    async with far_nodes(tmp_path, store, store) as (one, two):
        assert [(await first.to(house)).status for house in (one, two, one)] == [200, 401, 401]
        assert [(await second.to(house)).status for house in (two, one, two)] == [200, 401, 401]
        answers = await asyncio.gather(*(third.to(house) for house in (one, two) * 10))
        assert sorted(answer.status for answer in answers) == [200] + [401] * 19
        assert len(one.one.sent) + len(two.one.sent) == 3
        whys = {line.get("why") for line in one.audit() + two.audit() if line.get("reason") == "invalid_credential"}
        assert whys == {"forwarded: came before"}


async def test_while_nobody_can_say_whether_it_came_before_it_is_not_taken(tmp_path: Path, own: Servers) -> None:
    """FWD-02: a store that is away is no second chance."""
    port = own.start()
    first, second = await sealed(tmp_path, 2)
    store = f"valkey://127.0.0.1:{port}"
    async with far_nodes(tmp_path, store, store) as (one, two):
        assert (await first.to(one)).status == 200
        own.kill(port)
        assert [(await again.to(two)).status for again in (first, second)] == [503, 503]
        assert two.one.sent == []


async def test_without_a_store_in_common_each_takes_it_once(tmp_path: Path) -> None:
    """FWD-02: a known bound, told by docs/forwarding.md and by `mantlet check`."""
    (first,) = await sealed(tmp_path, 1)
    async with far_nodes(tmp_path, "memory://", "memory://") as (one, two):
        assert [(await first.to(house)).status for house in (one, two, one, two)] == [200, 200, 401, 401]
