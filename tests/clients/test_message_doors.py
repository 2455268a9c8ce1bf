"""Real SDKs at the doors for messages: both eras, everything that a session can do, at each door."""

import asyncio
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import mcp_types
import pytest
from bench.rig.gateway import Gateway, config, http, start_gateway
from bench.rig.process import free_port, running
from cast import DRIVERS, MCP1_PYTHON
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from transports import tcp, websocket

EVERYTHING = Path(__file__).parents[1] / "servers" / "everything.py"
PATIENCE_S = 20.0
Mode = Literal["auto", "legacy"]


@dataclass(frozen=True)
class Doors:
    """A gateway before one server of both eras (`sdk`), with every door open."""

    gateway: Gateway
    websocket_port: int
    tcp_port: int
    key_file: Path

    def stdio(self) -> list[str]:
        """How a client starts the node itself; beside the one that runs, with the same trail and database."""
        file = str(self.gateway.folder / "mantlet.yaml")
        return [sys.executable, "-m", "mantlet", "stdio", "-c", file, "--token-file", str(self.key_file)]

    def to(self, door: str, server: str = "sdk") -> AbstractAsyncContextManager[Any]:
        """A transport of the SDK 2.x."""
        token = self.gateway.token
        path = f"/ws/{server}" if server else "/ws"
        match door:
            case "websocket":
                return websocket(f"ws://127.0.0.1:{self.websocket_port}{path}", token)
            case "tcp":
                return tcp(self.tcp_port, token, server)
        command, *arguments = self.stdio()
        more = ["--server", server] if server else []
        return stdio_client(StdioServerParameters(command=command, args=[*arguments, *more]))


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    folder = tmp_path_factory.mktemp("doors")
    port, websocket_port, tcp_port = free_port(), free_port(), free_port()
    with running([sys.executable, str(EVERYTHING), "--http", str(port)], port, folder / "server.log"):
        settings = config(
            [http("sdk", f"http://127.0.0.1:{port}/mcp")],
            websocket={"enabled": True, "port": websocket_port},
            tcp={"enabled": True, "port": tcp_port},
        )
        with start_gateway(settings, folder / "gateway") as gateway:
            key_file = folder / "token"
            key_file.write_text(gateway.token)
            key_file.chmod(0o600)
            yield Doors(gateway, websocket_port, tcp_port, key_file)


async def elicit(context: Any, params: Any) -> mcp_types.ElicitResult:
    return mcp_types.ElicitResult(action="accept", content={"name": "Ada"})


async def sample(context: Any, params: Any) -> mcp_types.CreateMessageResult:
    text = mcp_types.TextContent(type="text", text="Paris")
    return mcp_types.CreateMessageResult(role="assistant", model="m", content=text)


async def roots(context: Any) -> mcp_types.ListRootsResult:
    return mcp_types.ListRootsResult(roots=[mcp_types.Root(uri="file:///here")])


async def text(client: Client, name: str, **arguments: Any) -> str:
    result = await client.call_tool(name, arguments)
    return f"error: {result.content[0].text}" if result.is_error else result.content[0].text


async def progress(client: Client) -> Any:
    heard: list[float] = []

    async def progressed(progress: float, total: float | None, message: str | None) -> None:
        heard.append(progress)

    await client.call_tool("progress", {"steps": 3}, progress_callback=progressed)
    return heard


async def cancellation(client: Client) -> Any:
    tag = f"tag-{time.monotonic_ns()}"
    calling = asyncio.ensure_future(client.call_tool("slow", {"seconds": 60, "tag": tag}))
    while tag not in json.loads(await text(client, "witness"))["started"]:
        await asyncio.sleep(0.01)
    calling.cancel()
    while tag not in json.loads(await text(client, "witness"))["cancelled"]:
        await asyncio.sleep(0.01)
    return "cancelled"


async def many(client: Client) -> Any:
    said = await asyncio.gather(*(text(client, "echo", message=f"m{number}") for number in range(200)))
    return said == [f"m{number}" for number in range(200)]


async def listed(client: Client) -> Any:
    return "echo" in [tool.name for tool in (await client.list_tools()).tools]


def calling(name: str, **arguments: Any) -> Callable[[Client], Awaitable[Any]]:
    return lambda client: text(client, name, **arguments)


CELLS: dict[str, tuple[Callable[[Client], Awaitable[Any]], Any]] = {
    "list": (listed, True),
    "call": (calling("echo", message="hé\n😀"), "hé\n😀"),
    "large": (calling("large", size=300_000), "x" * 300_000),
    "error": (calling("fail", message="why"), "error: Error executing tool fail: why"),
    "progress": (progress, [1.0, 2.0, 3.0]),
    "elicitation": (calling("ask"), "accept: Ada"),
    "two rounds": (calling("ask_twice"), "Ada Ada"),
    "sampling": (calling("sample"), "m: Paris"),
    "roots": (calling("roots"), "file:///here"),
    "cancellation": (cancellation, "cancelled"),
    "200 at once": (many, True),
}


