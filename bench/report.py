"""A run as text for people, as JSON for machines, and as `docs/performance.md`."""

import json
import os
import platform
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mantlet
from bench.lab import NOTHING, Lab, Scale, Table
from bench.rig.process import ROOT
from bench.targets import Verdict, judge

OUT = ROOT / "bench" / "out"
DOCS = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"


def machine() -> dict[str, Any]:
    """Where it was measured, as far as it matters for the figures; nothing that names the machine."""
    model = next(
        (line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "unknown"
    )
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "mantlet": mantlet.__version__,
        "commit": commit.stdout.strip(),
        "when": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def grid(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose source is aligned as well; the first column to the left, figures to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(columns, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        first, *others = (
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "| " + " | ".join([first, *others]) + " |"

    rule = "|" + "|".join("-" * (w + 1) + ("-" if at == 0 else ":") for at, w in enumerate(widths)) + "|"
    return "\n".join([line(columns), rule, *map(line, rows)])


def text(table: Table) -> str:
    """One table with its heading."""
    note = f"\n\n{table.note}" if table.note else ""
    return f"### {table.title}\n\n{grid(table.columns, table.rows)}{note}\n"


def verdicts(found: Sequence[Verdict]) -> str:
    """The targets."""
    words = {True: "met", False: "MISSED", None: NOTHING}
    rows = [[v.figure, v.wanted, v.measured, words[v.holds]] for v in found]
    return f"### Targets\n\n{grid(('figure', 'wanted', 'measured', ''), rows)}\n"


def whole(lab: Lab, tables: Sequence[Table], command: str) -> str:
    """Everything of a run."""
    where = machine()
    scale: Scale = lab.scale
    head = (
        f"`{command}` at commit {where['commit']}, {where['when']}: {where['cores']} cores of {where['cpu']}, "
        f"{where['system']}, Python {where['python']}; {scale.rounds} rounds of {scale.seconds:g} s, in turn."
    )
    notes = "".join(f"- {note}\n" for note in lab.notes)
    parts = [head + "\n", verdicts(judge(lab.facts)), *map(text, tables)]
    if notes:
        parts.append(f"### Left out, or worth knowing\n\n{notes}")
    return "\n".join(parts)


def write_json(lab: Lab, tables: Sequence[Table], command: str) -> Path:
    """The run under `bench/out/`; gives the file."""
    OUT.mkdir(parents=True, exist_ok=True)
    file = OUT / f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}.json"
    run = {
        "command": command,
        "machine": machine(),
        "facts": lab.facts,
        "targets": [vars(v) for v in judge(lab.facts)],
        "tables": [vars(table) for table in tables],
        "notes": lab.notes,
        "answers": lab.answers,
    }
    file.write_text(json.dumps(run, indent=2, ensure_ascii=False) + "\n")
    return file


def write_docs(report: str) -> None:
    """Put the run between the marks of `docs/performance.md`."""
    before, _, rest = DOCS.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    DOCS.write_text(f"{before}{BEGIN}\n\n{report}\n{END}{after}")
