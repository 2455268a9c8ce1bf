"""Figures: counted in plain dictionaries on the hot path, added up over workers, shown by `exposition.py`.

One process counts for itself; `snapshot` is what travels, `merge` adds up. Every family keeps at most `max_series`
combinations of labels; what comes beyond is counted with every label `other`, so that the total stays true.
"""

import operator
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal, TypeVar

import msgspec

from mantlet.core.record import Record, Trail
from mantlet.events import scrub
from mantlet.events.audit.writer import Journal
from mantlet.wire.mcp.methods import LEGACY_METHODS, LEGACY_NOTIFICATIONS, MODERN_METHODS, MODERN_NOTIFICATIONS

BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the buckets, seconds: from the cost of the node itself to the longest request timeout."""

OTHER: Final = "other"
Labels = tuple[str, ...]
Series = tuple[tuple[str, str], ...]
"""Labels of a gauge, by their names."""
V = TypeVar("V", float, list[float])
Combine = Literal["sum", "max", "min"]

REQUESTS: Final = "mantlet_requests"
OPERATION: Final = "mcp_server_operation_duration_seconds"
HTTP_REQUEST: Final = "http_server_request_duration_seconds"
STREAM: Final = "mantlet_stream_duration_seconds"

COUNTERS: Final[dict[str, tuple[str, Labels]]] = {
    REQUESTS: ("Requests by how they ended", ("door", "server", "action", "verdict", "reason", "status")),
    "mantlet_authentications": ("Authentications by method and outcome", ("environment", "method", "outcome")),
    "mantlet_limit_refusals": ("Requests refused by a limit", ("limit",)),
    "mantlet_refusals_told_together": ("Requests refused without a look, as their address was", ("door",)),
    "mantlet_filter_findings": ("Findings of content filters by what was done", ("filter", "mode")),
    "mantlet_audit_unrecorded": ("Requests served without a record, by configuration", ()),
    "mantlet_stream_bytes": ("Bytes of streamed answers", ("door", "server")),
    "mantlet_tls_handshake_failures": ("TLS handshakes that failed", ("listener", "reason")),
    "mantlet_certificate_failures": ("Certificates that did not verify", ("peer", "reason")),
    "mantlet_egress_refusals": ("Destinations that were not connected to", ("reason",)),
    "mantlet_cache_lookups": ("Cache lookups by outcome", ("outcome",)),
    "mantlet_breaker_transitions": ("Breakers that changed state", ("server", "state")),
    "mantlet_upstream_repeats": (
        "Calls made again (`again`), not made again for want of budget (`budget`), made twice (`hedged`)",
        ("server", "what"),
    ),
    "mantlet_fallbacks": ("Calls answered by a fallback", ("server", "source")),
}
"""Family, what it counts, its labels. A family that is not here is not counted."""

HISTOGRAMS: Final[dict[str, tuple[str, Labels]]] = {
    OPERATION: (
        "Duration of MCP operations (OpenTelemetry mcp.server.operation.duration)",
        ("mcp_method_name", "gen_ai_tool_name", "mantlet_server", "error_type"),
    ),
    HTTP_REQUEST: (
        "Duration of requests (OpenTelemetry http.server.request.duration)",
        ("mantlet_door", "http_response_status_code"),
    ),
    STREAM: ("Duration of streamed answers", ("door", "server")),
}

_COMBINE: Final[dict[Combine, Callable[[float, float], float]]] = {"sum": operator.add, "max": max, "min": min}
_METHODS: Final = MODERN_METHODS | LEGACY_METHODS | MODERN_NOTIFICATIONS | LEGACY_NOTIFICATIONS | {"", "response"}
_TOOL: Final = re.compile(r"[A-Za-z0-9_./-]{1,128}")
MAX_TOOLS_PER_SERVER: Final = 128
"""Names that become labels. A server may say 200 to any name, so one caller could else spend what all servers share."""
_PLAIN: Final = "http"
"""The action of what is no RPC: `GET /path` would be a label for every path that anybody thinks of."""


class Gauge(msgspec.Struct, frozen=True):
    """One value at one time, and how the values of several workers become one."""

    name: str
    help: str
    value: float
    combine: Combine = "sum"
    labels: tuple[tuple[str, str], ...] = ()


class Snapshot(msgspec.Struct):
    """What one process counted. `histograms` hold the count of each bucket, one beyond the last bound, and the sum."""

    counters: dict[str, list[tuple[Labels, float]]] = {}
    histograms: dict[str, list[tuple[Labels, list[float]]]] = {}
    gauges: list[Gauge] = []


class Metrics:
    """The figures of one process. Belongs to one thread; `ended` costs about 2 us, `count` 0.5."""

    def __init__(self, *, max_series: int = 1000, environment: str = "production") -> None:
        self._max_series = max_series
        self._environment = environment
        self._counters: dict[str, dict[Labels, float]] = {name: {} for name in COUNTERS}
        self._histograms: dict[str, dict[Labels, list[float]]] = {name: {} for name in HISTOGRAMS}
        self._requests = self._counters[REQUESTS]
        self._known: dict[tuple[str | int, ...], tuple[Labels, list[list[float]]]] = {}
        self._tools: set[tuple[str, str]] = set()
        self._tools_of: Counter[str] = Counter()
        self._gauges: dict[tuple[str, Series], tuple[str, Callable[[], float], Combine]] = {}
        self.in_flight = 0
        self.streams = 0
        self.gauge("mantlet_requests_in_flight", "Requests being worked on", lambda: self.in_flight)
        self.gauge("mantlet_streams_open", "Answers being streamed", lambda: self.streams)

    # --- the hot path --------------------------------------------------------------------------------------------

    def ended(self, record: Record, /) -> None:
        """A request ended as `record` says."""
        trail = record.trail
        key = (trail.door, trail.server, trail.action, trail.object, record.verdict, record.reason, record.status)
        known = self._known.get(key)
        if known is None:
            known = self._series_of(record)
            if not record.reason:  # what was refused holds words of anybody's
                if len(self._known) >= self._max_series:
                    self._known.clear()
                self._known[key] = known
        labels, histograms = known
        self._requests[labels] += 1
        duration_s = record.duration_s
        at = bisect_left(BOUNDS_S, duration_s)
        for buckets in histograms:
            buckets[at] += 1
            buckets[-1] += duration_s
        if record.reason:
            self._refused(record)

    def _series_of(self, record: Record) -> tuple[Labels, list[list[float]]]:
        """Where a record is counted: its labels among the requests, and its histograms."""
        trail = record.trail
        action = trail.action
        if " " in action:
            action = _PLAIN
        elif action not in _METHODS:
            action = OTHER  # a word of the caller's own, refused or let through unknown
        status = str(record.status)
        labels = (trail.door, trail.server, action, record.verdict, record.reason, status)
        histograms = [self._buckets(HTTP_REQUEST, (trail.door, status))]
        if action is not _PLAIN and action:
            tool = self._tool(record) if action == "tools/call" else ""
            error = record.reason or (status if record.status >= 500 else "")
            histograms.append(self._buckets(OPERATION, (action, tool, trail.server, error)))
        return self._room(self._requests, labels, 0.0), histograms

    def _tool(self, record: Record) -> str:
        # Until a server has answered it with success, a name is nothing but what a caller wrote.
        if record.status != 200 or record.reason:
            return OTHER
        trail = record.trail
        tool = (trail.server, trail.object)
        if tool in self._tools:
            return trail.object
        # Half of the series stay for what is counted without a tool's name.
        if len(self._tools) >= self._max_series // 2 or self._tools_of[trail.server] >= MAX_TOOLS_PER_SERVER:
            return OTHER
        if _TOOL.fullmatch(trail.object) is None or scrub.scrub(trail.object) != trail.object:
            return OTHER
        self._tools.add(tool)
        self._tools_of[trail.server] += 1
        return trail.object

    def _refused(self, record: Record) -> None:
        if record.reason == "rate_limited":
            self.count("mantlet_limit_refusals", record.trail.rule or record.why.partition(":")[0])
        elif record.reason in ("invalid_credential", "unauthenticated", "ambiguous_credentials"):
            self.authenticated(record.trail.authentication, record.reason)

    def unrecorded(self) -> None:
        """A record was lost and work went on."""
        self.count("mantlet_audit_unrecorded")

    def stream_began(self, trail: Trail, /) -> None:
        """An answer began to stream."""
        self.streams += 1

    def stream_ended(self, trail: Trail, duration_s: float, sent_bytes: int, /) -> None:
        """It ended."""
        self.streams -= 1
        self.observe(STREAM, duration_s, trail.door, trail.server)
        self.count("mantlet_stream_bytes", trail.door, trail.server, by=sent_bytes)

    def authenticated(self, method: str, outcome: str = "success") -> None:
        """A credential was looked at: `success`, or the reason it was refused for."""
        self.count("mantlet_authentications", self._environment, method, outcome)

    def count(self, family: str, *labels: str, by: float = 1) -> None:
        """Add to a counter of `COUNTERS`; labels stand in the order given there."""
        series = self._counters[family]
        series[self._room(series, labels, 0.0)] += by

    def observe(self, family: str, value_s: float, *labels: str) -> None:
        """Add a duration to a histogram of `HISTOGRAMS`."""
        buckets = self._buckets(family, labels)
        buckets[bisect_left(BOUNDS_S, value_s)] += 1
        buckets[-1] += value_s

    def _buckets(self, family: str, labels: Labels) -> list[float]:
        series = self._histograms[family]
        found = series.get(labels)
        return series[self._room(series, labels, [0.0] * (len(BOUNDS_S) + 2))] if found is None else found

    def _room(self, series: dict[Labels, V], labels: Labels, nothing: V) -> Labels:
        """The labels that are counted for these: themselves, or `other` beyond the bound."""
        if labels not in series:
            if len(series) >= self._max_series:
                labels = (OTHER,) * len(labels)
            series.setdefault(labels, nothing)
        return labels

    # --- off the hot path ----------------------------------------------------------------------------------------

    def gauge(
        self,
        name: str,
        help: str,  # noqa: A002
        read: Callable[[], float],
        combine: Combine = "sum",
        *,
        labels: Mapping[str, str] = {},
    ) -> None:
        """Have `read` called whenever figures are asked for. The same name and labels again replace it; the values of
        labels come from the configuration, never from a caller."""
        self._gauges[name, tuple(labels.items())] = (help, read, combine)

    def snapshot(self) -> Snapshot:
        """Everything counted so far."""
        return Snapshot(
            {name: list(series.items()) for name, series in self._counters.items()},
            {name: [(labels, buckets[:]) for labels, buckets in s.items()] for name, s in self._histograms.items()},
            [
                Gauge(name, text, float(read()), combine, labels)
                for (name, labels), (text, read, combine) in self._gauges.items()
            ],
        )


def watch_journal(metrics: Metrics, journal: Journal) -> None:
    """Show what a journal does. Totals are of this process's life, lag is the worst of all workers."""
    figures = journal.figures
    metrics.gauge("mantlet_audit_records", "Records written", lambda: figures.records)
    metrics.gauge("mantlet_audit_groups", "Groups of records written", lambda: figures.groups)
    metrics.gauge("mantlet_audit_failed_records", "Records refused or not written", lambda: figures.failed_records)
    metrics.gauge("mantlet_audit_failures", "Failed attempts to write", lambda: figures.failures)
    metrics.gauge("mantlet_audit_write_seconds", "Time from queueing to written, all groups", lambda: figures.write_s)
    metrics.gauge("mantlet_audit_lag_seconds", "The same, last group", lambda: figures.last_lag_s, "max")
    metrics.gauge("mantlet_audit_pending_records", "Records that wait", lambda: journal.pending)
    metrics.gauge("mantlet_audit_unable", "1 while records cannot be written", lambda: not journal.is_able, "max")
    metrics.gauge("mantlet_audit_checkpoint_failures", "Checkpoints not written", lambda: journal.checkpoint_failures)


