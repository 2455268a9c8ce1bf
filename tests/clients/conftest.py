"""One gateway before each real server, started when the first test asks for it."""

import contextlib
import importlib.util
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
from cast import Server


@dataclass(frozen=True)
class Door:
    """Where a server is reached, and the call to try there."""

    url: str
    token: str
    arguments: dict[str, Any]
    gateway: Gateway


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
    if importlib.util.find_spec("mantlet.node.serve") is None:
        pytest.skip("there is no gateway to start yet")
    with contextlib.ExitStack() as stack:
        opened: dict[str, Door] = {}

        def open_(server: Server) -> Door:
            if server.name not in opened:
                opened[server.name] = stack.enter_context(_open(server, tmp_path_factory.mktemp(server.name)))
            return opened[server.name]

        yield open_


@contextlib.contextmanager
def _open(server: Server, folder: Path) -> Iterator[Door]:
    _prepare(folder)
    port = free_port()
    command = [_fill(part, folder=folder, port=port) for part in server.command]
    env = {name: _fill(value, port=port) for name, value in server.env.items()}
    arguments = {
        name: _fill(value, folder=folder) if isinstance(value, str) else value
        for name, value in server.arguments.items()
    }
    with contextlib.ExitStack() as stack:
        if server.transport == "http":
            stack.enter_context(running(command, port, folder / "server.log", {**node.environment(), **env}))
            entry = http(server.name, f"http://127.0.0.1:{port}/mcp")
        else:
            entry = stdio(server.name, *command, env=env)
        gateway = stack.enter_context(start_gateway(config([entry]), folder / "node"))
        yield Door(gateway.mcp(server.name), gateway.token, arguments, gateway)
