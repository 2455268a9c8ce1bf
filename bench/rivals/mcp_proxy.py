"""mcp-proxy: HTTP before a stdio server that it starts itself. It has no authentication of its own."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.rig.meter import Meter, tree
from bench.rig.process import ROOT, free_port, running
from bench.rounds import Target

SERVER = (sys.executable, "-m", "bench.servers.stdio_echo", "--era", "legacy")


@contextlib.contextmanager
def start(name: str, program: Path, upstream: int, folder: Path) -> Iterator[Target]:
    """The proxy before the echo server over stdio; `upstream` is of no use to it."""
    del upstream
    port = free_port()
    own = ["--port", str(port), "--cwd", str(ROOT), "--log-level", "ERROR"]
    with running([str(program), *own, "--", *SERVER], port, folder / "log", cwd=folder) as started:
        children = tuple(pid for pid in tree(started.pid) if pid != started.pid)
        yield Target(name, port, "/mcp", meter=Meter.of(started.pid, without=children), is_slow=True)
