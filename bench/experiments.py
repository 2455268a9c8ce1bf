"""What is measured. Each experiment gives tables and leaves its figures in the lab's facts."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.lab import DIRECT, MANTLET, NOTHING, Lab, Table, era_arguments, through, us
from bench.rig.gateway import config, http, start_gateway, stdio
from bench.rig.meter import Meter
from bench.rig.process import ROOT
from bench.rounds import Series, Target
from bench.wire import Era

CONCURRENCIES = (1, 16, 64)
COLUMNS = ("target", "calls/s", "CPU µs a call, quiet", "median", "p50 µs", "p99 µs", "added p50 µs", "CPU ÷ nginx")
TOOLS = 100
FSYNC_PROBES = 200
RECORD_BYTES = 512
"""About an audit record."""
COLD_CALLERS = 2_000


def _rows(series: list[Series]) -> list[Sequence[str]]:
    direct = next((one for one in series if one.name == DIRECT), None)
    nginx = next((one for one in series if one.name == "nginx"), None)
    rows: list[Sequence[str]] = []
    for one in series:
        added = one.p50_us - direct.p50_us if direct and one is not direct else None
        ratio = (
            one.cpu_quiet_us / nginx.cpu_quiet_us
            if nginx and one.cpu_quiet_us and nginx.cpu_quiet_us and one is not direct
            else None
        )
        rows.append(
            [
                one.name,
                f"{one.per_s:,.0f}",
                us(one.cpu_quiet_us),
                us(one.cpu_us),
                us(one.p50_us),
                us(one.p99_us),
                us(added),
                f"{ratio:.1f}" if ratio else NOTHING,
            ]
        )
    return rows


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
            tables.append(Table(f"`tools/call`, {era}, concurrency {concurrency}", COLUMNS, _rows(series)))
    return tables


def real_server(lab: Lab) -> list[Table]:
    """A server on the official SDK behind: what a caller notices."""
    upstream = lab.direct("sdk")
    series = lab.compare([upstream, lab.mantlet("sdk", upstream)], concurrency=16, warm_up_calls=5)
    lab.keep("sdk.16", series)
    return [
        Table("`tools/call` to a server on the official Python SDK, modern, concurrency 16", COLUMNS, _rows(series))
    ]


BARE: Mapping[str, Mapping[str, Any]] = {
    "limits": {"enabled": False},
    "authorization": {"default": "allow", "rules": []},
    "validation": {"schemas": "off"},
    "telemetry": {"metrics": False},
}
"""Identity, strict JSON and the audit record stay: they cannot be switched off."""


def _policies() -> dict[str, Mapping[str, Mapping[str, Any]]]:
    full = config([])
    many = [{"name": f"rule-{n}", "allow": {"roles": [f"role-{n}"], "tools": [f"tool_{n}_*"]}} for n in range(1000)]
    rules = full["authorization"]["rules"]
    return {
        "limits (client, global, burst)": {"limits": full["limits"]},
        "rules": {"authorization": full["authorization"]},
        "1,000 rules": {"authorization": {"default": "deny", "rules": [*many, *rules]}},
        "schema check": {"validation": {"schemas": "enforce"}},
        "metrics": {"telemetry": {"metrics": True}},
    }


def policies(lab: Lab) -> list[Table]:
    """Each policy switched on alone, over a gateway that does as little as it can be told to."""
    upstream = lab.direct("http_echo", *era_arguments("modern"))
    targets = [lab.mantlet("bare", upstream, label=f"{MANTLET}: bare", **BARE)]
    for name, sections in _policies().items():
        targets.append(lab.mantlet(name, upstream, label=f"{MANTLET}: {name}", **{**BARE, **sections}))
    targets.append(lab.mantlet("full-modern", upstream, label=f"{MANTLET}: all"))
    series = lab.compare(targets, concurrency=16)
    rows: list[Sequence[str]] = []
    bare = next((one for one in series if one.name.endswith(": bare")), None)
    for one in series:
        name = one.name.removeprefix(f"{MANTLET}: ")
        more = None if bare is None or one is bare else (one.cpu_quiet_us or 0) - (bare.cpu_quiet_us or 0)
        lab.fact("policy", name, "cpu_quiet_us", value=one.cpu_quiet_us)
        lab.fact("policy", name, "more_us", value=more)
        rows.append([name, us(one.cpu_quiet_us), NOTHING if more is None else f"{more:+.1f}"])
    return [Table("Cost of each policy, concurrency 16", ("on", "CPU µs a call, quiet", "more than bare"), rows)]


def _fsync_us(lab: Lab) -> float:
    """The disk's own: append a record and sync, in the folder the audits are in."""
    times = []
    with (lab.place("fsync") / "probe").open("wb", buffering=0) as file:
        for _ in range(FSYNC_PROBES):
            started_s = time.perf_counter()
            file.write(b"x" * RECORD_BYTES)
            os.fsync(file.fileno())
            times.append(time.perf_counter() - started_s)
    return 1e6 * statistics.median(times)


