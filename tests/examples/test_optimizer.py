"""The example of a protected service, with its own configuration: over a stand-in always, over OR-Tools where it is."""

import asyncio
import contextlib
import http.client
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.attacks.house import Client
from tests.servers.plain import Plain, served

from mantlet.core.secret import Secret
from mantlet.keys.api_keys import make_api_key
from mantlet.node.build.root import build
from mantlet.node.config import load
from mantlet.node.doors.opening import open_calls
from mantlet.node.shared import Shared

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "optimizer"
PYTHON = ROOT / ".venv-optimizer" / "bin" / "python"
PROFILES = [("solve", "POST", 10), ("status", "GET", 30), ("data/x", "GET", 100)]
TRIANGLE = {"distances": "triangle", "demands": [0, 1, 1], "vehicles": 2, "capacity": 2}


@contextlib.asynccontextmanager
async def protected(folder: Path, port: int) -> AsyncIterator[tuple[int, dict[str, str]]]:
    """A node with the example's configuration and two keys; only where things are is different."""
    keys: dict[str, Secret] = {role: make_api_key()[1] for role in ("admin", "user")}
    (service,) = yaml.safe_load((EXAMPLE / "mantlet.yaml").read_text())["http_upstreams"]
    here = {
        "http": {"port": 0},
        "admin": {"enabled": False},
        "database": {"url": f"sqlite:///{folder / 'mantlet.db'}"},
        "audit": {"path": str(folder / "audit")},
        "auth": {"api_keys": [{"name": role, "key": key.reveal(), "roles": [role]} for role, key in keys.items()]},
        "http_upstreams": [{**service, "url": f"http://127.0.0.1:{port}"}],
        "limits": {"burst": None},
    }
    (folder / "here.yaml").write_text(yaml.safe_dump(here))
    config = load([str(EXAMPLE / "mantlet.yaml"), str(folder / "here.yaml")], {}).config
    async with build(config, Shared(config.store.url)) as node:
        calls = await open_calls(node)
        try:
            yield calls.port, {role: f"Bearer {key.reveal()}" for role, key in keys.items()}
        finally:
            await calls.close()


@pytest.fixture
async def plain() -> AsyncIterator[Plain]:
    async with served() as service:
        yield service


async def test_profiles_are_ten_thirty_and_a_hundred_a_minute(tmp_path: Path, plain: Plain) -> None:
    """RATE-01"""
    async with protected(tmp_path, plain.port) as (port, keys):
        client = await Client.to(port)
        fields = {"Authorization": keys["user"], "Content-Type": "application/json"}
        for name, verb, count in PROFILES:
            body = b"{}" if verb == "POST" else b""
            answers = [await client.ask(verb, f"/api/optimizer/{name}", fields, body) for _ in range(count + 1)]
            assert [answer.status for answer in answers] == [200] * count + [429]
            assert answers[-1].json["limit"] == count
        client.close()


async def test_roles_are_admin_and_user(tmp_path: Path, plain: Plain) -> None:
    """AUTHZ-01"""
    async with protected(tmp_path, plain.port) as (port, keys):
        client = await Client.to(port)
        for verb, name, user in [
            ("GET", "status", 200), ("GET", "data", 200), ("GET", "data/x", 200), ("POST", "solve", 200),
            ("PUT", "data/x", 403), ("DELETE", "data/x", 403), ("POST", "status", 403), ("GET", "solve", 403),
            ("GET", "metrics", 403), ("GET", "datax", 403), ("GET", "", 403),
        ]:  # fmt: skip
            body = b"{}" if verb in ("POST", "PUT") else b""
            for role, status in (("admin", 200), ("user", user)):
                fields = {"Authorization": keys[role], "Content-Type": "application/json"}
                answer = await client.ask(verb, f"/api/optimizer/{name}", fields, body)
                assert answer.status == status, (role, verb, name)
        assert (await client.ask("GET", "/api/optimizer/status")).status == 401
        client.close()


@pytest.fixture
def optimizer() -> Iterator[int]:
    """The example itself, in a process of its own with OR-Tools."""
    if not PYTHON.exists():
        pytest.skip("OR-Tools is not there: `make examples` installs it into .venv-optimizer")
    with subprocess.Popen(
        [PYTHON, "-c", SERVE], cwd=EXAMPLE, stdout=subprocess.PIPE, stderr=sys.stderr, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


SERVE = """
import socket, uvicorn, service
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
uvicorn.Server(uvicorn.Config(service.app, log_level="error")).run([listening])
"""


def asked(port: int, key: str, verb: str, path: str, body: Any = None, **fields: str) -> tuple[int, Any]:
    """By the standard library's own client, as anybody's program would."""
    connection = http.client.HTTPConnection("localhost", port, timeout=60)
    given = {"Authorization": key, **({} if body is None else {"Content-Type": "application/json"}), **fields}
    connection.request(verb, f"/api/optimizer{path}", None if body is None else json.dumps(body), given)
    with contextlib.closing(connection), connection.getresponse() as answer:
        raw = answer.read()
        kind = answer.headers["Content-Type"] or ""
        return answer.status, json.loads(raw) if "json" in kind else raw.decode()


@pytest.mark.slow
async def test_the_service_itself_plans_for_those_who_may(tmp_path: Path, optimizer: int) -> None:
    async with protected(tmp_path, optimizer) as (port, keys):

        async def ask(role: str, verb: str, path: str, body: Any = None, **fields: str) -> tuple[int, Any]:
            return await asyncio.to_thread(asked, port, keys[role], verb, path, body, **fields)

        status, plan = await ask("user", "POST", "/solve", TRIANGLE)
        assert (status, plan["distance"], plan["is_optimal"]) == (200, 12, True)
        status, events = await ask("user", "POST", "/solve", TRIANGLE, Accept="text/event-stream")
        assert status == 200
        assert "event: better" in events
        assert events.rstrip().splitlines()[-2] == "event: plan"
        assert (await ask("user", "POST", "/solve", {"distances": []}))[0] == 422
        assert (await ask("user", "PUT", "/data/pair", [[0, 1], [1, 0]]))[0] == 403
        assert (await ask("admin", "PUT", "/data/pair", [[0, 1], [1, 0]]))[0] == 204
        assert await ask("user", "GET", "/data/pair") == (200, [[0, 1], [1, 0]])
        assert (await ask("user", "GET", "/status"))[1]["solved"] == 2


@pytest.mark.slow
async def test_a_caller_who_leaves_ends_the_search(tmp_path: Path, optimizer: int) -> None:
    """RES-03"""
    place = [(x * 37 % 101, x * 61 % 103) for x in range(40)]
    hard = {
        "distances": [[abs(a - c) + abs(b - d) for c, d in place] for a, b in place],
        "demands": [0] + [1 + x % 4 for x in range(39)], "vehicles": 8, "capacity": 15, "seconds": 60,
    }  # fmt: skip
    async with protected(tmp_path, optimizer) as (port, keys), asyncio.timeout(30):
        client = await Client.to(port)
        fields = {"Authorization": keys["admin"], "Content-Type": "application/json", "Accept": "text/event-stream"}
        await client.ask("POST", "/api/optimizer/solve", fields, json.dumps(hard).encode(), whole=False)
        assert (await anext(client.chunks())).startswith(b"event: better")
        client.close()
        said: Any = {}
        while said.get("abandoned") != 1 or said["running"]:  # another process: there is nothing to wait on
            said = (await asyncio.to_thread(asked, port, keys["admin"], "GET", "/status"))[1]
            await asyncio.sleep(2.1)
