"""Mantlet against the gateways that were given with `--rival`, in turn, before the same server."""

from collections.abc import Sequence
from pathlib import Path

from bench.lab import MANTLET, NOTHING, Lab, Table, through, us
from bench.rig.gateway import stdio
from bench.rig.process import ROOT, NotStarted
from bench.rivals import OVER_STDIO, RIVALS, versioned
from bench.rivals.mcp_proxy import SERVER
from bench.rounds import Series, Target

CONCURRENCY = 16
COLUMNS = ("target", "calls", "CPU µs a call, quiet", "median", "median ÷ Mantlet", "wrong or failed")


def rivals(lab: Lab) -> list[Table]:
    """`tools/call` as 2025-11-25 has it, which all of them speak; nothing when no rival was given."""
    over_http = [(name, program) for name, program in lab.rivals if name not in OVER_STDIO]
    over_stdio = [(name, program) for name, program in lab.rivals if name in OVER_STDIO]
    tables = []
    if over_http:
        upstream = lab.direct("http_echo", "--era", "both")
        targets = [lab.mantlet("rivals", upstream), *_started(lab, over_http, upstream.port)]
        tables.append(_compared(lab, "an HTTP server", targets))
    if over_stdio:
        targets = [_mantlet_over_stdio(lab), *_started(lab, over_stdio, 0)]
        tables.append(_compared(lab, "a stdio server", targets))
    return tables


def _started(lab: Lab, chosen: Sequence[tuple[str, Path]], upstream: int) -> list[Target]:
    found = []
    for name, program in chosen:
        start = RIVALS[name](versioned(name, program), program, upstream, lab.place(name))
        try:
            found.append(lab.stack.enter_context(start))
        except (NotStarted, OSError) as error:
            lab.note(f"{name}: {str(error).strip().splitlines()[-1][:300]}")
    return found


def _mantlet_over_stdio(lab: Lab) -> Target | None:
    gateway = lab.gateway("rivals-stdio", [stdio("echo", *SERVER, env={"PYTHONPATH": str(ROOT)})])
    if gateway is None:
        return None
    # Starts the child, so that it can be told apart.
    lab.compare([through(gateway, "echo")], era="legacy", seconds=0.05)
    return through(gateway, "echo", child="stdio_echo")


def _compared(lab: Lab, behind: str, targets: Sequence[Target | None]) -> Table:
    series = lab.compare(targets, era="legacy", concurrency=CONCURRENCY)
    lab.keep(f"rivals.{behind}", series)
    title = f"Other gateways before {behind}: `tools/call`, legacy, concurrency {CONCURRENCY}"
    return Table(title, COLUMNS, _rows(series))


def _rows(series: Sequence[Series]) -> list[Sequence[str]]:
    ours = next((one.cpu_us for one in series if one.name == MANTLET), None)
    cells: list[Sequence[str]] = []
    for one in series:
        ratio = f"{one.cpu_us / ours:.1f}" if ours and one.cpu_us else NOTHING
        cells.append(
            [one.name, f"{one.calls:,}", us(one.cpu_quiet_us), us(one.cpu_us), ratio, f"{one.wrong + one.failed:,}"]
        )
    return cells
