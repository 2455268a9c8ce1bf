"""From `package.module:attribute` to a server, by what it can do rather than by what it is."""

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any, Final

_INNER: Final = ("_lowlevel_server", "_mcp_server")
"""Where the SDK's high-level servers (2.x, then 1.x and FastMCP) keep the one that runs on streams. Both SDKs' own
in-memory clients reach for it there."""


def lowlevel(server: Any) -> Any | None:
    """What of `server` runs on streams, or None when it is no server."""
    if isinstance(server, type):
        return None
    for name in _INNER:
        if (inner := getattr(server, name, None)) is not None:
            return inner
    return server if callable(getattr(server, "create_initialization_options", None)) else None


def look_for(name: str) -> None:
    """Raise `ValueError` when the object's package, or the SDK, is not installed. Runs none of their code."""
    for package in ("mcp", name.partition(":")[0].partition(".")[0]):
        if importlib.util.find_spec(package) is None:
            raise ValueError(f"object: there is no package {package} in the node's environment")


def load(name: str) -> Callable[[], Any]:
    """Import the object `name`; gives what makes a server of it. Raises `ValueError` for what cannot be imported, or is
    neither a server nor a function."""
    module_name, _, path = name.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as error:  # a module may fail in any way, and none of them may end the node
        raise ValueError(f"object: {module_name} cannot be imported: {type(error).__name__}: {error}") from error
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            raise ValueError(f"object: {module_name} has no {path}") from error
    if lowlevel(found) is not None:
        return lambda: found
    if not callable(found):
        raise ValueError(f"object: {name} is neither an MCP server nor a function that makes one")
    factory: Callable[[], Any] = found
    return factory
