"""What operators change while calls go on costs nobody a call. `python -m bench.downtime` does the same at length."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench.downtime import reloads, restarts, running, stopped_in_flight, three_kinds, wait_for, workers_of
from bench.rig.callers import Load
from bench.rig.gateway import Gateway

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with running(2, tmp_path) as node:
        yield node


def test_workers_are_exchanged_without_a_failed_call(gateway: Gateway) -> None:
    """RES-05: for callers that are busy, that pause on an open connection, and that come anew with every call."""
    with three_kinds(gateway) as loads:
        restarts(gateway, 3)
    assert [why for load in loads for why in load.failures] == []
    assert min(load.served for load in loads) > 0
    trail = "".join(file.read_text() for file in gateway.folder.rglob("audit-*.jsonl"))
    assert trail.count('"event":"workers.replaced"') == 3


def test_configurations_are_taken_up_without_a_failed_call(gateway: Gateway) -> None:
    """CFG-03, RES-05"""
    with three_kinds(gateway) as loads:
        reloads(gateway, 10)
    assert [why for load in loads for why in load.failures] == []


def test_what_is_in_flight_when_the_node_ends_is_answered_whole(tmp_path: Path) -> None:
    """RES-05: 500 calls, SIGTERM, no truncated answer, exit 0."""
    with running(2, tmp_path) as gateway:
        assert stopped_in_flight(gateway, 500) == (500, 0)


def test_workers_that_die_while_others_are_exchanged_leave_as_many_as_there_were(gateway: Gateway) -> None:
    """RES-06"""
    before = workers_of(gateway)
    os.kill(gateway.program.pid, signal.SIGUSR2)
    os.kill(max(before), signal.SIGKILL)
    os.kill(min(before), signal.SIGKILL)
    wait_for(lambda: len(now := workers_of(gateway)) == 2 and not now & before)
    with Load(gateway, 4) as load:
        load.until(100)
    assert load.failures == []


def test_a_node_that_ends_while_workers_are_exchanged_leaves_nobody_behind(tmp_path: Path) -> None:
    with running(2, tmp_path) as gateway:
        os.kill(gateway.program.pid, signal.SIGUSR2)
        wait_for(lambda: len(workers_of(gateway)) > 2)
        pids = workers_of(gateway)
        assert gateway.program.stop() == 0
        wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), 5)
