"""What stands before a server costs a call that goes well; how soon an open breaker says no, and to whom yes."""

import asyncio
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from bench.experiments.columns import COLUMNS, rows
from bench.experiments.probing import CALLERS, PROBES, probed
from bench.lab import MANTLET, Lab, Table, era_arguments, through, us
from bench.rig.gateway import http
from bench.rig.process import free_port
from bench.rounds import Series

WAYS: Mapping[str, Mapping[str, Any]] = {
    "no breaker": {"breaker": None},
    "breaker": {},
    "breaker, retry": {"retry": {"tools": ["*"]}},
    "breaker, retry, hedge": {"retry": {"tools": ["*"]}, "hedge": {"after_ms": 5_000}},
    "breaker, fallback": {"fallback": [{"tools": ["*"], "answer": "away"}]},
}
OPEN: Mapping[str, Any] = {"breaker": {"failures": 1, "min_calls": 1, "open": 3_600}}


def resilience(lab: Lab) -> list[Table]:
    """Each way before the same server; then one whose server is gone and whose breaker is open."""
    upstream = lab.direct("http_echo", *era_arguments("modern"))
    targets = []
    for name, settings in WAYS.items():
        gateway = lab.gateway(name, [{**http("echo", f"http://127.0.0.1:{upstream.port}/mcp"), **settings}])
        if gateway is None:
            return []
        targets.append(through(gateway, "echo", label=f"{MANTLET}: {name}"))
    series = lab.compare(targets, concurrency=16)
    lab.keep("resilience.16", series)
    table = Table("What stands before a server, `tools/call`, modern, concurrency 16", COLUMNS, rows(series))
    return [table, _open(lab), _half_open(lab)]


def _open(lab: Lab) -> Table:
    gone = {**http("echo", f"http://127.0.0.1:{free_port()}/mcp"), "era": "modern", **OPEN}
    gateway = lab.gateway("open-breaker", [gone])
    assert gateway is not None
    target = through(gateway, "echo")
    cells = []
    for concurrency in (1, 16):
        series = Series("open")
        for _ in range(lab.scale.rounds):
            job = target.job(concurrency=concurrency, seconds=lab.scale.seconds, may_refuse=True)
            series.rounds.append(lab.load.round(target, job))
        p99_us = 1e6 * statistics.median(one.result.refused_p99_s for one in series.rounds)
        per_s = max(one.result.refused / one.result.seconds for one in series.rounds)
        lab.fact("breaker.open", str(concurrency), "p99_us", value=p99_us)
        cells.append([str(concurrency), f"{per_s:,.0f}", us(p99_us), us(series.cpu_quiet_us)])
    return Table("An open breaker: 503", ("concurrency", "refused/s", "p99, µs", "CPU µs a call, quiet"), cells)


def _half_open(lab: Lab) -> Table:
    cells: list[Sequence[str]] = []
    for probes in PROBES:
        found = [asyncio.run(probed(probes)) for _ in range(lab.scale.rounds)]
        p99_us = statistics.median(one.p99_us for one in found)
        worst_us = max(max(one.verdicts_us) for one in found)
        reached = sorted({one.reached for one in found})
        lab.fact("breaker.half_open", str(probes), "off", value=max(abs(one.reached - probes) for one in found))
        lab.fact("breaker.half_open", str(probes), "p99_us", value=p99_us)
        cells.append([str(probes), ", ".join(map(str, reached)), us(p99_us), us(worst_us)])
    title = f"Half open, {CALLERS:,} callers at once, in one process"
    return Table(title, ("half_open_probes", "reached the server", "verdict p99, µs", "the longest, µs"), cells)