def audit(lab: Lab) -> list[Table]:
    """Records written against records synced."""
    upstream = lab.direct("http_echo", *era_arguments("modern"))
    write = lab.mantlet("full-modern", upstream, label=f"{MANTLET}: write")
    fsync = lab.mantlet("fsync", upstream, label=f"{MANTLET}: fsync", audit={"durability": "fsync"})
    tables = []
    disk_us = _fsync_us(lab)
    lab.fact("audit.disk_fsync_us", value=disk_us)
    for concurrency in CONCURRENCIES:
        series = lab.compare([upstream, write, fsync], concurrency=concurrency)
        lab.keep(f"audit.{concurrency}", series)
        tables.append(Table(f"Audit durability, concurrency {concurrency}", COLUMNS, _rows(series)))
    if tables:
        tables[0].note = f"One append and fsync of {RECORD_BYTES} bytes on this disk takes {us(disk_us)} µs (median)."
    return tables


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
        Table(f"`tools/list`, {TOOLS} tools, modern, one caller, concurrency 16", COLUMNS, _rows(series)),
        Table("For comparison: `tools/call` to the same server", COLUMNS, _rows(call)),
        Table(f"{COLD_CALLERS:,} callers never seen before, one call each, concurrency 1", COLUMNS, _rows(fresh)),
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
            tables.append(Table(f"stdio upstream, {era}, concurrency {concurrency}", COLUMNS, _rows(series)))
    return tables


def footprint(lab: Lab) -> list[Table]:
    """Start, import, and memory after a burst of calls."""
    rows: list[Sequence[str]] = []
    command = "import time;t=time.perf_counter();import {};print(time.perf_counter()-t)"
    for module in ("mantlet.node.build", "mantlet.cli"):
        times = []
        for _ in range(lab.scale.starts + 2):
            asked = [sys.executable, "-c", command.format(module)]
            done = subprocess.run(asked, capture_output=True, text=True, check=False)
            times += [float(done.stdout)] if done.returncode == 0 else []
        if times:
            lab.fact("import_s", module, value=min(times))
            rows.append([f"import of `{module}`, s", f"{min(times):.2f}", f"{statistics.median(times):.2f}"])
    upstream = lab.direct("http_echo", *era_arguments("modern"))
    starts, sizes = [], []
    for _ in range(lab.scale.starts if lab.with_gateway else 0):
        settings = config([http("echo", f"http://127.0.0.1:{upstream.port}/mcp")])
        with start_gateway(settings, lab.place("start")) as gateway:
            starts.append(gateway.listening_after_s)
            lab.compare([through(gateway, "echo")], concurrency=64, seconds=0.5)
            sizes.append(max(Meter.of(gateway.program.pid).pss_kib().values()) / 1024)
    if starts:
        lab.fact("start_s", value=min(starts))
        lab.fact("pss_mib", value=min(sizes))
        rows.append(["start until it listens, s", f"{min(starts):.2f}", f"{statistics.median(starts):.2f}"])
        rows.append(["memory of a worker (PSS), MiB", f"{min(sizes):.1f}", f"{statistics.median(sizes):.1f}"])
    return [Table("Footprint", ("what", "best", "median"), rows)]


def correctness(lab: Lab) -> list[Table]:
    """Many calls at concurrency 64, equal ids in every client, each answer checked for id and content."""
    upstream = lab.direct("http_echo", *era_arguments("modern"))
    target = lab.mantlet("full-modern", upstream)
    if target is not None:
        one = Series(MANTLET)
        one.rounds.append(lab.load.round(target, target.job(concurrency=64, calls=lab.scale.checked_calls)))
        lab.answers["calls"] += one.calls
        lab.answers["wrong"] += one.wrong
        lab.answers["failed"] += one.failed
        lab.fact("correctness.calls", value=one.calls)
        lab.fact("correctness.wrong", value=one.wrong)
        lab.fact("correctness.failed", value=one.failed)
    row = [f"{lab.answers[name]:,}" for name in ("calls", "wrong", "failed")]
    return [Table("Answers checked through Mantlet in this run", ("calls", "wrong or crossed", "failed"), [row])]


EXPERIMENTS: Mapping[str, Callable[[Lab], list[Table]]] = {
    "calls": calls,
    "real-server": real_server,
    "policies": policies,
    "audit": audit,
    "lists": lists,
    "stdio": stdio_upstream,
    "footprint": footprint,
    "correctness": correctness,  # last: it also adds up what the others checked
}
