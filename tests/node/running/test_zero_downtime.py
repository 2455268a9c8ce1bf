"""What operators change while calls go on costs nobody a call. `python -m bench.downtime` does the same at length."""

import os
import secrets
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest
from bench.downtime import ask, reloads, restarts, running, stopped_in_flight, three_kinds, wait_for, workers_of
from bench.rig.callers import Load
from bench.rig.gateway import AUDIENCE, ISSUER, Gateway

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


@pytest.mark.parametrize("workers", [1, 2])
def test_a_node_that_leaves_is_not_ready_at_once_and_takes_calls_until_balancers_know(
    tmp_path: Path, workers: int
) -> None:
    """RES-05, AUTHZ-05: and stays if it is told so in time."""
    with running(workers, tmp_path) as gateway, Load(gateway, 4) as load:
        assert admin(gateway, "POST", "leave?after=30") == 202
        assert ready(gateway) == 503
        load.until(50)
        assert admin(gateway, "DELETE", "leave") == 200
        assert ready(gateway) == 200
        assert [admin(gateway, "POST", f"leave?after={odd}") for odd in ("nan", "-1", "x", "1e9")] == [400] * 4
        load.until(50)
        assert load.failures == []
        assert admin(gateway, "POST", "leave?after=1") == 202
        wait_for(lambda: gateway.program.has_ended)
        assert gateway.program.stop() == 0


def ready(gateway: Gateway) -> int:
    try:
        return ask(gateway, "/readyz")
    except urllib.error.HTTPError as refused:
        return refused.code


def admin(gateway: Gateway, verb: str, path: str) -> int:
    request = urllib.request.Request(f"{gateway.admin_url}/admin/v1/{path}", method=verb)
    now_s = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "root", "iat": now_s, "roles": ["admin"]}
    claims |= {"nbf": now_s - 1, "exp": now_s + 600, "jti": secrets.token_hex(8)}
    token = jwt.encode(claims, gateway.secret, "HS256", {"typ": "at+jwt"})
    request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return refused.code


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
