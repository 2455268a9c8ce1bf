"""Real servers behind every kind of channel: each does the same to each client, or says why not."""

import asyncio
import json
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.upstreams.transports.channel.support import (
    PlainSealer,
    call,
    events_of,
    initialize,
    result_of,
    text_of,
    tool,
    until,
)
from tests.upstreams.transports.peers import MCP1_PYTHON, ROOT, SERVERS, SOON, running, served

from mantlet.core.refusal import BadUpstream, DeadlineExceeded, EraUnavailable, UpstreamUnavailable
from mantlet.core.secret import Secret
from mantlet.upstreams.transports.channel.channel import Connect
from mantlet.upstreams.transports.channel.config import ChannelConfig
from mantlet.upstreams.transports.channel.server import ChannelServer
from mantlet.upstreams.transports.http import HttpServer
from mantlet.upstreams.transports.http.config import HttpServerConfig
from mantlet.upstreams.transports.python.config import PythonServerConfig
from mantlet.upstreams.transports.python.connector import PythonConnector
from mantlet.upstreams.transports.sse.config import SseServerConfig
from mantlet.upstreams.transports.sse.connector import SseConnector
from mantlet.upstreams.transports.tcp.config import TcpServerConfig
from mantlet.upstreams.transports.tcp.connector import TcpConnector
from mantlet.upstreams.transports.websocket.config import WebSocketServerConfig
from mantlet.upstreams.transports.websocket.connector import WebSocketConnector

TOKEN = "peer-token"
NPM_EVERYTHING = ROOT / "locks/npm/node_modules/@modelcontextprotocol/server-everything/dist/index.js"


@dataclass(frozen=True)
class Peer:
    """One server and the era it speaks."""

    name: str
    eras: tuple[str, ...]


MODERN = [
    Peer("websocket", ("modern", "legacy")),
    Peer("tcp", ("modern", "legacy")),
    Peer("python", ("modern", "legacy")),
]
LEGACY = [Peer("websocket-mcp1", ("legacy",)), Peer("sse-mcp1", ("legacy",))]
EVERY = [pytest.param(peer.name, era, id=f"{peer.name}-{era}") for peer in MODERN + LEGACY for era in peer.eras]


def websocket(url: str) -> tuple[ChannelConfig, Connect]:
    headers = {"authorization": Secret(f"Bearer {TOKEN}")}
    config = WebSocketServerConfig(name="test", url=url, headers=headers, restart=SOON)
    return config, WebSocketConnector(config, is_plain_allowed=True)


def tcp(port: int) -> tuple[ChannelConfig, Connect]:
    config = TcpServerConfig(name="test", host="127.0.0.1", port=port, token=Secret(TOKEN), restart=SOON)
    return config, TcpConnector(config, is_plain_allowed=True)


def sse(url: str) -> tuple[ChannelConfig, Connect]:
    headers = {"authorization": Secret(f"Bearer {TOKEN}")}
    config = SseServerConfig(name="test", url=url, headers=headers, isolation="shared", restart=SOON)
    return config, SseConnector(config, is_plain_allowed=True)


def python(name: str) -> tuple[ChannelConfig, Connect]:
    config = PythonServerConfig(name="test", object=name, restart=SOON)
    return config, PythonConnector(config)


@pytest.fixture(scope="module")
def started() -> Iterator[Callable[[str], tuple[ChannelConfig, Connect]]]:
    """Gives a peer's config and connector; its program is started once."""
    ports: dict[str, int] = {}
    with ExitStack() as programs, pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SERVERS))

        def port(name: str, program: str, *options: str, **choice: Any) -> int:
            if name not in ports:
                ports[name] = programs.enter_context(running(program, *options, "--token", TOKEN, **choice))
            return ports[name]

        def start(name: str) -> tuple[ChannelConfig, Connect]:
            if name == "websocket":
                return websocket(f"ws://127.0.0.1:{port(name, 'sockets.py', '--websocket', '0')}/mcp")
            if name == "tcp":
                return tcp(port(name, "sockets.py", "--tcp", "0"))
            if name == "websocket-mcp1":
                number = port(name, "mcp1.py", "--websocket", "0", python=MCP1_PYTHON)
                return websocket(f"ws://127.0.0.1:{number}/ws")
            if name == "sse-mcp1":
                return sse(f"http://127.0.0.1:{port(name, 'mcp1.py', '--sse', '0', python=MCP1_PYTHON)}/sse")
            return python("everything:server")

        yield start


