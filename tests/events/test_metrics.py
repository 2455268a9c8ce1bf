from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

import mantlet
from mantlet.core.record import Record, Trail
from mantlet.events.exposition import render
from mantlet.events.metrics import (
    COUNTERS,
    HISTOGRAMS,
    MAX_TOOLS_PER_SERVER,
    OPERATION,
    REQUESTS,
    Metrics,
    Snapshot,
    merge,
)


def record(duration_s: float = 0.003, **fields: Any) -> Record:
    of_record = {name: fields.pop(name) for name in ("verdict", "reason", "why", "status") if name in fields}
    trail = Trail("r", "http", "192.0.2.1", 1.0, "tools/call", "echo", "time")
    for name, value in fields.items():
        setattr(trail, name, value)
    return Record(trail, duration_s=duration_s, **({"status": 200} | of_record))


def samples(snapshot: Snapshot) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(render(snapshot).decode())
        for sample in family.samples
    }


def value(snapshot: Snapshot, name: str, **labels: str) -> float:
    wanted = set(labels.items())
    return sum(v for (n, ls), v in samples(snapshot).items() if n == name and wanted <= ls)


def test_requests_are_counted_by_how_they_ended() -> None:
    metrics = Metrics()
    metrics.ended(record())
    metrics.ended(record())
    metrics.ended(record(verdict="deny", reason="denied", status=403))
    snapshot = metrics.snapshot()
    assert value(snapshot, "mantlet_requests_total", verdict="allow", status="200", action="tools/call") == 2
    assert value(snapshot, "mantlet_requests_total", verdict="deny", reason="denied", status="403") == 1
    assert value(snapshot, "mcp_server_operation_duration_seconds_count", gen_ai_tool_name="echo") == 2
    assert value(snapshot, "http_server_request_duration_seconds_count", mantlet_door="http") == 3


@pytest.mark.parametrize(("duration_s", "le"), [(0.001, "0.001"), (0.0011, "0.0025"), (60.0, "60.0"), (61.0, "+Inf")])
def test_a_duration_falls_into_its_bucket(duration_s: float, le: str) -> None:
    metrics = Metrics()
    metrics.ended(record(duration_s))
    counts = [
        (dict(labels)["le"], v)
        for (name, labels), v in samples(metrics.snapshot()).items()
        if name == "mcp_server_operation_duration_seconds_bucket"
    ]
    below = [bound for bound, count in counts if count == 0]
    assert dict(counts)[le] == 1
    assert all(float(bound) < duration_s for bound in below)
    assert value(metrics.snapshot(), "mcp_server_operation_duration_seconds_sum") == pytest.approx(duration_s)


def test_labels_are_bounded_and_the_total_stays_true() -> None:
    metrics = Metrics(max_series=5)
    for number in range(100):
        metrics.ended(record(object=f"tool{number}", server=f"s{number}"))
    snapshot = metrics.snapshot()
    assert len(snapshot.counters["mantlet_requests"]) == 6
    assert value(snapshot, "mantlet_requests_total") == 100
    assert value(snapshot, "mantlet_requests_total", server="other") == 95
    assert value(snapshot, "mcp_server_operation_duration_seconds_count") == 100


def test_a_refused_callers_own_words_become_no_labels() -> None:
    metrics = Metrics()
    for number in range(10):
        metrics.ended(record(action=f"evil{number}", object=f"x{number}", verdict="deny", reason="denied", status=403))
        metrics.ended(record(action=f"GET /{number}", verdict="deny", reason="not_found", status=404))
    snapshot = metrics.snapshot()
    assert {labels[2] for labels, _ in snapshot.counters["mantlet_requests"]} == {"other", "http"}


def tools_of(metrics: Metrics) -> set[tuple[str, str]]:
    return {(labels[2], labels[1]) for labels, _ in metrics.snapshot().histograms[OPERATION]}


@pytest.mark.parametrize("status", [400, 403, 404, 429, 500, 502, 503, 202, 0])
def test_a_tool_is_named_once_a_call_of_it_succeeded(status: int) -> None:
    """A server's 400 to an unknown tool is recorded as allowed: the name is the caller's own."""
    metrics = Metrics()
    for number in range(50):
        metrics.ended(record(object=f"x{number}", status=status))
    metrics.ended(record(object="y", reason="bad_upstream", verdict="error"))
    assert tools_of(metrics) == {("time", "other")}


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("echo", "echo"),
        ("Files.read-2/all_of", "Files.read-2/all_of"),
        ("a" * 128, "a" * 128),
        ("a" * 129, "other"),
        ("", "other"),
        ("two words", "other"),
        ("\u202eecho", "other"),
        ("é", "other"),
        ("echo\n", "other"),
        ("mk_0a1B2c3D4e5F_" + "s" * 43, "other"),
        ("time__mk_0a1B2c3D4e5F_" + "s" * 43, "other"),
        ("eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl", "other"),
    ],
)
def test_a_tools_name_is_a_label_if_it_looks_like_one(name: str, label: str) -> None:
    """AUD-06"""
    metrics = Metrics()
    metrics.ended(record(object=name))
    metrics.ended(record(object=name))
    assert tools_of(metrics) == {("time", label)}


