"""LiteLLM's proxy with one MCP server and its master key; no database, no model."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from bench.rig.meter import Meter
from bench.rig.process import free_port, running
from bench.rounds import Target

TOKEN = "sk-static-token-of-the-yardstick"
_CONFIG = """
general_settings:
  master_key: {token}
mcp_servers:
  echo:
    url: http://127.0.0.1:{upstream}/mcp
    transport: http
    allow_all_keys: true
"""
_ENV = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
"""The table of prices from the package and not from the net."""


@contextlib.contextmanager
def start(name: str, program: Path, upstream: int, folder: Path) -> Iterator[Target]:
    """The proxy before the server on port `upstream`."""
    port = free_port()
    file = folder / "config.yaml"
    file.write_text(_CONFIG.format(token=TOKEN, upstream=upstream))
    command = [str(program), "--config", str(file), "--host", "127.0.0.1", "--port", str(port)]
    with running(command, port, folder / "log", _ENV, folder) as started:
        yield Target(name, port, "/mcp/", (TOKEN,), Meter.of(started.pid), is_slow=True, tool="echo-echo")
