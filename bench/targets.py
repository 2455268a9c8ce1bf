"""The figures the data plane is to reach, read from the facts of a run. A missing fact is a target not shown."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

Facts = Mapping[str, float]


@dataclass(frozen=True)
class Verdict:
    """One target and what this run says of it."""

    figure: str
    wanted: str
    measured: str
    holds: bool | None
    """None: not measured here."""


@dataclass(frozen=True)
class _Target:
    figure: str
    wanted: str
    value: Callable[[Facts], float]
    limit: float
    unit: str = ""
    at_least: bool = False

    def judge(self, facts: Facts) -> Verdict:
        try:
            value = self.value(facts)
        except (KeyError, ValueError, ZeroDivisionError):
            return Verdict(self.figure, self.wanted, "not measured", None)
        holds = value >= self.limit if self.at_least else value <= self.limit
        shown = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
        return Verdict(self.figure, self.wanted, f"{shown} {self.unit}".strip(), holds)


_HERE = "modern.16.mantlet.cpu_quiet_us"


def _added_p50_us(prefix: str, name: str = "mantlet") -> Callable[[Facts], float]:
    return lambda f: f[f"{prefix}.{name}.p50_us"] - f[f"{prefix}.direct.p50_us"]


def _times(other: str) -> Callable[[Facts], float]:
    return lambda f: f[f"modern.16.{other}.cpu_quiet_us"] / f[_HERE]


def _wrong(facts: Facts) -> float:
    if facts["correctness.calls"] < 1_000_000:
        raise ValueError("a quick run checks fewer calls than the target speaks of")
    return facts["correctness.wrong"] + facts["correctness.failed"]


def _door(name: str) -> Callable[[Facts], float]:
    return lambda f: f[f"doors.16.{name}.cpu_quiet_us"] / f["doors.16.http.cpu_quiet_us"]


def _worst(prefix: str, name: str) -> Callable[[Facts], float]:
    return lambda f: max(value for fact, value in f.items() if fact.startswith(prefix) and fact.endswith(name))


_TARGETS = (
    _Target("CPU a `tools/call`, everything on, concurrency 16", "≤ 100 µs quiet", lambda f: f[_HERE], 100, "µs"),
    _Target(
        "the same against nginx (static bearer, limit_req)",
        "≤ 5 times",
        lambda f: f[_HERE] / f["modern.16.nginx.cpu_quiet_us"],
        5,
        "times",
    ),
    _Target("calls a second and core", "≥ 10,000", lambda f: 1e6 / f[_HERE], 10_000, at_least=True),
    _Target("added p50 at concurrency 1", "≤ 250 µs", _added_p50_us("modern.1"), 250, "µs"),
    _Target(
        "CPU with `fsync` against `write`",
        "≤ 1.1 times",
        lambda f: f["audit.16.mantlet:_fsync.cpu_quiet_us"] / f["audit.16.mantlet:_write.cpu_quiet_us"],
        1.1,
        "times",
    ),
    _Target(
        "added p50 with `fsync` at concurrency 1 against the disk's own fsync",
        "≤ 1.5 times",
        lambda f: _added_p50_us("audit.1", "mantlet:_fsync")(f) / f["audit.disk_fsync_us"],
        1.5,
        "times",
    ),
    _Target("uvicorn + aiohttp doing less", "≥ 2 × our CPU", _times("uvicorn_+_aiohttp"), 2, "×", True),  # noqa: RUF001
    _Target("FastMCP proxy with one client", "≥ 50 × our CPU", _times("fastmcp_proxy,_one_client"), 50, "×", True),  # noqa: RUF001
    _Target(
        "`tools/list`, 100 tools, caller never seen before, beyond a call of such a caller",
        "≤ 250 µs",
        lambda f: (
            f["lists.mantlet:_tools/list,_new_caller_each_time.cpu_quiet_us"]
            - f["lists.mantlet:_tools/call,_new_caller_each_time.cpu_quiet_us"]
            + f["lists.mantlet:_tools/call.cpu_quiet_us"]
        ),
        250,
        "µs",
    ),
    _Target(
        "`tools/list`, 100 tools, cached, against a `tools/call`",
        "≤ 2 times",
        lambda f: f["lists.mantlet.cpu_quiet_us"] / f["lists.mantlet:_tools/call.cpu_quiet_us"],
        2,
        "times",
    ),
    _Target(
        "stdio upstream, the gateway's CPU a call",
        "≤ 150 µs",
        lambda f: f["stdio.modern.16.mantlet.cpu_quiet_us"],
        150,
        "µs",
    ),
    _Target(
        "answers under overload against capacity",
        "≥ 80 %",
        lambda f: 100 * f["overload.overload.good_per_s"] / f["overload.within_capacity.good_per_s"],
        80,
        "%",
        at_least=True,
    ),
    _Target("refusals under overload, p99", "≤ 50 ms", lambda f: f["overload.overload.refused_p99_us"] / 1e3, 50, "ms"),
    _Target(
        "good callers' p99 in a flood of 10,000 bad tokens/s from one address, connections kept or not",
        "≤ 2 times",
        lambda f: max(f["flood.keep.times"], f["flood.churn.times"]),
        2,
        "times",
    ),
    _Target("the same through a trusted proxy", "≤ 2 times", lambda f: f["flood.proxied.times"], 2, "times"),
    _Target(
        "probes of a half-open breaker among 1,000 callers, more or fewer than configured",
        "0",
        lambda f: max(value for name, value in f.items() if name.startswith("breaker.half_open.") and "off" in name),
        0,
    ),
    _Target(
        "an open breaker's verdict among them, p99",
        "≤ 1 ms",
        lambda f: max(v for n, v in f.items() if n.startswith("breaker.half_open.") and n.endswith("p99_us")) / 1e3,
        1,
        "ms",
    ),
    _Target("memory of a worker", "≤ 60 MiB PSS", lambda f: f["pss_mib"], 60, "MiB"),
    _Target("start to listening", "≤ 0.7 s", lambda f: f["start_s"], 0.7, "s"),
    _Target("import", "≤ 0.5 s", lambda f: f["import_s.mantlet.node.build.root"], 0.5, "s"),
    _Target("wrong or crossed answers in 10⁶ checked calls", "0", _wrong, 0),
    _Target(
        "cost of the dearest single policy",
        "≤ 15 µs",
        lambda f: max(value for name, value in f.items() if name.startswith("policy.") and _is_single(name)),
        15,
        "µs",
    ),
    _Target(
        "a modern client at a legacy server, CPU beyond its own era",
        "≤ 60 µs",
        lambda f: (
            f["bridge.modern.to_a_legacy_server.cpu_quiet_us"] - f["bridge.modern.to_a_modern_server.cpu_quiet_us"]
        ),
        60,
        "µs",
    ),
    _Target(
        "a legacy client at a modern server, CPU beyond its own era",
        "≤ 60 µs",
        lambda f: (
            f["bridge.legacy.to_a_modern_server.cpu_quiet_us"] - f["bridge.legacy.to_a_legacy_server.cpu_quiet_us"]
        ),
        60,
        "µs",
    ),
    _Target("WebSocket against HTTP, CPU a call", "≤ 1.3 times", _door("websocket"), 1.3, "times"),
    _Target("TCP against HTTP, CPU a call", "≤ 1.3 times", _door("tcp"), 1.3, "times"),
    _Target("first event of a streamed answer", "≤ 1 ms after", lambda f: f["first_byte.added_us"] / 1e3, 1, "ms"),
    _Target("an idle legacy session", "≤ 20 KiB", lambda f: f["idle.legacy_session.kib"], 20, "KiB"),
    _Target("an idle legacy stream", "≤ 20 KiB", lambda f: f["idle.legacy_stream.kib"], 20, "KiB"),
    _Target("ten times more of anything, CPU a call", "≤ 1.2 times", _worst("growth_flat.", ".times"), 1.2, "times"),
    _Target("5,000 slow or silent connections, memory", "≤ 100 MiB", _worst("connections.", ".mib"), 100, "MiB"),
    _Target("the last of them is closed", "≤ 1 s late", _worst("connections.", ".late_s"), 1, "s"),
    _Target("good callers' p99 beside them", "≤ 2 times", _worst("connections.", ".times"), 2, "times"),
)


def _is_single(name: str) -> bool:
    return name.endswith(".more_us") and ".all." not in name


def judge(facts: Facts) -> list[Verdict]:
    """Every target, in order."""
    return [target.judge(facts) for target in _TARGETS]
