"""Calls and lists through the gateway, to each kind of server."""

import sys
from typing import Any

from bench.experiments.columns import COLUMNS, rows
from bench.lab import MANTLET, Lab, Table, era_arguments, through
from bench.rig.gateway import http, stdio
from bench.rig.process import ROOT
from bench.rounds import Series, Target
from bench.wire import Era

CONCURRENCIES = (1, 16, 64)
TOOLS = 100
COLD_CALLERS = 2_000


def calls(lab: Lab) -> list[Table]:
    """`tools/call` in both eras: direct, through Mantlet with every policy on, through the yardsticks."""
    tables = []
    eras: tuple[Era, ...] = ("modern", "legacy")
    for era in eras:
        upstream = lab.direct("http_echo", *era_arguments(era))
        mantlet = lab.mantlet(f"full-{era}", upstream)
        # A few calls a second take long to measure: once is enough where time is short.
        others = lab.yardsticks(upstream, slow=era == "modern" or lab.scale.is_long)
        for concurrency in CONCURRENCIES:
            chosen = [other for other in others if concurrency == 16 or not other.is_slow]
            series = lab.compare([upstream, mantlet, *chosen], era=era, concurrency=concurrency)
            lab.keep(f"{era}.{concurrency}", series)
            tables.append(Table(f"`tools/call`, {era}, concurrency {concurrency}", COLUMNS, rows(series)))
    return tables


def real_server(lab: Lab) -> list[Table]:
    """A server on the official SDK behind: what a caller notices."""
    upstream = lab.direct("sdk")
    series = lab.compare([upstream, lab.mantlet("sdk", upstream)], concurrency=16, warm_up_calls=5)
    lab.keep("sdk.16", series)
    return [Table("`tools/call` to a server on the official Python SDK, modern, concurrency 16", COLUMNS, rows(series))]


def lists(lab: Lab) -> list[Table]:
    """`tools/list` of 100 tools: for one caller again and again, and for a caller never seen before each time."""
    upstream = lab.direct("http_echo", *era_arguments("modern", TOOLS))
    gateway = lab.gateway("lists", [http("echo", f"http://127.0.0.1:{upstream.port}/mcp")])
    if gateway is None:
        return []
    warm = through(gateway, "echo")
    how: dict[str, Any] = {"method": "tools/list", "tools": TOOLS, "concurrency": 16}
    series = lab.compare([upstream, warm], **how)
    call = lab.compare([through(gateway, "echo", label=f"{MANTLET}: tools/call")], concurrency=16)
    # Every token is another caller with another role: nothing that was kept for one serves the next.
    fresh: list[Series] = []
    for method in ("tools/list", "tools/call"):
        best = Series(f"{MANTLET}: {method}, new caller each time")
        for attempt in range(lab.scale.rounds):
            tokens = tuple(gateway.mint(f"caller-{method}-{attempt}-{n}") for n in range(COLD_CALLERS))
            target = Target(best.name, warm.port, warm.path, tokens, warm.meter)
            job = target.job(**{**how, "method": method, "warm_up_calls": 0, "calls": COLD_CALLERS, "concurrency": 1})
            best.rounds.append(lab.load.round(target, job))
        fresh.append(best)
    lab.keep("lists", [*series, *call, *fresh])
    return [
        Table(f"`tools/list`, {TOOLS} tools, modern, one caller, concurrency 16", COLUMNS, rows(series)),
        Table("For comparison: `tools/call` to the same server", COLUMNS, rows(call)),
        Table(f"{COLD_CALLERS:,} callers never seen before, one call each, concurrency 1", COLUMNS, rows(fresh)),
    ]


def stdio_upstream(lab: Lab) -> list[Table]:
    """A stdio child behind: the gateway's own CPU, the child's apart."""
    tables = []
    eras: tuple[Era, ...] = ("modern", "legacy")
    for era in eras:
        command = (sys.executable, "-m", "bench.servers.stdio_echo", "--era", era)
        entry = stdio("echo", *command, env={"PYTHONPATH": str(ROOT)})
        gateway = lab.gateway(f"stdio-{era}", [entry])
        if gateway is None:
            continue
        target = Target(MANTLET, int(gateway.url.rpartition(":")[2]), "/mcp/echo", (gateway.token,))
        lab.compare([target], era=era, concurrency=1)  # starts the child, so that it can be told apart
        for concurrency in (1, 16):
            series = lab.compare([through(gateway, "echo", child="stdio_echo")], era=era, concurrency=concurrency)
            lab.keep(f"stdio.{era}.{concurrency}", series)
            tables.append(Table(f"stdio upstream, {era}, concurrency {concurrency}", COLUMNS, rows(series)))
    return tables
