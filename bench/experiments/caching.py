"""What a hit costs beside a call that is forwarded, and how many there are in a load as callers make it."""

import re
import urllib.request
from collections.abc import Mapping
from typing import Any

from bench.experiments.columns import COLUMNS, rows
from bench.lab import MANTLET, Lab, Table, era_arguments, through
from bench.rig.gateway import Gateway, http
from bench.rounds import Series, Target

QUESTIONS = 5_000
"""Different calls in the standard load, asked by Zipf's law with exponent 1."""
CALLERS = 8
"""Each with a cache of its own, as far as it goes: answers are private."""
CALLS = 40_000
WARM_UP_CALLS = 20_000
SEED = 20_261_121
CACHE: Mapping[str, Any] = {"enabled": True, "tools": ["echo__*"]}


def caching(lab: Lab) -> list[Table]:
    """Forwarded without a cache, hit, and missed; then the standard load."""
    upstream = lab.direct("http_echo", *era_arguments("modern"))
    servers = [http("echo", f"http://127.0.0.1:{upstream.port}/mcp")]
    off, on = lab.gateway("cache-off", servers), lab.gateway("cache-on", servers, cache=CACHE)
    if off is None or on is None:
        return []
    tables = []
    forwarded = through(off, "echo", label=f"{MANTLET}: forwarded, no cache")
    hit, missed = through(on, "echo", label=f"{MANTLET}: hit"), through(on, "echo", label=f"{MANTLET}: missed")
    for concurrency in (1, 16, 64):
        series: list[Series] = []
        for _ in range(lab.scale.rounds):
            for number, (target, distinct) in enumerate(((forwarded, 0), (hit, 1), (missed, 0))):
                if len(series) <= number:
                    series.append(Series(target.name))
                job = target.job(concurrency=concurrency, seconds=lab.scale.seconds, distinct=distinct)
                series[number].rounds.append(lab.load.round(target, job))
        lab.keep(f"cache.{concurrency}", series)
        share = _share(series)
        tables.append(
            Table(
                f"`tools/call`, modern, concurrency {concurrency}", COLUMNS, rows(series), f"A hit: {share} of the CPU."
            )
        )
    return [*tables, _standard(lab, on, hit)]


def _standard(lab: Lab, gateway: Gateway, target: Target) -> Table:
    tokens = tuple(gateway.mint(f"caller-{number}") for number in range(CALLERS))
    asked = Target("standard load", target.port, target.path, tokens, target.meter)
    how: dict[str, Any] = {"concurrency": 16, "distinct": QUESTIONS, "seed": SEED}
    lab.load.round(asked, asked.job(**how, calls=WARM_UP_CALLS, warm_up_calls=0))
    before = _lookups(gateway)
    series = Series(asked.name)
    series.rounds.append(lab.load.round(asked, asked.job(**{**how, "seed": SEED + 1}, calls=CALLS, warm_up_calls=0)))
    after = _lookups(gateway)
    hits, misses = (after[outcome] - before[outcome] for outcome in ("hit", "miss"))
    rate = hits / max(1.0, hits + misses)
    lab.facts["cache.hit_rate"] = rate
    lab.keep("cache.standard", [series])
    title = f"{QUESTIONS:,} questions by Zipf's law, {CALLERS} callers, {CALLS:,} calls after {WARM_UP_CALLS:,}"
    return Table(title, COLUMNS, rows([series]), f"Hit rate: {rate:.1%} (seed {SEED}).")


def _lookups(gateway: Gateway) -> dict[str, float]:
    with urllib.request.urlopen(f"{gateway.admin_url}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    found = re.findall(r'^mantlet_cache_lookups_total\{outcome="(\w+)"\} (\S+)', text, re.MULTILINE)
    return {"hit": 0.0, "miss": 0.0} | {outcome: float(value) for outcome, value in found}


def _share(series: list[Series]) -> str:
    forwarded, hit = series[0].cpu_quiet_us, series[1].cpu_quiet_us
    return "unknown" if not forwarded or hit is None else f"{hit / forwarded:.0%}"
