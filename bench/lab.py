"""What experiments share: the folder, the load generator, servers and gateways that live until the run ends."""

import contextlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.rig.gateway import Gateway, config, http, start_gateway
from bench.rig.meter import Meter, named
from bench.rig.process import ROOT, NotStarted, free_port, running
from bench.rounds import LoadGenerator, RoundFailed, Series, Target, interleave
from bench.wire import Era, Job
from bench.yardsticks import asgi, fastmcp_proxy, nginx

MANTLET = "Mantlet"
DIRECT = "direct"
NOTHING = "-"
"""In a cell: not measured, or not meaningful."""


@dataclass(frozen=True)
class Scale:
    """How long a run takes."""

    rounds: int
    seconds: float
    """Of one round."""
    checked_calls: int
    starts: int
    is_long: bool = False


QUICK = Scale(rounds=3, seconds=0.5, checked_calls=20_000, starts=2)
FULL = Scale(rounds=9, seconds=2.0, checked_calls=1_000_000, starts=7, is_long=True)


@dataclass
class Table:
    """Rows of text under a heading."""

    title: str
    columns: Sequence[str]
    rows: list[Sequence[str]]
    note: str = ""


@dataclass
class Lab:
    """Open until the run ends; everything started through it is ended with it."""

    folder: Path
    scale: Scale
    load: LoadGenerator
    stack: contextlib.ExitStack
    against: Sequence[tuple[str, str]] = ()
    rivals: Sequence[tuple[str, Path]] = ()
    """Names and programs of other gateways to start."""
    asgi_python: str = sys.executable
    with_gateway: bool = True
    rows: Sequence[str] = ()
    """What the names of the rows that are wanted contain, in experiments that take a minute a row; empty: all."""
    facts: dict[str, float] = field(default_factory=dict)
    """Every figure under a dotted name, for the targets and the JSON file."""
    notes: list[str] = field(default_factory=list)
    """What was left out, and why."""
    answers: dict[str, int] = field(default_factory=lambda: {"calls": 0, "wrong": 0, "failed": 0})
    _servers: dict[tuple[str, ...], tuple[int, int]] = field(default_factory=dict)
    _gateways: dict[str, Gateway] = field(default_factory=dict)
    _serial: int = 0

    def place(self, name: str) -> Path:
        """A new folder."""
        self._serial += 1
        folder = self.folder / f"{self._serial:02}-{name}"
        folder.mkdir(parents=True)
        return folder

    def note(self, text: str) -> None:
        """Say once what was left out; without this machine's own paths, since reports are published."""
        for path in (str(self.folder), sys.prefix, str(ROOT)):
            text = text.replace(path, "…")
        if text not in self.notes:
            self.notes.append(text)

    def wants(self, row: str) -> bool:
        """Whether `row` is asked for."""
        return not self.rows or any(part in row for part in self.rows)

    def progress(self, text: str) -> None:
        """Tell whoever waits how far it is; reports go to standard output, this does not."""
        print(f".. {text}", file=sys.stderr, flush=True)

    def server(self, module: str, *arguments: str) -> tuple[int, int]:
        """(port, pid) of a server of `bench.servers`, started on first use."""
        key = (module, *arguments)
        if key not in self._servers:
            port = free_port()
            command = [sys.executable, "-m", f"bench.servers.{module}", "--port", str(port), *arguments]
            log = self.place(module) / "log"
            program = self.stack.enter_context(running(command, port, log))
            self._servers[key] = (port, program.pid)
        return self._servers[key]

    def direct(self, module: str, *arguments: str) -> Target:
        """The server itself."""
        port, pid = self.server(module, *arguments)
        return Target(DIRECT, port, "/mcp", meter=Meter.of(pid))

    def gateway(self, name: str, servers: list[Mapping[str, Any]], **sections: Mapping[str, Any]) -> Gateway | None:
        """A gateway of its own config, started on first use; None (and a note) when it does not come up."""
        if not self.with_gateway:
            return None
        if name not in self._gateways:
            try:
                started = start_gateway(config(servers, **sections), self.place(f"gateway-{name}"))
                self._gateways[name] = self.stack.enter_context(started)
            except NotStarted as error:
                self.note(f"no gateway for `{name}`: {str(error).strip().splitlines()[-1][:300]}")
                return None
        return self._gateways[name]

    def mantlet(
        self, name: str, upstream: Target, *, label: str = MANTLET, **sections: Mapping[str, Any]
    ) -> Target | None:
        """A gateway before the HTTP server `upstream`."""
        gateway = self.gateway(name, [http("echo", f"http://127.0.0.1:{upstream.port}/mcp")], **sections)
        return None if gateway is None else through(gateway, "echo", label=label)

    def yardsticks(self, upstream: Target, *, slow: bool) -> list[Target]:
        """What else is here to stand before `upstream`; `slow`: also those that answer a few calls a second."""
        found = []
        if why := nginx.missing():
            self.note(why)
        else:
            found.append(self.stack.enter_context(nginx.start(upstream.port, self.place("nginx"))))
        if why := asgi.missing(self.asgi_python):
            self.note(why)
        else:
            started = asgi.start(upstream.port, self.place("asgi"), self.asgi_python)
            found.append(self.stack.enter_context(started))
        if slow and (why := fastmcp_proxy.missing()):
            self.note(why)
        elif slow:
            for reuse in (True, False):
                started = fastmcp_proxy.start(upstream.port, self.place("fastmcp"), reuse=reuse)
                found.append(self.stack.enter_context(started))
        for name, url in self.against:
            parts = urlsplit(url)
            found.append(
                Target(name, parts.port or 80, parts.path or "/", (parts.password or "",), host=parts.hostname or "")
            )
        return found

    def compare(self, targets: Sequence[Target | None], **how: Any) -> list[Series]:
        """Interleaved rounds of the same job; a target that fails is left out with a note."""
        alive = []
        for target in targets:
            if target is None:
                continue
            try:
                self.load.round(target, self._job(target, {**how, "seconds": 0.05}))
                alive.append(target)
            except RoundFailed as error:
                self.note(f"left out of {how.get('era', 'modern')} at {how.get('concurrency', 1)}: {str(error)[:400]}")
        how.setdefault("seconds", self.scale.seconds)
        series = interleave(self.load, [(target, self._job(target, how)) for target in alive], self.scale.rounds)
        for one in series:
            if one.name.startswith(MANTLET):
                self.answers["calls"] += one.calls
                self.answers["wrong"] += one.wrong
                self.answers["failed"] += one.failed
            if one.first_failure:
                self.note(f"{one.name}: {one.wrong} wrong, {one.failed} failed, first: {one.first_failure[:300]}")
        return series

    def _job(self, target: Target, how: Mapping[str, Any]) -> Job:
        return target.job(**{**({"warm_up_calls": 1} if target.is_slow else {}), **how})

    def fact(self, *path: object, value: float | None) -> None:
        """Keep a figure."""
        if value is not None:
            self.facts[".".join(str(part).lower().replace(" ", "_") for part in path)] = value

    def keep(self, prefix: str, series: Sequence[Series]) -> None:
        """Keep the figures of some series."""
        for one in series:
            for name in ("per_s", "cpu_us", "cpu_quiet_us", "p50_us", "p50_quiet_us", "p99_us"):
                self.fact(prefix, one.name, name, value=getattr(one, name))


def through(gateway: Gateway, server: str, *, label: str = MANTLET, child: str = "") -> Target:
    """A server behind a gateway; processes with `child` in their command line are not the gateway's own."""
    parts = urlsplit(gateway.mcp(server))
    spared = named(child, gateway.program.pid) if child else ()
    meter = Meter.of(gateway.program.pid, without=spared)
    return Target(label, parts.port or 0, parts.path, (gateway.token,), meter)


def us(value: float | None) -> str:
    """Microseconds for people."""
    return NOTHING if value is None else f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def era_arguments(era: Era, tools: int = 1) -> tuple[str, ...]:
    """How the cheap server is told what to speak."""
    return ("--era", era, "--tools", str(tools))
