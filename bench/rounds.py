"""Rounds that alternate between targets, so that a busy neighbour hits all of them alike."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import msgspec

from bench.rig.meter import Meter
from bench.rig.process import ROOT
from bench.wire import TOOL, Job, Result


class RoundFailed(Exception):
    """A round gave no result; says why."""


@dataclass(frozen=True)
class Target:
    """What is called, and whose CPU counts. Without a meter (a URL from outside) only latency is told."""

    name: str
    port: int
    path: str
    tokens: tuple[str, ...] = ()
    meter: Meter | None = None
    host: str = "127.0.0.1"
    is_slow: bool = False
    """Whether it answers so few calls a second that warming up must be short."""
    tool: str = TOOL
    """What it calls the tool `echo`; many put the server's name before it."""
    credential: str = "authorization: Bearer"

    def job(self, **how: Any) -> Job:
        """A job for this target."""
        where: dict[str, Any] = {"host": self.host, "port": self.port, "path": self.path, "tokens": list(self.tokens)}
        return Job(**{**where, "tool": self.tool, "credential": self.credential, **how})


@dataclass(frozen=True)
class Round:
    """One round of one target."""

    result: Result
    cpu_us: float | None
    """CPU per call of the target's processes."""

    @property
    def per_s(self) -> float:
        """Calls per second of wall time."""
        return self.result.calls / self.result.seconds


@dataclass
class Series:
    """All rounds of one target. "Quiet" is the best round: on a shared machine it is the least disturbed one."""

    name: str
    rounds: list[Round] = field(default_factory=list)

    def _cpu(self) -> list[float]:
        return [r.cpu_us for r in self.rounds if r.cpu_us is not None]

    @property
    def cpu_us(self) -> float | None:
        """Median CPU per call."""
        return median(self._cpu()) if self._cpu() else None

    @property
    def cpu_quiet_us(self) -> float | None:
        """CPU per call of the best round."""
        return min(self._cpu(), default=None)

    @property
    def per_s(self) -> float:
        """Calls per second of the best round."""
        return max(r.per_s for r in self.rounds)

    @property
    def p50_us(self) -> float:
        """Median of the rounds' medians."""
        return 1e6 * median(r.result.p50_s for r in self.rounds)

    @property
    def p50_quiet_us(self) -> float:
        """Median latency of the best round."""
        return 1e6 * min(r.result.p50_s for r in self.rounds)

    @property
    def p99_us(self) -> float:
        """Median of the rounds' 99th percentiles."""
        return 1e6 * median(r.result.p99_s for r in self.rounds)

    @property
    def calls(self) -> int:
        """Answers received."""
        return sum(r.result.calls for r in self.rounds)

    @property
    def wrong(self) -> int:
        """Answers with a foreign id or content."""
        return sum(r.result.wrong for r in self.rounds)

    @property
    def failed(self) -> int:
        """Calls without an answer, or with a status other than 200."""
        return sum(r.result.failed for r in self.rounds)

    @property
    def first_failure(self) -> str:
        """One of them, as it came."""
        return next((r.result.first_failure for r in self.rounds if r.result.first_failure), "")


class LoadGenerator:
    """The process that calls. Use as a context manager."""

    def __enter__(self) -> "LoadGenerator":
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.load"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        return self

    def __exit__(self, *exc: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def round(self, target: Target, job: Job) -> Round:
        """Perform one round. Raises `RoundFailed`."""
        ready = self._say(msgspec.json.encode(job))
        if "ready" not in ready:
            raise RoundFailed(f"{target.name}: {ready.get('error', ready)}")
        before_ns = target.meter.read_ns() if target.meter else 0
        answer = self._say(b"go")
        after_ns = target.meter.read_ns() if target.meter else 0
        if "calls" not in answer:
            raise RoundFailed(f"{target.name}: {answer.get('error', answer)}")
        result = msgspec.convert(answer, Result, strict=False)
        if not result.calls:
            raise RoundFailed(f"{target.name}: no call was answered: {result.first_failure}")
        return Round(result, (after_ns - before_ns) / 1e3 / result.calls if target.meter else None)

    def _say(self, line: bytes) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + b"\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RoundFailed("the load generator ended")
        decoded: dict[str, Any] = msgspec.json.decode(answer)
        return decoded


def interleave(load: LoadGenerator, targets: Sequence[tuple[Target, Job]], rounds: int) -> list[Series]:
    """A B C, A B C, …: gives the series of each target, in order."""
    series = [Series(target.name) for target, _ in targets]
    for _ in range(rounds):
        for (target, job), into in zip(targets, series, strict=True):
            into.rounds.append(load.round(target, job))
    return series