def test_one_server_that_says_200_to_every_name_leaves_room_for_the_others() -> None:
    metrics = Metrics()
    for number in range(5000):
        metrics.ended(record(object=f"x{number}"))
    assert len(tools_of(metrics)) == MAX_TOOLS_PER_SERVER + 1
    metrics.ended(record(server="docs", object="search"))
    assert ("docs", "search") in tools_of(metrics)


def test_tools_leave_room_for_servers() -> None:
    metrics = Metrics(max_series=100)
    for number in range(5000):
        metrics.ended(record(server=f"s{number % 20}", object=f"x{number}"))
    assert {(f"s{number}", "other") for number in range(20)} <= tools_of(metrics)
    assert value(metrics.snapshot(), f"{OPERATION}_count") == 5000


def test_a_method_let_through_unknown_becomes_no_label() -> None:
    metrics = Metrics()
    for number in range(10):
        metrics.ended(record(action=f"own/{number}"))
    assert {labels[2] for labels, _ in metrics.snapshot().counters["mantlet_requests"]} == {"other"}


def test_authentication_and_limits_are_counted_by_reason() -> None:
    metrics = Metrics(environment="staging")
    metrics.ended(record(verdict="deny", reason="invalid_credential", status=401, authentication="jwt"))
    metrics.authenticated("api_key")
    metrics.ended(record(verdict="deny", reason="rate_limited", why="limit burst: 20 per 1 s", status=429))
    snapshot = metrics.snapshot()
    name = "mantlet_authentications_total"
    assert value(snapshot, name, method="jwt", outcome="invalid_credential", environment="staging") == 1
    assert value(snapshot, name, method="api_key", outcome="success") == 1
    assert value(snapshot, "mantlet_limit_refusals_total", limit="limit burst") == 1


def test_workers_add_up_and_travel_as_json() -> None:
    one, two = Metrics(), Metrics()
    one.ended(record())
    two.ended(record())
    two.ended(record(server="docs"))
    one.gauge("mantlet_cache_bytes", "x", lambda: 3)
    two.gauge("mantlet_cache_bytes", "x", lambda: 4)
    one.gauge("mantlet_config_generation", "x", lambda: 7, "max")
    two.gauge("mantlet_config_generation", "x", lambda: 6, "max")
    wire = [msgspec.json.encode(metrics.snapshot()) for metrics in (one, two)]
    merged = merge(msgspec.json.decode(octets, type=Snapshot) for octets in wire)
    assert value(merged, "mantlet_requests_total") == 3
    assert value(merged, "mantlet_requests_total", server="time") == 2
    assert value(merged, "mcp_server_operation_duration_seconds_count") == 3
    assert value(merged, "mantlet_cache_bytes") == 7
    assert value(merged, "mantlet_config_generation") == 7


def test_gauges_with_labels_are_one_family_and_each_is_combined_for_itself() -> None:
    one, two = Metrics(), Metrics()
    for metrics, docs in ((one, 2), (two, 1)):
        metrics.gauge("mantlet_state", "x", lambda docs=docs: docs, "max", labels={"server": "docs"})  # type: ignore[misc]
        metrics.gauge("mantlet_state", "x", lambda: 0, "max", labels={"server": 'ti"me'})
    both = merge([msgspec.json.decode(msgspec.json.encode(each.snapshot()), type=Snapshot) for each in (one, two)])
    lines = render(both).decode().splitlines()
    assert [line for line in lines if line.startswith("mantlet_state")] == [
        'mantlet_state{server="docs"} 2.0',
        'mantlet_state{server="ti\\"me"} 0.0',
    ]
    assert lines.count("# TYPE mantlet_state gauge") == 1


def test_streams_and_requests_in_flight_are_gauges() -> None:
    metrics = Metrics()
    metrics.in_flight = 2
    metrics.stream_began(record().trail)
    assert value(metrics.snapshot(), "mantlet_streams_open") == 1
    assert value(metrics.snapshot(), "mantlet_requests_in_flight") == 2
    metrics.stream_ended(record().trail, 2.0, 1000)
    assert value(metrics.snapshot(), "mantlet_streams_open") == 0
    assert value(metrics.snapshot(), "mantlet_stream_bytes_total") == 1000


def test_every_family_is_shown_before_it_counted_anything() -> None:
    text = render(Metrics().snapshot()).decode()
    for name in [*COUNTERS, *HISTOGRAMS]:
        assert f"# TYPE {name}" in text


def test_values_that_lie_are_escaped() -> None:
    metrics = Metrics()
    metrics.ended(record(object='x"} 1\nevil_total 9'))
    assert value(metrics.snapshot(), "evil_total") == 0


def test_every_counter_of_the_reference_is_counted_somewhere() -> None:
    source = "".join(path.read_text() for path in Path(mantlet.__file__).parent.rglob("*.py"))
    assert [name for name in COUNTERS if name != REQUESTS and source.count(f'"{name}"') < 2] == []
