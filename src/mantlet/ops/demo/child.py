"""The demo's own HTTP server as a child process that cannot outlive the demo."""

import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from mantlet.core.config_error import ConfigError

PROGRAM: Final = "mantlet.ops.demo.notes"
START_S: Final = 30.0
"""Importing the SDK takes a second or two, on a busy machine several times that."""
STOP_S: Final = 5.0


@contextmanager
def notes_server(log: Path) -> Iterator[str]:
    """Start the server; gives its URL. It ends with this block, and when this process dies, for its stdin closes then.

    A session of its own keeps the terminal's Ctrl-C from it: the gateway must be the first to end.
    """
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            [sys.executable, "-m", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield f"http://127.0.0.1:{_port(process, log)}/mcp"
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], START_S)
    line = process.stdout.readline().strip() if ready else b""
    if not line.isdigit():
        process.kill()
        said = log.read_text(errors="replace").strip().splitlines()
        raise ConfigError("the notes server", f"did not start: {said[-1] if said else 'it said nothing'}")
    return int(line)
