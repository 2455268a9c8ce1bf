"""What a shim was told to do, and which of its two commands it comes to. Pure but for `PATH`."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ENGINES: Final = ("docker", "podman")
ALLOWED: Final = ("health", "tools", "list", "call")

LOCKED: Final = 75
"""EX_TEMPFAIL of sysexits.h: another holds the lock; trying later may help."""
UNHEALTHY: Final = 69
"""EX_UNAVAILABLE: not healthy, and nothing to fall back to."""

_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
_CONTAINER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


class ShimFailed(Exception):
    """Nothing was run, or it could not be. `exit_code` as the constants here say."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`command` is an argv, run in `container` where one is named; no shell reads any of it.

    `health` must exit 0 before `command` is run; `fallback` is run where it does not. Durations are seconds.
    """

    name: str
    command: tuple[str, ...]
    container: str = ""
    engine: str = "docker"
    health: tuple[str, ...] = ()
    fallback: tuple[str, ...] = ()
    allow: frozenset[str] = frozenset(ALLOWED)
    lock_folder: Path | None = None
    lock_timeout_s: float = 10.0
    health_timeout_s: float = 5.0
    stop_timeout_s: float = 3.0
    max_message_bytes: int = 8_388_608

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"the name {self.name!r} may have letters, digits, '.', '_' and '-', at most 64")
        if not self.command:
            raise ValueError("no command: write it after --, as in `mantlet shim time -- python -m mcp_server_time`")
        if self.container and not _CONTAINER.fullmatch(self.container):
            raise ValueError(f"{self.container!r} is no name of a container")
        if self.engine not in ENGINES:
            raise ValueError(f"the engine {self.engine!r} is not known; choose {' or '.join(ENGINES)}")
        if unknown := sorted(self.allow - set(ALLOWED)):
            raise ValueError(f"{unknown[0]!r} cannot be allowed; known are {', '.join(ALLOWED)}")

    @property
    def primary(self) -> tuple[str, ...]:
        """The command as it is run."""
        if self.container:
            return (self.engine, "exec", "--interactive", self.container, *self.command)
        return self.command

    @property
    def look(self) -> tuple[str, ...]:
        """The command that tells whether the primary can work; empty when there is nothing to ask."""
        if self.health or not self.container:
            return self.health
        # A container with a health check must pass it; one without is healthy when it runs.
        state = "{{.State.Running}} {{if .State.Health}}{{.State.Health.Status}}{{end}}"
        return (self.engine, "container", "inspect", "--format", state, self.container)


def is_well(plan: Plan, exit_code: int, said: str) -> bool:
    """Whether the answer of `plan.look` means yes. What is not clearly well is not well."""
    if exit_code != 0:
        return False
    if plan.health:
        return True
    words = said.split()
    return words in (["true"], ["true", "healthy"])


def words_of(text: str, option: str) -> tuple[str, ...]:
    """A command written as one text, split as a shell would; raises `ValueError` that names the option."""
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise ValueError(f"{option}: {error}") from error


def shown(command: Sequence[str]) -> str:
    """For people and the log: the program without its arguments, which may hold what is nobody's business."""
    return command[0] if command else ""
