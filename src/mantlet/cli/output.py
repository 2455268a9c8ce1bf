"""What commands print: tables for people on a terminal, JSON for machines; warnings go to stderr."""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any


def emit(data: Any, as_json: bool, show: Callable[[], None]) -> None:
    """Print `data` as JSON, or let `show` print it for people."""
    if as_json:
        print(json.dumps(data, ensure_ascii=False, indent=2, default=str))
    else:
        show()


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str = "none") -> None:
    """Print a table; into a pipe, one line a row with tabs between, so that `cut` and `awk` work."""
    lines = [[plain(cell) for cell in row] for row in rows]
    if not lines:
        print(empty)
        return
    if not sys.stdout.isatty():
        for line in lines:
            print("\t".join(printable(cell) for cell in line))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        drawn.add_column(column, overflow="fold")
    for line in lines:
        # Text, not markup: a tool's description must not be able to draw on the operator's terminal.
        drawn.add_row(*(Text(printable(cell)) for cell in line))
    Console().print(drawn)


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


def clock(at_s: float) -> str:
    """An instant (Unix time) in UTC."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def warn(text: str) -> None:
    """A line on stderr."""
    print(f"mantlet: warning: {text}", file=sys.stderr)


def examples(*lines: str) -> str:
    """Examples for the end of a command's help."""
    return "\n\n".join(["Examples:", *(f"  $ {line}" for line in lines)])
