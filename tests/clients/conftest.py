"""One gateway before each real server, started when the first test asks for it."""

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from bench.rig import node
from bench.rig.gateway import Gateway, config, http, start_gateway, stdio
from bench.rig.process import free_port, running

sys.path.insert(0, str(Path(__file__).parent))  # for `cast`, which is no package of its own
from cast import SERVERS, Server


@dataclass(frozen=True)
class Door:
    """Where a server is reached, and the call to try there."""

    url: str
    token: str
    arguments: dict[str, Any]
    gateway: Gateway


@dataclass(frozen=True)
class Whole(Door):
    """The door to several servers as one."""

    servers: tuple[Server, ...]


def _fill(text: str, **places: object) -> str:
    for name, value in places.items():
        text = text.replace("{" + name + "}", str(value))
    return text


def _prepare(folder: Path) -> None:
    files, repository = folder / "files", folder / "repository"
    files.mkdir(parents=True)
    (files / "hello.txt").write_text("hello from the file\n")
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q", str(repository)], ["commit", "-q", "--allow-empty", "-m", "the first commit"]):
        where = ["-C", str(repository)] if command[0] == "commit" else []
        subprocess.run(["git", *where, *identity, *command], check=True)


@pytest.fixture(scope="session")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Server], Door]]:
    """The gateway's door to a server; both stay up until the session ends."""
    with contextlib.ExitStack() as stack:
        opened: dict[str, Door] = {}

        def open_(server: Server) -> Door:
            if server.name not in opened:
                opened[server.name] = stack.enter_context(_open(server, tmp_path_factory.mktemp(server.name)))
            return opened[server.name]

        yield open_


@pytest.fixture(scope="session", params=[1, 2], ids=["1-worker", "2-workers"])
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    """The endpoint of all servers, with one server of each kind behind it; `arguments` are for the first.

    With two workers the connections of one client end at either, and so do the messages of its session.
    """
    servers = [server for server in SERVERS if server.name != "everything"]  # the same tools as everything-http
    with contextlib.ExitStack() as stack:
        folder = tmp_path_factory.mktemp("whole")
        _prepare(folder)
        entries = [stack.enter_context(_entry(server, folder)) for server in servers]
        settings = config(entries)
        settings["http"]["workers"] = request.param
        settings["mcp"]["limits"]["list_timeout_ms"] = 30_000  # programs of Python and node begin slowly
        gateway = stack.enter_context(start_gateway(settings, folder / "node"))
        yield Whole(gateway.mcp(), gateway.token, _arguments(servers[0], folder), gateway, tuple(servers))


@contextlib.contextmanager
def _open(server: Server, folder: Path) -> Iterator[Door]:
    _prepare(folder)
    with _entry(server, folder) as entry, start_gateway(config([entry]), folder / "node") as gateway:
        yield Door(gateway.mcp(server.name), gateway.token, _arguments(server, folder), gateway)


@contextlib.contextmanager
def _entry(server: Server, folder: Path) -> Iterator[dict[str, Any]]:
    """Its entry in the config file; a server that listens itself is up until the block ends."""
    port = free_port()
    command = [_fill(part, folder=folder, port=port) for part in server.command]
    env = {name: _fill(value, port=port) for name, value in server.env.items()}
    if server.transport == "stdio":
        yield {**stdio(server.name, *command, env=env), **server.options}
        return
    with running(command, port, folder / f"{server.name}.log", {**node.environment(), **env}):
        yield {**http(server.name, f"http://127.0.0.1:{port}/mcp"), **server.options}


def _arguments(server: Server, folder: Path) -> dict[str, Any]:
    return {
        name: _fill(value, folder=folder) if isinstance(value, str) else value
        for name, value in server.arguments.items()
    }