def merge(snapshots: Iterable[Snapshot]) -> Snapshot:
    """The figures of several processes as one. Workers that died are missing from it, as after any restart."""
    counters: dict[str, dict[Labels, float]] = {}
    histograms: dict[str, dict[Labels, list[float]]] = {}
    gauges: dict[tuple[str, Series], Gauge] = {}
    for snapshot in snapshots:
        for name, counted in snapshot.counters.items():
            series = counters.setdefault(name, {})
            for labels, value in counted:
                series[labels] = series.get(labels, 0) + value
        for name, observed in snapshot.histograms.items():
            of = histograms.setdefault(name, {})
            for labels, buckets in observed:
                before = of.get(labels)
                of[labels] = [a + b for a, b in zip(before, buckets, strict=True)] if before else buckets[:]
        for gauge in snapshot.gauges:
            key = (gauge.name, gauge.labels)
            gauges[key] = _combined(gauges.get(key), gauge)
    return Snapshot(
        {name: list(series.items()) for name, series in counters.items()},
        {name: list(of.items()) for name, of in histograms.items()},
        list(gauges.values()),
    )


def _combined(before: Gauge | None, gauge: Gauge) -> Gauge:
    if before is None:
        return gauge
    value = _COMBINE[gauge.combine](before.value, gauge.value)
    return Gauge(gauge.name, gauge.help, value, gauge.combine, gauge.labels)