FAST = {("websocket", "auto", "sdk"), ("tcp", "legacy", "sdk")}


def _sessions() -> Iterator[Any]:
    for door, mode, server in itertools.product(["websocket", "tcp", "stdio"], ["auto", "legacy"], ["sdk", ""]):
        marks = [] if (door, mode, server) in FAST else [pytest.mark.slow]
        yield pytest.param(door, mode, server, id=f"{door}-{mode}-{'one' if server else 'all'}", marks=marks)


@pytest.mark.parametrize(("door", "mode", "server"), list(_sessions()))
async def test_a_session_can_do_everything_at_each_door(doors: Doors, door: str, mode: Mode, server: str) -> None:
    async with asyncio.timeout(PATIENCE_S * 2):
        async with Client(
            doors.to(door, server),  # type: ignore[arg-type]
            mode=mode,
            elicitation_callback=elicit,
            sampling_callback=sample,
            list_roots_callback=roots,
        ) as client:
            assert client.protocol_version == ("2026-07-28" if mode == "auto" else "2025-11-25")
            for name, (act, expected) in CELLS.items():
                async with asyncio.timeout(PATIENCE_S):
                    assert await act(client) == expected, name


@pytest.mark.slow
@pytest.mark.parametrize("door", ["websocket", "tcp", "stdio"])
async def test_a_subscription_is_heard_at_each_door(doors: Doors, door: str) -> None:
    async with asyncio.timeout(PATIENCE_S), Client(doors.to(door)) as client:  # type: ignore[arg-type]
        async with client.listen(resource_subscriptions=["test://counter"]) as events:
            await text(client, "change")
            async for event in events:
                assert "test://counter" in repr(event)
                break
        assert await text(client, "echo", message="after") == "after"


@pytest.mark.slow
@pytest.mark.parametrize("door", ["websocket", "sse", "stdio"])
def test_the_older_sdk_gets_its_session_at_each_door(doors: Doors, door: str) -> None:
    if not MCP1_PYTHON.exists():
        pytest.skip(f"{MCP1_PYTHON} is not there: `make node`")
    url = f"{doors.gateway.url}/sse/sdk" if door == "sse" else f"ws://127.0.0.1:{doors.websocket_port}/ws/sdk"
    command = [*doors.stdio(), "--server", "sdk"]
    environment = {"MCP_DOOR": door, "MCP_URL": url, "MCP_TOKEN": doors.gateway.token}
    done = subprocess.run(
        [str(MCP1_PYTHON), str(DRIVERS / "mcp1_doors.py")],
        env={**os.environ, **environment, "MCP_COMMAND": json.dumps(command)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    said = json.loads(done.stdout.strip().splitlines()[-1])
    assert "echo" in said.pop("tools")
    assert said == {
        "version": "2025-11-25",
        "echo": "hé",
        "fail": True,
        "progress": [1.0, 2.0, 3.0],
        "ask": "accept: Ada",
        "sample": "m: Paris",
    }


@pytest.mark.slow
def test_a_node_that_a_client_started_ends_with_it_and_leaves_nothing(doors: Doors, tmp_path: Path) -> None:
    """Children, too: the server behind this one is started by the node."""
    whole = config([{"name": "own", "transport": "stdio", "command": [sys.executable, str(EVERYTHING), "--stdio"]}])
    del whole["auth"]["jwt"]
    whole["auth"]["api_keys"] = [{"name": "desk", "key_file": str(tmp_path / "key"), "scopes": ["mcp:read"]}]
    whole["audit"]["path"], whole["database"] = str(tmp_path / "audit"), {"url": f"sqlite:///{tmp_path / 'm.db'}"}
    (tmp_path / "key").write_text("mk_Qx8vT2mLp4Rk_k3Jd8sW1qZ6xV0bN5mT7cY2rL9pF4hG8aE1uI6oS3tR")
    (tmp_path / "key").chmod(0o600)
    (tmp_path / "mantlet.yaml").write_text(json.dumps(whole))
    command = [sys.executable, "-m", "mantlet", "stdio", "-c", str(tmp_path / "mantlet.yaml")]
    protocol = "io.modelcontextprotocol/"
    meta = {f"{protocol}protocolVersion": "2026-07-28", f"{protocol}clientCapabilities": {}}
    called = {"name": "process", "arguments": {}, "_meta": meta}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as node:
        assert node.stdin is not None
        assert node.stdout is not None
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": called}
        node.stdin.write(json.dumps(message).encode() + b"\n")
        node.stdin.flush()
        said = json.loads(node.stdout.readline())
        pid = json.loads(said["result"]["content"][0]["text"])["pid"]
        node.stdin.close()
        assert node.stdout.read() == b""
        assert node.wait(timeout=20) == 0
    until_s = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and time.monotonic() < until_s:
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists()
