"""The edges: too many calls at once, the room a node takes, and whether every answer was right."""

import statistics
import subprocess
import sys
from collections.abc import Sequence

from bench.lab import MANTLET, Lab, Table, era_arguments, through, us
from bench.rig.gateway import config, http, start_gateway
from bench.rig.meter import Meter
from bench.rounds import Series

ADMITTED = 32
PRESSING = 512


def overload(lab: Lab) -> list[Table]:
    """Many times more calls than the node admits at once; whoever is turned away tries again at once."""
    upstream = lab.direct("http_echo", *era_arguments("modern"))
    limits = {**config([])["mcp"]["limits"], "max_concurrent_requests": ADMITTED}
    entry = http("echo", f"http://127.0.0.1:{upstream.port}/mcp")
    gateway = lab.gateway("overload", [], mcp={"limits": limits, "servers": [entry]})
    if gateway is None:
        return []
    target = through(gateway, "echo")
    capacity, pressed = Series("within capacity"), Series("overload")
    for _ in range(lab.scale.rounds):
        capacity.rounds.append(lab.load.round(target, target.job(concurrency=ADMITTED, seconds=lab.scale.seconds)))
        job = target.job(concurrency=PRESSING, seconds=lab.scale.seconds, may_refuse=True)
        pressed.rounds.append(lab.load.round(target, job))
    cells: list[Sequence[str]] = []
    for one in (capacity, pressed):
        good_per_s = max((r.result.calls - r.result.refused) / r.result.seconds for r in one.rounds)
        refused_per_s = max(r.result.refused / r.result.seconds for r in one.rounds)
        refused_p99_us = 1e6 * statistics.median(r.result.refused_p99_s for r in one.rounds)
        lab.fact("overload", one.name, "good_per_s", value=good_per_s)
        lab.fact("overload", one.name, "offered_per_s", value=good_per_s + refused_per_s)
        lab.fact("overload", one.name, "refused_p99_us", value=refused_p99_us)
        cells.append([one.name, f"{good_per_s:,.0f}", f"{refused_per_s:,.0f}", us(refused_p99_us), us(one.p99_us)])
    title = f"Overload: {PRESSING} clients where {ADMITTED} calls are admitted at once"
    return [Table(title, ("", "answered/s", "refused/s", "p99 of refusals, µs", "p99 of answers, µs"), cells)]


def footprint(lab: Lab) -> list[Table]:
    """Start, import, and memory after a burst of calls."""
    cells: list[Sequence[str]] = []
    command = "import time;t=time.perf_counter();import {};print(time.perf_counter()-t)"
    for module in ("mantlet.node.build.root", "mantlet.cli"):
        times = []
        for _ in range(lab.scale.starts + 2):
            asked = [sys.executable, "-c", command.format(module)]
            done = subprocess.run(asked, capture_output=True, text=True, check=False)
            times += [float(done.stdout)] if done.returncode == 0 else []
        if times:
            lab.fact("import_s", module, value=min(times))
            cells.append([f"import of `{module}`, s", f"{min(times):.2f}", f"{statistics.median(times):.2f}"])
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
        cells.append(["start until it listens, s", f"{min(starts):.2f}", f"{statistics.median(starts):.2f}"])
        cells.append(["memory of a worker (PSS), MiB", f"{min(sizes):.1f}", f"{statistics.median(sizes):.1f}"])
    return [Table("Footprint", ("what", "best", "median"), cells)]


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