@asynccontextmanager
async def talking(
    started: Callable[[str], tuple[ChannelConfig, Connect]], peer: str, era: str
) -> AsyncIterator[tuple[ChannelServer, dict[str, Any]]]:
    """A server and what its calls need: the era, and a session where that has them."""
    async with served(*started(peer)) as server:
        options: dict[str, Any] = {"era": era}
        if era == "legacy":
            options["session"] = await initialize(server)
        yield server, options


@pytest.mark.parametrize(("peer", "era"), EVERY)
async def test_list_and_call(started: Any, peer: str, era: str) -> None:
    async with talking(started, peer, era) as (server, options):
        listed = result_of(await server.send(call("tools/list", **options)))
        assert {"add", "progress", "fail"} <= {one["name"] for one in listed["result"]["tools"]}
        assert text_of(await server.send(tool("add", {"a": 2, "b": 3}, id="mine", **options))) == "5"
        texts = "grüße ☃ " + "x" * 300_000
        assert text_of(await server.send(tool("echo", {"message": texts}, **options))) == texts


@pytest.mark.parametrize(("peer", "era"), EVERY)
async def test_progress_comes_before_the_answer_under_the_clients_token(started: Any, peer: str, era: str) -> None:
    async with talking(started, peer, era) as (server, options):
        reply = await server.send(tool("progress", {"steps": 3}, meta={"progressToken": "mine"}, **options))
        *notes, answer = await events_of(reply)
        assert [note["params"]["progress"] for note in notes] == [1, 2, 3]
        assert {note["params"]["progressToken"] for note in notes} == {"mine"}
        assert answer["result"]["content"][0]["text"] == "3 steps"


@pytest.mark.parametrize(("peer", "era"), EVERY)
async def test_errors_come_back(started: Any, peer: str, era: str) -> None:
    async with talking(started, peer, era) as (server, options):
        failed = result_of(await server.send(tool("fail", {"message": "on purpose"}, **options)))
        assert failed["result"]["isError"] is True
        assert "on purpose" in failed["result"]["content"][0]["text"]
        unknown = result_of(await server.send(call("prompts/get", {"name": "nope"}, **options)))
        assert type(unknown["error"]["code"]) is int


@pytest.mark.parametrize(("peer", "era"), EVERY)
async def test_a_client_that_leaves_and_a_deadline_cancel_the_work(started: Any, peer: str, era: str) -> None:
    """MCP-07, RES-03"""
    async with talking(started, peer, era) as (server, options):

        async def seen() -> dict[str, list[str]]:
            return json.loads(text_of(await server.send(tool("witness", **options))))

        async def sees(kind: str, tag: str) -> None:
            async with asyncio.timeout(10):
                while tag not in (await seen())[kind]:
                    await asyncio.sleep(0.01)

        left, late = f"left-{peer}-{era}", f"late-{peer}-{era}"
        leaving = asyncio.ensure_future(server.send(tool("slow", {"tag": left}, id=1, **options)))
        await sees("started", left)
        leaving.cancel()
        await asyncio.wait({leaving})
        await sees("cancelled", left)
        with pytest.raises(DeadlineExceeded):
            await server.send(tool("slow", {"tag": late}, id=2, timeout_s=0.3, **options))
        await sees("cancelled", late)


@pytest.mark.parametrize(("peer", "era"), EVERY)
async def test_callers_at_once_get_each_their_own_answer(started: Any, peer: str, era: str) -> None:
    """MCP-05"""
    async with talking(started, peer, era) as (server, options):
        tools = [
            tool("echo", {"message": f"{number}"}, id=7 if era == "modern" else number, **options)
            for number in range(40)
        ]
        answers = await asyncio.gather(*map(server.send, tools))
        assert [text_of(answer) for answer in answers] == [f"{number}" for number in range(40)]


@pytest.mark.parametrize(("peer", "era"), EVERY)
async def test_nothing_is_left_after_close(started: Any, peer: str, era: str) -> None:
    def held() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    started(peer)  # its program holds a pipe of ours
    for round_ in range(6):
        async with talking(started, peer, era) as (server, options):
            waiting = asyncio.ensure_future(server.send(tool("slow", {"tag": f"{peer}{era}{round_}"}, **options)))
            assert text_of(await server.send(tool("add", {"a": 2, "b": 3}, id=2, **options))) == "5"
        outcome = (await asyncio.gather(waiting, return_exceptions=True))[0]
        assert isinstance(outcome, BadUpstream) or "error" in result_of(outcome)
        if round_ == 0:
            await until(lambda: len(asyncio.all_tasks()) == 1)
            before = held()
    await until(lambda: len(asyncio.all_tasks()) == 1)
    await until(lambda: held() <= before)


