from typing import Any

import pytest

from mantlet.upstreams.health.config import HealthConfig, OutlierConfig
from mantlet.upstreams.health.state import FORGIVEN_AFTER, Health, Terms, terms

PROBED = Terms(fall=3, rise=2, failures=2, ejection_s=30, max_ejection_s=100)
BY_CALLS = Terms(failures=3, ejection_s=30, max_ejection_s=100, slow_start_s=60)


def play(health: Health, event: str, now_s: float) -> bool:
    match event:
        case "+":
            return health.probe_ok(now_s)
        case "-":
            return health.probe_failed("no answer within 5 s", now_s)
        case "ok":
            return health.call_ok()
        case "bad" | "kept":
            return health.call_failed("it answered 503", now_s, unreached=False, may_eject=event == "bad")
        case "gone":
            return health.call_failed("no connection", now_s, unreached=True, may_eject=True)
        case "drain":
            return health.drain(now_s + 10)
        case "undrain":
            return health.undrain(now_s)
    assert event == "stop"
    return health.stop()


def do(health: Health, *events: Any) -> list[str]:
    """Play events, one second after another unless a number says how long; gives the state after each."""
    states, now_s = [], 100.0
    for event in events:
        if isinstance(event, int):
            now_s += event
            health.tick(now_s)
        else:
            now_s += 1
            before = health.state
            assert play(health, event, now_s) is (health.state != before), event
        states.append(health.state)
    return states


@pytest.mark.parametrize(
    ("given", "events", "states"),
    [
        # probes
        (PROBED, ["+"], ["healthy"]),
        (PROBED, ["-", "+"], ["starting", "healthy"]),
        (PROBED, ["-", "-", "-", "+", "+"], ["starting", "starting", "unhealthy", "unhealthy", "healthy"]),
        (PROBED, ["+", "-", "+"], ["healthy", "degraded", "healthy"]),
        (PROBED, ["+", "-", "-", "-", "+", "-", "+", "+"],
         ["healthy", "degraded", "degraded", "unhealthy", "unhealthy", "unhealthy", "unhealthy", "healthy"]),
        # calls
        (BY_CALLS, ["ok"], ["healthy"]),
        (BY_CALLS, ["bad", "bad", "ok", "bad", "bad"], ["starting", "starting", "healthy", "healthy", "healthy"]),
        (BY_CALLS, ["ok", "bad", "bad", "bad"], ["healthy", "healthy", "healthy", "unhealthy"]),
        (BY_CALLS, ["ok", "kept", "kept", "kept", "ok"], ["healthy", "healthy", "healthy", "degraded", "healthy"]),
        # left alone for its time, then on trial: one call decides
        (BY_CALLS, ["ok", "bad", "bad", "bad", 29, 2, "ok"],
         ["healthy", "healthy", "healthy", "unhealthy", "unhealthy", "degraded", "healthy"]),
        (BY_CALLS, ["ok", "bad", "bad", "bad", 31, "bad", 31, 30],
         ["healthy", "healthy", "healthy", "unhealthy", "degraded", "unhealthy", "unhealthy", "degraded"]),
        # what comes late says nothing of the state that follows (RES-01)
        (BY_CALLS, ["ok", "bad", "bad", "bad", "ok", "bad"],
         ["healthy", "healthy", "healthy", "unhealthy", "unhealthy", "unhealthy"]),
        # a probe that succeeds ends an ejection for want of a connection, and no other
        (PROBED, ["+", "gone", "gone", "+", "+"], ["healthy", "healthy", "unhealthy", "unhealthy", "degraded"]),
        (PROBED, ["+", "bad", "bad", "+", "+", 30], ["healthy", "healthy", *["unhealthy"] * 3, "degraded"]),
        # draining
        (PROBED, ["+", "drain", 5, "-", 6], ["healthy", "draining", "draining", "draining", "stopped"]),
        (PROBED, ["+", "drain", "undrain"], ["healthy", "draining", "healthy"]),
        (PROBED, ["+", "drain", 11, "undrain", "+"], ["healthy", "draining", "stopped", "starting", "healthy"]),
        (BY_CALLS, ["ok", "stop", "drain", "undrain"], ["healthy", "stopped", "stopped", "healthy"]),
        (BY_CALLS, ["ok", "drain", "drain", 8, 3], ["healthy", "draining", "draining", "draining", "stopped"]),
        (BY_CALLS, ["ok", "undrain"], ["healthy", "healthy"]),
        # switched off
        (Terms(), ["bad"] * 9, ["starting"] * 9),
    ],
)  # fmt: skip
def test_what_happens_makes_states(given: Terms, events: list[Any], states: list[str]) -> None:
    """RES-06"""
    assert do(Health(given), *events) == states


