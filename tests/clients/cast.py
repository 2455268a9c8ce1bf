"""Who meets whom: the clients, the servers, and how each is started."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.rig import node
from bench.rig.process import ROOT

DRIVERS = Path(__file__).resolve().parent / "drivers"
MCP1_PYTHON = ROOT / ".venv-mcp1" / "bin" / "python"
MODERN = "2026-07-28"
CLIENT_TIMEOUT_S = 60
BOTH = frozenset({"modern", "legacy"})
ONLY_MODERN = frozenset({"modern"})
ONLY_LEGACY = frozenset({"legacy"})


@dataclass(frozen=True)
class Seen:
    """What a client's program said: the tools it was told of and the first text of the call, or why it failed."""

    tools: list[str]
    text: str
    error: str


@dataclass(frozen=True)
class Client:
    """A program that connects with a bearer token, lists the tools and calls one."""

    name: str
    eras: frozenset[str]
    command: tuple[str, ...]
    mode: str = "auto"
    needs_node: bool = False
    needs: Path | None = None

    def missing(self) -> str:
        """Why it cannot run here, or an empty string."""
        if self.needs_node and (why := node.missing()):
            return why
        return f"{self.needs} is not there: `make node`" if self.needs and not self.needs.exists() else ""

    def run(self, url: str, token: str, tool: str, arguments: Mapping[str, Any], scratch: Path) -> Seen:
        """List and call."""
        done = _run(
            list(self.command),
            MCP_URL=url,
            MCP_TOKEN=token,
            MCP_TOOL=tool,
            MCP_ARGUMENTS=json.dumps(arguments),
            MCP_MODE=self.mode,
            MCP_PACKAGES=str(node.PACKAGES),
        )
        if done.returncode:
            return Seen([], "", done.stdout[-4000:] + done.stderr[-4000:])
        said = json.loads(done.stdout.strip().splitlines()[-1])
        return Seen(said["tools"], said["text"], "")


@dataclass(frozen=True)
class Inspector(Client):
    """The Inspector's command line: a run for each of the two."""

    def run(self, url: str, token: str, tool: str, arguments: Mapping[str, Any], scratch: Path) -> Seen:
        """List, then call."""
        base = [*self.command, url, "--transport", "http", "--header", f"Authorization: Bearer {token}"]
        base += ["--protocol-era", self.mode]
        given = [part for name, value in arguments.items() for part in ("--tool-arg", f"{name}={value}")]
        environment = {"MCP_CATALOG_PATH": str(scratch / "catalog.json"), "HOME": str(scratch)}
        listed = _run([*base, "--method", "tools/list"], **environment)
        called = _run([*base, "--method", "tools/call", "--tool-name", tool, *given], **environment)
        if listed.returncode or called.returncode:
            return Seen([], "", "".join((listed.stdout, listed.stderr, called.stdout, called.stderr))[-8000:])
        names = [item["name"] for item in json.loads(listed.stdout)["tools"]]
        return Seen(names, json.loads(called.stdout)["content"][0]["text"], "")


def _run(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    whole = {**os.environ, **node.environment(), **environment}
    return subprocess.run(command, env=whole, capture_output=True, text=True, timeout=CLIENT_TIMEOUT_S, check=False)


def _python(driver: str, python: Path | str = sys.executable) -> tuple[str, ...]:
    return (str(python), str(DRIVERS / driver))


def _node(driver: str) -> tuple[str, ...]:
    return (str(node.NODE), str(DRIVERS / driver))


_INSPECTOR = (*node.binary("mcp-inspector"), "--cli")
CLIENTS = (
    Client("mcp2", BOTH, _python("mcp2.py")),
    Client("mcp2-modern", ONLY_MODERN, _python("mcp2.py"), mode=MODERN),
    Client("mcp2-legacy", ONLY_LEGACY, _python("mcp2.py"), mode="legacy"),
    Client("fastmcp4", BOTH, _python("fastmcp4.py")),
    Client("mcp1", ONLY_LEGACY, _python("mcp1.py", MCP1_PYTHON), needs=MCP1_PYTHON),
    Client("typescript1", ONLY_LEGACY, _node("typescript1.mjs"), needs_node=True),
    Client("typescript2", BOTH, _node("typescript2.mjs"), needs_node=True),
    Client("typescript2-modern", ONLY_MODERN, _node("typescript2.mjs"), mode=MODERN, needs_node=True),
    Inspector("inspector", BOTH, _INSPECTOR, needs_node=True),
    Inspector("inspector-modern", ONLY_MODERN, _INSPECTOR, mode="modern", needs_node=True),
    Inspector("inspector-legacy", ONLY_LEGACY, _INSPECTOR, mode="legacy", needs_node=True),  # what it does unasked
)


@dataclass(frozen=True)
class Server:
    """A real server and one call whose answer is known."""

    name: str
    eras: frozenset[str]
    tool: str
    arguments: Mapping[str, Any]
    answer: re.Pattern[str]
    command: tuple[str, ...]
    """With `{folder}` and, when it listens itself, `{port}` where they belong."""
    env: Mapping[str, str] = field(default_factory=dict)
    transport: str = "stdio"
    needs_node: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    """More keys of its entry in the config file."""


_TIME = re.compile(r'"timezone": ?"Europe/Lisbon"')
SERVERS = (
    Server(
        "time",
        BOTH,
        "get_current_time",
        {"timezone": "Europe/Lisbon"},
        _TIME,
        (sys.executable, "-m", "mcp_server_time", "--local-timezone", "UTC"),
    ),
    Server(
        "git",
        BOTH,
        "git_log",
        {"repo_path": "{folder}/repository"},
        re.compile("the first commit"),
        (sys.executable, "-m", "mcp_server_git", "--repository", "{folder}/repository"),
    ),
    Server(
        "filesystem",
        ONLY_LEGACY,
        "read_text_file",
        {"path": "{folder}/files/hello.txt"},
        re.compile("hello from the file"),
        (*node.binary("mcp-server-filesystem"), "{folder}/files"),
        needs_node=True,
    ),
    Server(
        "everything",
        ONLY_LEGACY,
        "echo",
        {"message": "hi"},
        re.compile("Echo: hi"),
        (*node.binary("mcp-server-everything"), "stdio"),
        needs_node=True,
    ),
    Server(
        "everything-http",
        ONLY_LEGACY,
        "echo",
        {"message": "hi"},
        re.compile("Echo: hi"),
        (*node.binary("mcp-server-everything"), "streamableHttp"),
        env={"PORT": "{port}"},
        transport="http",
        needs_node=True,
    ),
    Server(
        # No server is published that refuses `initialize`; this one does as far as a client can tell.
        "modern-only",
        ONLY_MODERN,
        "test_simple_text",
        {},
        re.compile("simple text"),
        (sys.executable, str(ROOT / "tests" / "conformance" / "program"), "--port", "{port}"),
        transport="http",
        options={"era": "modern"},
    ),
)
