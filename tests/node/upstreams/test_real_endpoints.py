"""Three real servers as one, killed and paused under load: who is in flight there may fail, nobody else."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.attacks.house import Answer, Client, House, call_body, fields_of, open_house

EVERYTHING = Path(__file__).parents[2] / "servers" / "everything.py"
PATIENCE_S = 60.0
LOAD = 16
HEALTH = {"interval": 0.5, "timeout": 0.4, "recheck": 0.2, "fall": 2, "rise": 1}

pytestmark = pytest.mark.slow


@dataclass
class Real:
    """One process, which can be started anew at its port."""

    process: subprocess.Popen[str]
    port: int = 0

    @classmethod
    def start(cls, port: int = 0) -> "Real":
        command = [sys.executable, str(EVERYTHING), "--http", str(port), "--json"]
        return cls(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))

    def ready(self) -> "Real":
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline().split()[1])
        return self

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


@pytest.fixture
def trio() -> Iterator[list[Real]]:
    servers = [Real.start() for _ in range(3)]
    try:
        yield [server.ready() for server in servers]
    finally:
        for server in servers:
            server.end()


@asynccontextmanager
async def node(folder: Path, trio: list[Real], **server: Any) -> AsyncIterator[House]:
    one = {
        "name": "one",
        "transport": "http",
        "url": "http://one.internal/mcp",
        "endpoints": [{"url": f"http://127.0.0.1:{real.port}/mcp"} for real in trio],
        "health": HEALTH,
        "breaker": None,
        **server,
    }
    async with (
        asyncio.timeout(PATIENCE_S),
        open_house(folder, servers=0, mcp={"servers": [one], "limits": {"request_timeout_ms": 3000}}) as house,
    ):
        for real in trio:
            await until(house, real, "healthy")
        yield house


async def until(house: House, real: Real, *states: str) -> None:
    root = {"Authorization": f"Bearer {house.keys['root']}"}
    while True:
        (upstream,) = (await house.ask("GET", "/admin/v1/upstreams", root, door="admin")).json["upstreams"]
        if next(one["state"] for one in upstream["endpoints"] if one["name"] == f"127.0.0.1:{real.port}") in states:
            return
        await asyncio.sleep(0.05)


async def pid_of(house: House) -> int:
    return int(structured(await house.call("process"))["pid"])


def structured(answer: Answer) -> Any:
    assert answer.status == 200, answer.body
    return answer.json["result"]["structuredContent"]


async def load(house: House, until_over: asyncio.Event, ends: Counter[str]) -> None:
    """One client: asks sums until it is over, and looks at each answer."""
    client = await Client.to(house.calls.port)
    number = 0
    while not until_over.is_set():
        number += 1
        body = call_body(name="add", raw_id=number, a=number, b=1)
        raw = json.dumps(body).encode()
        answer = await client.ask("POST", "/mcp/one", fields_of(body, house.keys["alice"]), raw)
        if answer.status == 200:
            assert answer.json["result"]["structuredContent"] == {"result": number + 1}
            ends["ok"] += 1
        else:
            ends[answer.json["error"]["data"]["reason"]] += 1
    client.close()


@asynccontextmanager
async def under_load(house: House) -> AsyncIterator[Counter[str]]:
    over, ends = asyncio.Event(), Counter[str]()
    async with asyncio.TaskGroup() as clients:
        for _ in range(LOAD):
            clients.create_task(load(house, over, ends))
        while ends["ok"] < 2 * LOAD:
            await asyncio.sleep(0.01)
        try:
            yield ends
        finally:
            over.set()


async def more(ends: Counter[str], by: int = 300) -> None:
    goal = ends["ok"] + by
    while ends["ok"] < goal:
        await asyncio.sleep(0.01)


async def test_one_that_is_killed_costs_what_was_in_flight_there(tmp_path: Path, trio: list[Real]) -> None:
    """RES-03, RES-06"""
    async with node(tmp_path, trio, balance="least_connections") as house:
        async with under_load(house) as ends:
            os.kill(trio[1].process.pid, signal.SIGKILL)
            trio[1].process.wait()
            await until(house, trio[1], "unhealthy")
            before = ends.copy()
            await more(ends)
            assert ends - Counter(ok=ends["ok"]) == before - Counter(
                ok=before["ok"]
            )  # from then on, nobody hears of it
            assert ends.total() - ends["ok"] <= LOAD
            assert set(ends) <= {"ok", "bad_upstream"}
            trio[1] = Real.start(trio[1].port).ready()
            await until(house, trio[1], "healthy", "degraded")
            await more(ends)
        assert trio[1].process.pid in {await pid_of(house) for _ in range(20)}
    trio[1].end()


async def test_one_that_is_paused_holds_what_was_in_flight_there(tmp_path: Path, trio: list[Real]) -> None:
    """RES-03, RES-06"""
    async with node(tmp_path, trio) as house:
        async with under_load(house) as ends:
            os.kill(trio[0].process.pid, signal.SIGSTOP)
            try:
                await until(house, trio[0], "unhealthy")
                await more(ends)
                while not ends["deadline_exceeded"]:  # those that it holds end at their deadline
                    await asyncio.sleep(0.01)
            finally:
                os.kill(trio[0].process.pid, signal.SIGCONT)
            await until(house, trio[0], "healthy", "degraded")
            held = ends["deadline_exceeded"]
            await more(ends)
            assert held <= LOAD
            assert ends["deadline_exceeded"] == held
            assert set(ends) <= {"ok", "deadline_exceeded"}


async def test_real_sessions_find_their_process(tmp_path: Path, trio: list[Real]) -> None:
    """MCP-04"""
    async with node(tmp_path, trio, era="legacy") as house:
        info = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
        homes = {}
        for _ in trio:
            opened = await house.legacy("initialize", info, server="one")
            session = opened.headers["mcp-session-id"]
            await house.legacy("notifications/initialized", server="one", session=session, id=...)
            homes[session] = await home(house, session)
        assert len(set(homes.values())) == 3
        for session, pid in homes.items():
            assert await home(house, session) == pid
        victim = trio[2].process
        victim.kill()
        victim.wait()
        await until(house, trio[2], "unhealthy")
        for session, pid in homes.items():
            answer = await house.legacy("tools/call", {"name": "process"}, server="one", session=session)
            assert answer.status == (404 if pid == victim.pid else 200)


async def home(house: House, session: str) -> int:
    answer = await house.legacy("tools/call", {"name": "process"}, server="one", session=session)
    return int(structured(answer)["pid"])
