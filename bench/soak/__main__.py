"""`python -m bench.soak`: mixed load at a share of the capacity, open loop, and whether anything grows.

Modern and legacy calls, lists, streams, subscriptions, refusals of five kinds, callers that leave in the middle of a
call, and some twenty new callers a second. Every answer is checked. Exits with 1 when one was wrong or missing, or
memory grew by more than the target.
"""

import argparse
import asyncio
import json
import random
import shutil
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import uvloop

from bench.report import OUT
from bench.rig.gateway import Gateway, config, http, start_gateway, stdio
from bench.rig.meter import Meter, named
from bench.rig.process import ROOT, free_port, running
from bench.soak import report
from bench.soak.crowd import Crowd
from bench.soak.mix import TOOLS, Mix
from bench.soak.watch import Sample, look, per_hour

SERVER = str(ROOT / "tests" / "servers" / "everything.py")
WARM_UP_S = 5.0
CAPACITY_S = 15.0
CALM_S = 15.0
"""After the last caller has left, until what is open is counted."""
TOLD_S = 60.0


def settings(port: int) -> dict[str, Any]:
    """Everything on, and one tool with a limit that its callers are always at."""
    whole = config([http("echo", f"http://127.0.0.1:{port}/mcp"), stdio("sdk", sys.executable, SERVER, "--stdio")])
    at_limit = {"name": "tight", "match": {"tool": "tool_1"}, "global": {"requests": 50, "window": 10}}
    whole["limits"] = {**whole["limits"], "routes": [at_limit]}
    return whole


async def soak(gateway: Gateway, options: argparse.Namespace) -> int:
    """The run; the exit status."""
    port = int(gateway.url.rpartition(":")[2])
    meter = Meter.of(gateway.program.pid, without=named("everything.py", gateway.program.pid))
    mix = Mix(gateway, random.Random(options.seed), port)
    before = await asyncio.to_thread(look, gateway, meter, 0.0)
    crowd = Crowd(mix)
    await crowd.fill(options.fill)
    await crowd.capacity_per_s(WARM_UP_S)
    capacity = await crowd.capacity_per_s(CAPACITY_S)
    per_s = options.per_s or capacity * options.share
    print(f"capacity {capacity:,.0f} a second, offered from now on: {per_s:,.0f}", flush=True)
    samples: list[Sample] = []
    watching = asyncio.create_task(_watch(gateway, meter, options.every, samples))
    try:
        await crowd.offer(per_s, 60 * options.minutes)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    await crowd.disperse()
    await asyncio.sleep(CALM_S)
    after = await asyncio.to_thread(look, gateway, meter, samples[-1].at_s + CALM_S)
    command = " ".join(["python -m bench.soak", *sys.argv[1:]])
    text = "\n".join(
        [
            report.of_run(command, per_s, per_s / capacity, capacity, options.minutes, samples),
            report.of_memory(samples),
            report.of_handles(before, samples, after),
            report.of_deeds(crowd.tally),
            report.of_wrong(crowd.tally, mix.gone),
        ]
    )
    print(text)
    _keep(text, [before, *samples, after])
    bad = sum(one["wrong"] + one["failed"] for one in crowd.tally.outcomes.values())
    return 1 if bad or per_hour(samples, "pss_mib") > report.MOST_MIB_PER_H else 0


async def _watch(gateway: Gateway, meter: Meter, every_s: float, into: list[Sample]) -> None:
    began_s, told_s = time.monotonic(), 0.0
    while True:
        sample = await asyncio.to_thread(look, gateway, meter, time.monotonic() - began_s)
        into.append(sample)
        if sample.at_s >= told_s:
            told_s += TOLD_S
            open_now = ", ".join(f"{name} {count:g}" for name, count in sample.handles.items())
            print(
                f"{sample.at_s:6.0f} s: {sample.pss_mib:.1f} MiB ({sample.anon_mib:.1f} anonymous), {open_now}",
                flush=True,
            )
        await asyncio.sleep(every_s)


def _keep(text: str, samples: list[Sample]) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    file = OUT / f"soak-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}.json"
    file.write_text(json.dumps({"text": text, "samples": [asdict(sample) for sample in samples]}, indent=1) + "\n")
    print(f"written: {file.relative_to(ROOT)}")


def main() -> int:
    """Start the node and two servers, and soak them."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--share", type=float, default=0.7, help="of the capacity that is measured at the start")
    parser.add_argument("--per-s", type=float, default=0.0, help="this rate instead of a share")
    parser.add_argument(
        "--fill", type=int, default=12_000, metavar="CALLERS",
        help="that come before: as many as the node keeps tokens and decisions of, so that their filling is no growth",
    )  # fmt: skip
    parser.add_argument("--every", type=float, default=10.0, metavar="SECONDS", help="between two looks")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="soak-", dir=OUT))
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "bench.servers.http_echo",
        "--port",
        str(port),
        "--era",
        "both",
        "--tools",
        str(TOOLS),
    ]
    try:
        with running(command, port, folder / "echo.log"), start_gateway(settings(port), folder / "node") as gateway:
            return uvloop.run(soak(gateway, options))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
