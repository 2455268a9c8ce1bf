"""What is switched on, and what it costs: policies, and how durable the audit is."""

import os
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

from bench.experiments.columns import COLUMNS, rows
from bench.lab import MANTLET, NOTHING, Lab, Table, era_arguments, us
from bench.rig.gateway import config

CONCURRENCIES = (1, 16, 64)
FSYNC_PROBES = 200
RECORD_BYTES = 512
"""About an audit record."""

BARE: Mapping[str, Mapping[str, Any]] = {
    "limits": {"enabled": False},
    "authorization": {"default": "allow", "rules": []},
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
    cells: list[Sequence[str]] = []
    bare = next((one for one in series if one.name.endswith(": bare")), None)
    for one in series:
        name = one.name.removeprefix(f"{MANTLET}: ")
        more = None if bare is None or one is bare else (one.cpu_quiet_us or 0) - (bare.cpu_quiet_us or 0)
        lab.fact("policy", name, "cpu_quiet_us", value=one.cpu_quiet_us)
        lab.fact("policy", name, "more_us", value=more)
        cells.append([name, us(one.cpu_quiet_us), NOTHING if more is None else f"{more:+.1f}"])
    return [Table("Cost of each policy, concurrency 16", ("on", "CPU µs a call, quiet", "more than bare"), cells)]


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
        tables.append(Table(f"Audit durability, concurrency {concurrency}", COLUMNS, rows(series)))
    if tables:
        tables[0].note = f"One append and fsync of {RECORD_BYTES} bytes on this disk takes {us(disk_us)} µs (median)."
    return tables
