"""A real MCP server to talk to."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

EVERYTHING = Path(__file__).parent.parent / "servers" / "everything.py"


@contextmanager
def everything_over_http(*options: str) -> Iterator[int]:
    """Run the test server in its own process; gives its port."""
    process = subprocess.Popen(
        [sys.executable, str(EVERYTHING), "--http", "0", *options], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("listening "), f"the server did not start: {line!r}"
        yield int(line.split()[1])
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


@pytest.fixture(scope="session")
def everything_script() -> Path:
    """The program, for whoever spawns it: `python everything.py --stdio`."""
    return EVERYTHING


@pytest.fixture(scope="session")
def everything_port() -> Iterator[int]:
    """The port of one dual-era server on 127.0.0.1, path /mcp, shared by the session's tests."""
    with everything_over_http() as port:
        yield port


@pytest.fixture(scope="session")
def legacy_port() -> Iterator[int]:
    """The port of a server that speaks only legacy MCP."""
    with everything_over_http("--only", "legacy") as port:
        yield port


@pytest.fixture(scope="session")
def modern_port() -> Iterator[int]:
    """The port of a server that speaks only modern MCP."""
    with everything_over_http("--only", "modern", "--json") as port:
        yield port
