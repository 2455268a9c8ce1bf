"""What commands print: tables for people on a terminal, JSON for machines; warnings go to stderr."""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

WIDEST: Final = 48
"""A longer cell pushes the rest of its own row aside, not of all rows."""


def emit(data: Any, as_json: bool, show: Callable[[], None]) -> None:
    """Print `data` as JSON, or let `show` print it for people."""
    if as_json:
        print(json.dumps(data, ensure_ascii=False, indent=2, default=str))
    else:
        show()


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str = "none") -> None:
    """Print a table; into a pipe, one line a row with tabs between, so that `cut` and `awk` work.

    On a terminal nothing is folded inside a cell: an id that is broken in two cannot be copied.
    """
    lines = [[plain(cell) for cell in row] for row in rows]
    if not lines:
        print(empty)
        return
    if not sys.stdout.isatty():
        for line in lines:
            print("\t".join(printable(cell) for cell in line))
        return
    from rich.cells import cell_len

    drawn = [list(columns), *([printable(cell) for cell in line] for line in lines)]
    widths = [min(max(map(cell_len, column)), WIDEST) for column in zip(*drawn, strict=True)]
    for number, line in enumerate(drawn):
        padded = (cell + " " * (width - cell_len(cell)) for cell, width in zip(line, widths, strict=True))
        text = "  ".join(padded).rstrip()
        print(text if number else f"\033[1m{text}\033[0m")


def facts(pairs: Mapping[str, object]) -> None:
    """Print names and values, a line each."""
    width = max((len(name) for name in pairs), default=0)
    for name, value in pairs.items():
        print(f"{name:<{width}}  {printable(plain(value))}")


def plain(value: object) -> str:
    """A value for people: of a mapping what is set, of a list its items."""
    match value:
        case None:
            return ""
        case dict():
            return " ".join(f"{key}={plain(inner)}" for key, inner in value.items() if inner)
        case list() | tuple():
            return " ".join(plain(inner) for inner in value)
        case _:
            return str(value)


def printable(text: str) -> str:
    """`text` without control characters: what servers say must not move the cursor or retitle the terminal."""
    return "".join(char if char.isprintable() else " " for char in text)


def counted(number: int, noun: str) -> str:
    """A number and what is counted."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def clock(at_s: float) -> str:
    """An instant (Unix time) in UTC."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def warn(text: str) -> None:
    """A line on stderr."""
    print(f"mantlet: warning: {text}", file=sys.stderr)


def examples(*lines: str) -> str:
    """Examples for the end of a command's help."""
    return "\n\n".join(["Examples:", *(f"  $ {line}" for line in lines)])
