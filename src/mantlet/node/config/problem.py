"""What is wrong with a configuration, and where: file, line, key, what was found, what is allowed, the nearest word."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from mantlet.core.config_error import ConfigError

Path = tuple[str | int, ...]
"""Where a value stands: `("mcp", "servers", 0, "url")`."""

OriginKind = Literal["default", "file", "overlay", "environment variable", "command line"]

SHOWN_CHARACTERS = 60
"""A found value is quoted up to here: enough to recognise it."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value was written: a file and its line, a variable's or an option's name, or nowhere (a default)."""

    kind: OriginKind
    where: str = ""
    line: int = 0

    def __str__(self) -> str:
        if self.kind == "default":
            return "default"
        place = f"{self.where}:{self.line}" if self.line else self.where
        return f"{place} (overlay)" if self.kind == "overlay" else place


DEFAULT = Origin("default")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that was not understood. `found` never holds a secret: whoever makes the problem masks it."""

    message: str
    key: str = ""
    origin: Origin = DEFAULT
    found: str = ""
    allowed: str = ""
    nearest: str = ""

    def __str__(self) -> str:
        place = "" if self.origin.kind == "default" else f"{self.origin}: "
        text = f"{place}{self.key}: {self.message}" if self.key else f"{place}{self.message}"
        if self.found:
            text += f"; found {self.found}"
        if self.allowed:
            text += f"; allowed: {self.allowed}"
        if self.nearest:
            text += f'; did you mean "{self.nearest}"?'
        return text


class ConfigErrors(ConfigError):
    """The configuration is not understood. Holds every problem that could be found at once, never none."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        first = self.problems[0]
        super().__init__(first.key or str(first.origin), first.message)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


def dotted(path: Path) -> str:
    """A path as people write it: `mcp.servers[0].url`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that was most likely meant, or nothing."""
    folded = {name.lower().replace("-", "_"): name for name in known}
    wanted = word.lower().replace("-", "_")
    if len(wanted) >= 3 and len(begun := [name for name in folded if name.startswith(wanted)]) == 1:
        return folded[begun[0]]  # "dev" and "prod" are too short for difflib
    # 0.6 is difflib's own default: "prot" finds "port", "database" does not find "cache".
    close = difflib.get_close_matches(wanted, folded, n=1)
    return folded[close[0]] if close else ""


def shown(value: object) -> str:
    """A found value, quoted and cut. Not for values that may be secret."""
    text = repr(value) if isinstance(value, str) else _plain(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"


def _plain(value: object) -> str:
    match value:
        case None:
            return "nothing (null)"
        case bool():
            return "true" if value else "false"
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case _:
            return str(value)