@pytest.mark.parametrize(
    ("events", "said"),
    [
        (["+"], []),
        (["+", "-", "-"], ["probe: no answer within 5 s (2 in a row)"]),
        (["+", "-", "-", "-", "+"], ["probes succeed again (1 in a row)"]),
        (["+", "bad"], ["calls: it answered 503 (1 in a row)"]),
        (["+", "bad", "bad"], ["left alone for the first time: it answered 503"]),
        (["+", "bad", "bad", 31], ["on trial after it was left alone"]),
        (["+", "bad", "bad", 31, "bad"], ["left alone for the second time: it answered 503"]),
        (["+", "drain"], ["drained by an operator"]),
        (["+", "stop"], ["stopped"]),
    ],
)
def test_a_state_has_its_reasons(events: list[Any], said: list[str]) -> None:
    health = Health(PROBED)
    do(health, *events)
    assert list(health.reasons) == said


@pytest.mark.parametrize(
    ("events", "is_gone"),
    [
        (["+"], False),
        (["+", "bad", "bad"], False),  # its calls fail, and its sessions live
        (["+", "gone", "gone"], True),
        (["+", "-", "-", "-"], True),
        (["+", "drain"], False),
        (["+", "drain", 11], True),
    ],
)
def test_sessions_are_lost_with_an_endpoint_that_is_gone(events: list[Any], is_gone: bool) -> None:
    health = Health(PROBED)
    do(health, *events)
    assert health.is_gone is is_gone


def test_each_time_it_is_left_alone_for_longer_up_to_a_cap() -> None:
    health, now_s = Health(BY_CALLS), 0.0
    for expected_s in (30, 60, 90, 100, 100):
        while health.state != "unhealthy":
            health.call_failed("x", now_s, unreached=False, may_eject=True)
        health.tick(now_s + expected_s - 0.1)
        assert health.is_ejected
        health.tick(now_s + expected_s)
        assert not health.is_ejected
        now_s += expected_s


def test_who_behaved_for_long_has_nothing_on_its_record() -> None:
    health = Health(BY_CALLS)
    do(health, "ok", "bad", "bad", "bad", 31, "ok", FORGIVEN_AFTER * 30, "bad", "bad", "bad", 31)
    assert health.state == "degraded"  # and not still left alone for the second time's 60 s


def test_what_came_back_warms_up() -> None:
    health = Health(BY_CALLS)
    assert health.weight_share(0) == 1.0
    do(health, "ok", "bad", "bad", "bad", 31)
    assert health.is_watched
    began_s = 100 + 4 + 31
    assert [health.weight_share(began_s + s) for s in (0, 12, 30, 59)] == [0.1, 0.2, 0.5, 0.9]
    health.call_ok()
    health.tick(began_s + 60)
    assert health.weight_share(began_s + 60) == 1.0
    assert not health.is_watched


def test_a_node_that_starts_does_not_warm_up_all_its_endpoints() -> None:
    health = Health(Terms(fall=3, slow_start_s=60))
    do(health, "-", "+")
    assert health.weight_share(102) == 1.0


def test_quiet_is_healthy_and_without_failures() -> None:
    health = Health(PROBED)
    assert not health.is_quiet
    do(health, "+")
    assert health.is_quiet
    do(health, "bad")
    assert not health.is_quiet
    health.call_ok()
    assert health.is_quiet


def test_a_reason_has_a_bound() -> None:
    health = Health(PROBED)
    health.probe_failed("x" * 100_000, 0.0)
    assert len(health.reasons[0]) < 300


def test_terms_are_as_configured() -> None:
    assert terms(None, OutlierConfig(), 5.0) == Terms(0, 1, 5, 30, 300, 5.0)
    assert terms(HealthConfig(fall=2, rise=4), OutlierConfig(failures=0), 0.0) == Terms(2, 4, 0, 30, 300, 0.0)