@pytest.mark.parametrize("peer", [peer.name for peer in LEGACY])
async def test_a_legacy_server_says_so_to_modern_clients(started: Any, peer: str) -> None:
    async with served(*started(peer)) as server:
        with pytest.raises(EraUnavailable):
            await server.send(tool("add", {"a": 1, "b": 2}))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "options", "choice"),
    [
        ("sockets.py", ("--websocket",), {}),
        ("sockets.py", ("--tcp",), {}),
        ("mcp1.py", ("--sse",), {"python": MCP1_PYTHON}),
    ],
    ids=["websocket", "tcp", "sse"],
)
async def test_a_server_that_dies_in_mid_call_and_comes_back(
    program: str, options: tuple[str, ...], choice: dict[str, Any]
) -> None:
    """RES-06: calls in flight fail at once, later ones when it is known to be gone, and it is found again."""
    kind = options[0]
    era = "legacy" if kind == "--sse" else "modern"
    with running(program, kind, "0", "--token", TOKEN, **choice) as port:
        url = f"127.0.0.1:{port}"
        made = {"--websocket": lambda: websocket(f"ws://{url}/mcp"), "--tcp": lambda: tcp(port)}
        config, connect = made.get(kind, lambda: sse(f"http://{url}/sse"))()
        async with served(config, connect) as server:
            settings: dict[str, Any] = {"era": era}
            if era == "legacy":
                settings["session"] = await initialize(server)
            with pytest.raises(BadUpstream):
                await server.send(tool("crash", **settings))
            await until(lambda: server._primary.failures > 1)
            with pytest.raises(UpstreamUnavailable):
                await server.send(tool("add", {"a": 1, "b": 2}, **settings))
            with running(program, kind, str(port), "--token", TOKEN, **choice):
                await until(lambda: server._primary.state == "healthy")
                assert text_of(await server.send(tool("add", {"a": 1, "b": 2}, **settings))) == "3"


@pytest.mark.parametrize("kind", ["--websocket", "--tcp", "--sse"])
async def test_a_wrong_credential_is_no_connection(kind: str) -> None:
    program, choice = ("mcp1.py", {"python": MCP1_PYTHON}) if kind == "--sse" else ("sockets.py", {})
    with running(program, kind, "0", "--token", "another", **choice) as port:
        made = {"--websocket": lambda: websocket(f"ws://127.0.0.1:{port}/mcp"), "--tcp": lambda: tcp(port)}
        async with served(*made.get(kind, lambda: sse(f"http://127.0.0.1:{port}/sse"))()) as server:
            with pytest.raises(UpstreamUnavailable):
                await server.send(tool("add"))
            assert TOKEN not in json.dumps(await server.health())


@pytest.fixture(scope="module")
def npm_port() -> Iterator[int]:
    """The reference server of the TypeScript SDK over HTTP+SSE."""
    from bench.rig import node

    if (why := node.missing()) or not NPM_EVERYTHING.exists():
        pytest.skip(why or "server-everything is not there: `make node`")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        ["node", str(NPM_EVERYTHING), "sse"],
        env={**os.environ, "PORT": str(port)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=Path.cwd(),
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if b"is running on" in line:
                break
        yield port
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.mark.node
async def test_the_reference_server_over_sse(npm_port: int) -> None:
    config, connect = sse(f"http://127.0.0.1:{npm_port}/sse")
    async with served(config, connect) as server:
        options = {"era": "legacy", "session": await initialize(server)}
        listed = result_of(await server.send(call("tools/list", **options)))
        assert "echo" in {one["name"] for one in listed["result"]["tools"]}
        assert "hello" in text_of(await server.send(tool("echo", {"message": "hello"}, **options)))
        reply = await server.send(
            tool("trigger-long-running-operation", {"duration": 1, "steps": 4}, meta={"progressToken": 5}, **options)
        )
        *notes, answer = await events_of(reply)
        assert [note["params"]["progressToken"] for note in notes] == [5] * len(notes)
        assert len(notes) >= 3
        assert "result" in answer


async def test_a_server_of_the_older_transport_behind_the_newer_is_named(started: Any) -> None:
    """2025-11-25, transports, "Backwards Compatibility": it is not fallen back to, but told."""
    config, connect = started("sse-mcp1")
    assert isinstance(config, SseServerConfig)
    newer = HttpServer(
        HttpServerConfig(name="test", url=config.url, headers=config.headers), PlainSealer(), is_plain_allowed=True
    )
    with pytest.raises(BadUpstream):
        await newer.send(tool("add", {"a": 1, "b": 2}))
    assert "transport: sse" in (await newer.health())["reasons"][0]
    await newer.close()
    await connect.close()
