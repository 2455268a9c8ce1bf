"""Any client to any server: who they are, the node between them, and what each pair was seen to do.

    python -m tests.clients.matrix [--write-docs] [--client NAME] [--server NAME] [--workers N]

runs all pairs and prints the table; the same cells are tests in test_matrix_of_acts.py.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.rig import node
from bench.rig.gateway import Gateway, config, start_gateway
from bench.rig.process import ROOT, free_port, running

ACTS = ("list", "call", "progress", "error", "elicitation", "sampling", "subscription", "cancellation")
DRIVERS = Path(__file__).resolve().parent / "acts"
PROGRAMS = ROOT / "tests" / "servers"
MCP1_PYTHON = ROOT / ".venv-mcp1" / "bin" / "python"
MODERN = "2026-07-28"
CLIENT_TIMEOUT_S = 150
DOCS = ROOT / "docs" / "conformance.md"
BEGIN, END = "<!-- matrix: written by python -m tests.clients.matrix -->", "<!-- end of matrix -->"


@dataclass(frozen=True)
class Player:
    """A client's program, which plays all acts and reports them in one line of JSON."""

    name: str
    title: str
    command: tuple[str, ...]
    mode: str = "auto"
    needs_node: bool = False

    def missing(self) -> str:
        """Why it cannot run here, or an empty string."""
        if self.needs_node:
            return node.missing()
        return "" if Path(self.command[0]).exists() else f"{self.command[0]} is not there: `make node`"

    def play(self, url: str, token: str, server: "Played") -> dict[str, dict[str, Any]]:
        """Each act: whether it went well, and what was seen."""
        environment = {
            **os.environ,
            **node.environment(),
            "MCP_URL": url,
            "MCP_TOKEN": token,
            "MCP_MODE": self.mode,
            "MCP_SUBJECT": server.subject,
            "MCP_CHANGE": server.change,
            "MCP_PACKAGES": str(node.PACKAGES),
            "MCP_INSPECTOR": json.dumps([*node.binary("mcp-inspector"), "--cli"]),
            "MCP_CATALOG_PATH": str(Path(tempfile.gettempdir()) / f"mantlet-matrix-{os.getpid()}.json"),
            "PYTHONWARNINGS": "ignore",
        }
        try:
            done = subprocess.run(
                self.command, env=environment, capture_output=True, text=True, timeout=CLIENT_TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired:
            return {act: {"well": False, "said": "HANGS"} for act in ACTS}
        lines = [line for line in done.stdout.splitlines() if line.startswith('{"acts"')]
        if not lines:
            said = (done.stdout + done.stderr)[-600:]
            return {act: {"well": False, "said": said} for act in ACTS}
        acts: dict[str, dict[str, Any]] = json.loads(lines[-1])["acts"]
        return acts


@dataclass(frozen=True)
class Played:
    """A server, and its entry in the config file. `{port}` is filled in."""

    name: str
    title: str
    entry: Mapping[str, Any]
    command: tuple[str, ...] = ()
    """When it listens itself."""
    subject: str = "test://counter"
    change: str = "change"
    options: Mapping[str, Any] = field(default_factory=dict)


def _python(driver: str, python: Path | str = sys.executable) -> tuple[str, ...]:
    return (str(python), str(DRIVERS / driver))


PLAYERS = (
    Player("mcp2-modern", "Python SDK 2.3, modern", _python("mcp2.py"), MODERN),
    Player("mcp2-legacy", "Python SDK 2.3, legacy", _python("mcp2.py"), "legacy"),
    Player("mcp1", "Python SDK 1.30", _python("mcp1.py", MCP1_PYTHON)),
    Player("fastmcp4", "FastMCP 4.1", _python("fastmcp4.py")),
    Player("typescript1", "TypeScript SDK 1.32", (str(node.NODE), str(DRIVERS / "typescript1.mjs")), needs_node=True),
    Player("typescript2", "TypeScript SDK 2.4", (str(node.NODE), str(DRIVERS / "typescript2.mjs")), needs_node=True),
    Player("inspector", "Inspector 2.12 CLI", _python("inspector.py"), needs_node=True),
)

_EVERYTHING = (sys.executable, str(PROGRAMS / "everything.py"))
_LEGACY = (str(MCP1_PYTHON), str(PROGRAMS / "legacy_everything.py"))
_MCP1 = (str(MCP1_PYTHON), str(PROGRAMS / "mcp1.py"))
_SOCKETS = (sys.executable, str(PROGRAMS / "sockets.py"))
_STATIC = {"subject": "test://static/text", "change": "touch"}
SERVERS = (
    Played(
        "modern-http",
        "modern HTTP",
        {"transport": "http", "url": "http://127.0.0.1:{port}/mcp", "era": "modern"},
        (*_EVERYTHING, "--http", "{port}", "--only", "modern"),
    ),
    Played(
        "legacy-http",
        "legacy HTTP",
        {"transport": "http", "url": "http://127.0.0.1:{port}/mcp", "era": "legacy"},
        (*_LEGACY, "--http", "{port}"),
    ),
    Played(
        "http-sse",  # not `sse`: FastMCP takes a URL that ends so for the old transport, whatever it leads to
        "HTTP+SSE",
        {"transport": "sse", "url": "http://127.0.0.1:{port}/sse", "isolation": "session"},
        (*_MCP1, "--sse", "{port}"),
        **_STATIC,
    ),
    Played(
        "modern-stdio",
        "modern stdio",
        # One process, which keeps the era of its first request: legacy clients are bridged.
        {"transport": "stdio", "command": [*_EVERYTHING, "--stdio"], "max_children": 1},
    ),
    Played(
        "legacy-stdio",
        "legacy stdio",
        {"transport": "stdio", "command": [*_LEGACY, "--stdio"], "isolation": "session"},
    ),
    Played(
        "websocket",
        "WebSocket (legacy)",
        {"transport": "websocket", "url": "ws://127.0.0.1:{port}/ws", "isolation": "session"},
        (*_MCP1, "--websocket", "{port}"),
        **_STATIC,
    ),
    Played(
        "tcp",
        "TCP (modern)",
        {"transport": "tcp", "host": "127.0.0.1", "port": "{port}", "max_children": 1},
        (*_SOCKETS, "--tcp", "{port}"),
    ),
)


def _filled(value: Any, port: int) -> Any:
    if value == "{port}":
        return port
    return value.replace("{port}", str(port)) if isinstance(value, str) else value


@contextlib.contextmanager
def stage(folder: Path, *, servers: tuple[Played, ...] = SERVERS, workers: int = 1) -> Iterator[Gateway]:
    """A node with all these servers behind it."""
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as opened:
        entries = []
        for server in servers:
            port = free_port()
            if server.command:
                command = [str(_filled(word, port)) for word in server.command]
                opened.enter_context(running(command, port, folder / f"{server.name}.log", node.environment()))
            entries.append({"name": server.name, **{key: _filled(value, port) for key, value in server.entry.items()}})
        settings = config(entries)
        settings["http"]["workers"] = workers
        settings["authorization"]["default"] = "allow"
        yield opened.enter_context(start_gateway(settings, folder / "node"))


def table(seen: Mapping[tuple[str, str], Mapping[str, Mapping[str, Any]]]) -> str:
    """Markdown: a row a client, a column a server; a cell says what of the eight acts did not go well."""
    servers = [server for server in SERVERS if any(server.name == name for _, name in seen)]
    lines = ["| client | " + " | ".join(server.title for server in servers) + " |", "|---" * (len(servers) + 1) + "|"]
    for player in PLAYERS:
        if not any(player.name == name for name, _ in seen):
            continue
        cells = []
        for server in servers:
            acts = seen[player.name, server.name]
            bad = [act for act in ACTS if not acts[act]["well"]]
            cells.append("all" if not bad else f"{len(ACTS) - len(bad)}: not {', '.join(bad)}")
        lines.append(f"| {player.title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> int:
    """Run, print, and write where that was asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--write-docs", action="store_true")
    parser.add_argument("--client", action="append")
    parser.add_argument("--server", action="append")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    servers = tuple(server for server in SERVERS if not options.server or server.name in options.server)
    players = [player for player in PLAYERS if not options.client or player.name in options.client]
    seen: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory(prefix="mantlet-matrix-") as scratch:
        folder = options.folder or Path(scratch)
        with stage(folder, servers=servers, workers=options.workers) as gateway:
            for player in players:
                if why := player.missing():
                    print(f"{player.name}: skipped, {why}", file=sys.stderr)
                    continue
                for server in servers:
                    acts = seen[player.name, server.name] = player.play(
                        gateway.mcp(server.name), gateway.mint(player.name), server
                    )
                    for act in ACTS:
                        if not acts[act]["well"]:
                            print(f"{player.name} x {server.name}: {act}: {acts[act]['said'][-300:]}", file=sys.stderr)
                    print(f"{player.name} x {server.name}", file=sys.stderr)
    print(table(seen))
    if options.write_docs:
        text = DOCS.read_text()
        before, _, rest = text.partition(BEGIN)
        DOCS.write_text(f"{before}{BEGIN}\n{table(seen)}\n{END}{rest.partition(END)[2]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
