"""One address floods with bad tokens while others call: what good callers notice, and what a refusal costs."""

import secrets
import subprocess
import sys
from collections.abc import Sequence
from statistics import median
from typing import Literal

import msgspec

from bench.flood import Flood, Flooded
from bench.lab import Lab, Table, era_arguments, us
from bench.rig.gateway import PLENTY
from bench.rig.process import ROOT
from bench.rounds import Target
from bench.wire import body, head

OFFERED_PER_S = 10_000
GOOD = 8
"""Callers, each with a pause after its call: about 1,400 calls a second, a fifth of what a core does."""
PAUSE_S = 0.005
FLOODER = "127.0.0.2"
"""An address of its own: loopback is a whole network where this runs."""
BAD_TOKENS = 500
PROXY = ["127.0.0.2/32"]
CLIENT = "x-forwarded-for: 198.51.100.7"

How = Literal["keep", "churn", "proxied"]
_SAID: dict[How, str] = {
    "keep": "on 40 connections",
    "churn": "a connection each",
    "proxied": "through a trusted proxy, on 40 connections",
}


def floods(lab: Lab) -> list[Table]:
    """Good callers alone and in the flood, in turn; each way to flood at a gateway of its own."""
    cells: list[Sequence[str]] = []
    for how, said in _SAID.items():
        cells += _one(lab, how, said)
    title = f"{OFFERED_PER_S:,} bad tokens a second from one address, {GOOD} good callers"
    columns = ("flood", "sent/s", "answered/s", "p99 alone, µs", "p99 in it, µs", "times", "gateway's CPU for it, %")
    return [Table(title, columns, cells)]


def _one(lab: Lab, how: How, said: str) -> list[Sequence[str]]:
    upstream = lab.direct("http_echo", *era_arguments("modern"))
    limits = {
        "client": {"requests": PLENTY, "window": 60},
        "global": {"requests": PLENTY, "window": 60},
        "burst": {"requests": PLENTY, "window": 1},
    }
    sections = {"limits": limits}
    if how == "proxied":
        sections["http"] = {"max_connections": 10_000, "trusted_proxies": PROXY}
    target = lab.mantlet(f"flood-{how}", upstream, **sections)
    if target is None or target.meter is None:
        return []
    alone, pressed, shares, times = [], [], [], []
    flooded = Flooded(seconds=1.0, sent=0, held=0, statuses={})
    seconds = max(2.0, 2 * lab.scale.seconds)
    job = target.job(concurrency=GOOD, seconds=seconds, pause_s=PAUSE_S)
    lab.load.round(target, target.job(concurrency=GOOD, seconds=0.2))
    for _ in range(lab.scale.rounds):
        quiet = lab.load.round(target, job)
        program = _start(target, how, seconds + 1.5)
        loud = lab.load.round(target, job)
        flooded = msgspec.json.decode(program.communicate(timeout=60)[0], type=Flooded)
        alone.append(quiet.result.p99_s)
        pressed.append(loud.result.p99_s)
        times.append(loud.result.p99_s / quiet.result.p99_s)
        # What the good calls cost is known from the round before.
        spent_us = ((loud.cpu_us or 0.0) - (quiet.cpu_us or 0.0)) * loud.result.calls
        shares.append(100 * spent_us / 1e6 / loud.result.seconds)
        lab.answers["calls"] += loud.result.calls
        lab.answers["wrong"] += loud.result.wrong
        lab.answers["failed"] += loud.result.failed
    for name, value in (("alone", median(alone)), ("pressed", median(pressed)), ("times", median(times))):
        lab.fact("flood", how, name, value=value)
    answered = sum(count for status, count in flooded.statuses.items() if status.isdigit())
    lab.note(f"flood, {said}: {flooded.statuses}, {flooded.held} held back")
    row = [
        said,
        f"{flooded.sent / flooded.seconds:,.0f}",
        f"{answered / flooded.seconds:,.0f}",
        us(1e6 * median(alone)),
        us(1e6 * median(pressed)),
        f"{median(times):.2f}",
        f"{median(shares):.0f}",
    ]
    return [row]


def _start(target: Target, how: How, seconds: float) -> "subprocess.Popen[bytes]":
    program = subprocess.Popen(
        [sys.executable, "-m", "bench.flood"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    flood = Flood(
        port=target.port,
        source=FLOODER,
        requests=[_bad(target, how) for _ in range(BAD_TOKENS)],
        per_s=OFFERED_PER_S,
        seconds=seconds,
        how="churn" if how == "churn" else "keep",
    )
    assert program.stdin is not None
    program.stdin.write(msgspec.json.encode(flood) + b"\n")
    program.stdin.flush()
    return program


def _bad(target: Target, how: How) -> str:
    """A call with a token whose signature is another each time."""
    job = target.job()
    token = f"{target.tokens[0].rpartition('.')[0]}.{secrets.token_urlsafe(32)}"
    start = head(job, token)
    if how == "proxied":
        line, rest = start.split(b"\r\n", 1)
        start = b"%b\r\n%b\r\n%b" % (line, CLIENT.encode(), rest)
    content = body(job, 1, "x" * 64)
    return (start + b"%d\r\n\r\n%b" % (len(content), content)).decode()
