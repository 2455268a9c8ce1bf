"""Write docs/reference.md out of the code: `python docs/reference.py`, or `make docs`. A test compares the two."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import typer

from mantlet.cli.app import app
from mantlet.core.refusal import Refusal
from mantlet.events.metrics import COUNTERS, HISTOGRAMS
from mantlet.wire.answer import WIRE

ROOT: Final = Path(__file__).parent.parent
FILE: Final = Path(__file__).with_suffix(".md")

INTRODUCTION: Final = """\
# Reference

Written out of the code by `make docs`; do not edit by hand. The keys of the configuration stand in
[configuration.md](configuration.md).
"""
REFUSALS: Final = """\
## Why a call is refused

The reason is one word, and the same in the reply, the audit record and the metric. It stands in `error.data.reason` of
a JSON-RPC error (under code -32022 MCP itself fixes the data, without a reason); where the call was not yet known, in
`reason` of problem details (RFC 9457) or, for a spent limit, of plain JSON with `error`, `limit`, `remaining`, `reset`,
`retry_after` and `global_limit_hit`. `X-Request-Id` finds the record: `mantlet events search --request-id ID`.

`not_found` hides what belongs to others, such as sessions. A tool that is known and not allowed is `denied`, said
openly: at `/mcp` its name can be told from one that does not exist, though lists show neither.

| reason | HTTP | JSON-RPC code | whose fault | trying again may help | meaning |
|---|---|---|---|---|---|
"""
METRICS: Final = """\
## Metrics

`GET /metrics` of the admin listener, Prometheus text, all workers together. A counter's name ends in `_total`; a
histogram has `_bucket`, `_sum` and `_count`.

| metric | type | labels | meaning |
|---|---|---|---|
"""
COMMANDS: Final = """\
## Commands

Exit codes of all: 0 done; 1 refused or failed; 2 not understood; 3 no node answered; 4 the node wants another identity;
130 interrupted. `mantlet COMMAND --help` shows examples.
"""


def reference() -> str:
    """The whole page."""
    return "\n".join([INTRODUCTION, REFUSALS + _lines(refusals()), METRICS + _lines(metrics()), COMMANDS, *commands()])


def refusals() -> Iterator[str]:
    """A row a refusal, by status."""
    for kind, wire in sorted(WIRE.items(), key=lambda row: (row[1].http, row[0].reason)):
        again = "yes" if kind.retryable else "no"
        status = f"{wire.http} ({wire.legacy} to legacy clients)" if wire.legacy else str(wire.http)
        yield f"| `{kind.reason}` | {status} | {wire.mcp} | {kind.fault} | {again} | {_meaning(kind)} |"


def metrics() -> Iterator[str]:
    """A row a metric."""
    for name, (text, labels) in sorted(COUNTERS.items()):
        yield _metric(f"{name}_total", "counter", labels, text)
    for name, (text, labels) in sorted(HISTOGRAMS.items()):
        yield _metric(name, "histogram", labels, text)
    for name, text in sorted(gauges().items()):
        yield _metric(name, "gauge", (), text)


def gauges() -> dict[str, str]:
    """Every gauge that the code registers, and its help."""
    found: dict[str, str] = {}
    for call in _calls("gauge"):
        match call.args:
            case [ast.Constant() | ast.JoinedStr() as name, ast.Constant() | ast.JoinedStr() as text, *_]:
                found[_words(name)] = _words(text)
    return found


def _words(text: ast.Constant | ast.JoinedStr) -> str:
    """A text, with a door left open: no other word is filled in."""
    if isinstance(text, ast.Constant):
        return str(text.value)
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "<door>" for part in text.values)


def commands() -> Iterator[str]:
    """A section a command."""
    root = typer.main.get_command(app)
    for words, command in _walk(root, ()):
        context = command.context_class(command, info_name=" ".join(words))
        yield f"### `mantlet {' '.join(words)}`\n\n{inspect.cleandoc(command.help or '')}\n"
        rows = [record for parameter in command.params if (record := parameter.get_help_record(context)) is not None]
        if rows:
            yield "| option | meaning |\n|---|---|\n" + _lines(
                f"| `{_cell(name)}` | {_cell(text)} |" for name, text in rows
            )


def _walk(command: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    below = getattr(command, "commands", None)  # a group; which class that is depends on typer's version
    if below is None:
        yield words, command
        return
    for name, one in below.items():
        yield from _walk(one, (*words, name))


def _meaning(kind: type[Refusal]) -> str:
    return " ".join(inspect.cleandoc(kind.__doc__ or "").split("\n\n", maxsplit=1)[0].split())


def _metric(name: str, kind: str, labels: tuple[str, ...], text: str) -> str:
    return f"| `{name}` | {kind} | {' '.join(f'`{label}`' for label in labels)} | {text} |"


def _calls(*names: str) -> Iterator[ast.Call]:
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in names:
                yield node


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _lines(lines: Iterator[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


if __name__ == "__main__":
    FILE.write_text(reference())
