"""MCP Hangar as a front door: API keys in SQLite, one remote server."""

import contextlib
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bench.rig.meter import Meter
from bench.rig.process import NotStarted, free_port, running
from bench.rounds import Target

_CONFIG = """
mcp_servers:
  echo:
    mode: remote
    endpoint: http://127.0.0.1:{upstream}/mcp
tool_access:
  mode: front_door
  required_catalogue:
    servers: [echo]
    retry_for_s: 20
rate_limit:
  rps: 1000000
  burst: 1000000
auth:
  enabled: true
  allow_anonymous: false
  storage:
    driver: sqlite
    path: {folder}/auth.db
"""


@contextlib.contextmanager
def start(name: str, program: Path, upstream: int, folder: Path) -> Iterator[Target]:
    """The gateway before the server on port `upstream`."""
    port = free_port()
    file = folder / "config.yaml"
    file.write_text(_CONFIG.format(upstream=upstream, folder=folder))
    key = _key(program, file, folder)
    command = [str(program), "serve", "--config", str(file), "--http", "--port", str(port), "--log-level", "ERROR"]
    with running(command, port, folder / "log", cwd=folder) as started:
        yield Target(name, port, "/mcp", (key,), Meter.of(started.pid), is_slow=True, credential="x-api-key:")


def _key(program: Path, file: Path, folder: Path) -> str:
    command = [
        str(program),
        "auth",
        "bootstrap-admin",
        "--config",
        str(file),
        "--principal",
        "user:bench",
        "--show-key",
    ]
    said = subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder).stdout
    found = re.search(r"\bmcp_[\w-]{20,}", said)
    if found is None:
        raise NotStarted("mcp-hangar gave no key")
    # A front door shows a caller without a tenant nothing, and neither its command nor its API gives a key a tenant.
    with contextlib.closing(sqlite3.connect(folder / "auth.db")) as database, database:
        database.execute("UPDATE api_keys SET tenant_id = 'bench'")
    return found[0]
