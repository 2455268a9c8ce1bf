"""The yardstick of `asgi_proxy`: uvicorn in front, aiohttp behind."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bench.rig.meter import Meter
from bench.rig.process import free_port, running
from bench.rounds import Target
from bench.yardsticks.asgi_proxy import TOKEN

PROGRAM = Path(__file__).with_name("asgi_proxy.py")


def missing(python: str) -> str:
    """Why there is no such yardstick with the interpreter `python`, or an empty string."""
    asked = [python, "-c", "import aiohttp, httptools, uvicorn, uvloop"]
    if subprocess.run(asked, check=False, capture_output=True).returncode == 0:
        return ""
    return (
        "uvicorn + aiohttp: not all of aiohttp, httptools, uvicorn, uvloop are here (--asgi-python: a Python with them)"
    )


@contextlib.contextmanager
def start(upstream: int, folder: Path, python: str) -> Iterator[Target]:
    """The proxy before the server on port `upstream`."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [python, str(PROGRAM), "--port", str(port), "--upstream", f"http://127.0.0.1:{upstream}/mcp"]
    with running(command, port, folder / "asgi.log") as program:
        yield Target("uvicorn + aiohttp", port, "/mcp", (TOKEN,), Meter.of(program.pid))
