"""One stdio server of `mcp.servers`, as the operator writes it."""

import re
from collections.abc import Mapping
from typing import Final, Literal

import msgspec

_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")


class RestartConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long to wait before a child that ended or could not be opened is started again, in seconds.

    The wait begins at `backoff`, doubles with each failure up to `max`, and is spread by chance. A child that served
    for longer than `max` has earned a fresh start.
    """

    backoff: float = 1.0
    max: float = 30.0

    def __post_init__(self) -> None:
        if not 0 < self.backoff <= self.max:
            raise ValueError("restart.backoff must be above 0 and not above restart.max")


class StdioServerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A server that the node runs as its own child. Durations are seconds, sizes bytes.

    `command` is an argv; no shell reads it and nothing from a request is ever added to it (MCP-08).
    `env` is all the child gets beside PATH, HOME, LANG, LC_*, TZ and TMPDIR.
    """

    name: str
    command: list[str]
    transport: Literal["stdio"] = "stdio"
    env: Mapping[str, str] = {}
    cwd: str | None = None
    isolation: Literal["shared", "session"] = "shared"
    max_children: int = 20
    """Processes of this server at once. A server that keeps each process to one era of MCP needs two."""
    sandbox: Literal["auto", "off"] = "auto"
    """`auto`: the child and all it starts can gain no privileges (no_new_privs) and leave no core files."""
    restart: RestartConfig = RestartConfig()
    start_timeout: float = 30.0
    """From spawn to the end of the opening handshake. Python servers take seconds to start."""
    stop_timeout: float = 3.0
    """How long a child may take to leave after its stdin closed, and again after SIGTERM."""
    max_line_bytes: int = 8_388_608
    max_pending: int = 1_000
    """Calls in flight on one child; more are refused as `overloaded`."""
    max_unsent_bytes: int = 8_388_608
    """What waits for a child that does not read its stdin; more is refused as `overloaded`."""
    max_sessions: int = 10_000
    """Legacy sessions with state here; the longest unused is forgotten first."""
    stderr_lines: int = 200
    """The last lines of stderr that are kept for people to see."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"name {self.name!r}: letters, digits, '.', '_' and '-' only, at most 64")
        if not self.command or not self.command[0] or any("\0" in word for word in self.command):
            raise ValueError("command must be a list of words, the program first")
        if any(not key or "=" in key or "\0" in key + value for key, value in self.env.items()):
            raise ValueError("env has a name that is empty or has '=', or a value with NUL")
        if self.isolation == "session":
            raise ValueError("isolation: session is not offered yet; use isolation: shared")
        for bound in ("max_children", "max_line_bytes", "max_pending", "max_unsent_bytes", "max_sessions"):
            if getattr(self, bound) < 1:
                raise ValueError(f"{bound} must be at least 1")
        for duration in ("start_timeout", "stop_timeout"):
            if getattr(self, duration) <= 0:
                raise ValueError(f"{duration} must be above 0")
        if self.stderr_lines < 0:
            raise ValueError("stderr_lines must not be negative")
