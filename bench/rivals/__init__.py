"""Other gateways, each before the same echo server in the simplest way its documentation shows, with a key where it
has keys and its limits out of reach, as ours are. They are no dependencies: install one where
you like and give its program (`--rival NAME=PROGRAM`)."""

import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from bench.rivals import contextforge, hangar, litellm, mcp_proxy
from bench.rounds import Target

Start = Callable[[str, Path, int, Path], AbstractContextManager[Target]]
"""(name, program, port of the echo server, a folder of its own)."""

RIVALS: dict[str, Start] = {
    "mcp-contextforge-gateway": contextforge.start,
    "litellm": litellm.start,
    "mcp-hangar": hangar.start,
    "mcp-proxy": mcp_proxy.start,
}
"""By the name of the distribution."""
OVER_STDIO = frozenset({"mcp-proxy"})
"""Those that stand only before a child of their own."""


def versioned(name: str, program: Path) -> str:
    """The name with the version installed beside `program`."""
    asked = f"from importlib.metadata import version; print(version({name!r}))"
    python = str(program.with_name("python"))
    found = subprocess.run([python, "-c", asked], check=False, capture_output=True, text=True)
    return f"{name} {found.stdout.strip()}".strip()
