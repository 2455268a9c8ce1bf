"""A changed file is taken up while calls go on, or refused whole (spec 2.4; CFG-03)."""

import concurrent.futures
import contextlib
import json
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import jwt
import pytest
import yaml
from bench.lab import era_arguments
from bench.rig.gateway import Gateway, config, http, start_gateway
from bench.rig.gateway import _token as token_of
from bench.rig.process import Program, free_port, is_listening, running
from tests.node.processes.support import eventually, is_live, post, settings

from mantlet.core.secret import Secret
from mantlet.ops.remote.admin import Admin
from mantlet.ops.remote.http import Address

pytestmark = pytest.mark.slow

DENY = {"name": "no-echo", "deny": {"tools": ["echo"]}}


@pytest.fixture(params=[1, 2], ids=["one process", "two workers"])
def gateway(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Gateway]:
    with start_gateway(settings(request.param), tmp_path) as started:
        eventually(lambda: post(started, "sdk", "tools/list")[0] == 200)
        eventually(lambda: is_live(started))  # calls are served before the admin door opens and signals are heard
        yield started


def change(gateway: Gateway, act: Callable[[dict[str, Any]], None]) -> None:
    """Write the file anew, as an editor does: beside it, then in its place."""
    file = gateway.folder / "mantlet.yaml"
    whole = yaml.safe_load(file.read_text())
    act(whole)
    draft = file.with_suffix(".new")
    draft.write_text(yaml.safe_dump(whole))
    draft.replace(file)


def hang_up(gateway: Gateway) -> None:
    os.kill(gateway.program.pid, signal.SIGHUP)


def echo(gateway: Gateway) -> int:
    return post(gateway, "sdk", "tools/call", "echo", arguments={"text": "a"})[0]


def trail(gateway: Gateway) -> list[dict[str, Any]]:
    lines = [
        line for file in sorted((gateway.folder / "audit").rglob("*.jsonl")) for line in file.read_text().splitlines()
    ]
    return [json.loads(line) for line in lines]


def deny_echo(whole: dict[str, Any]) -> None:
    whole["authorization"]["rules"].insert(0, DENY)


def hears_hangups(pid: int) -> bool:
    """Whether the process has a handler for SIGHUP, as the kernel sees it."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return bool(int(status["SigCgt"], 16) & 1 << signal.SIGHUP - 1)


def test_a_signal_in_mid_start_ends_nothing(gateway: Gateway) -> None:
    """CFG-03"""
    gateway.program.stop()
    command = [sys.executable, "-m", "mantlet", "serve", "-c", str(gateway.folder / "mantlet.yaml")]
    program = Program(command, gateway.folder / "again.log")
    try:
        eventually(lambda: hears_hangups(program.pid))
        while not is_listening(int(gateway.url.rpartition(":")[2])):
            os.kill(program.pid, signal.SIGHUP)
            assert not program.has_ended, program.tail()
            time.sleep(0.02)
        eventually(lambda: echo(gateway) == 200)
    finally:
        program.stop()


def test_rules_change_without_a_failed_call(gateway: Gateway) -> None:
    """AUTHZ-06: a change acts within 5 s in every worker; calls of before and after get the one or the other."""
    seen: list[int] = []
    is_over = threading.Event()

    def call() -> None:
        while not is_over.is_set():
            seen.append(echo(gateway))

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        callers = [pool.submit(call) for _ in range(4)]
        try:
            change(gateway, deny_echo)
            hang_up(gateway)
            eventually(lambda: seen[-30:] == [403] * 30)
        finally:
            is_over.set()
        for caller in callers:
            caller.result()
    assert set(seen) <= {200, 403}
    assert seen.index(403) > 0 or seen[0] == 403
    assert [record["action"] for record in trail(gateway) if record.get("event") == "config.reloaded"]


def test_a_changed_file_is_noticed_without_being_told(gateway: Gateway) -> None:
    change(gateway, deny_echo)
    eventually(lambda: {echo(gateway) for _ in range(6)} == {403})


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda whole: whole.update(htp={}), "unknown key"),
        (lambda whole: whole["http"].update(port=1), "takes a restart"),
        (lambda whole: whole.update(auth={**whole["auth"], "jwt": {"secret": "changeme"}}), "auth.jwt.secret"),
    ],
    ids=["not understood", "needs a restart", "refused at start"],
)
def test_a_bad_file_is_refused_whole_and_the_old_one_stays(
    gateway: Gateway, act: Callable[[dict[str, Any]], None], said: str
) -> None:
    """CFG-03"""

    def spoil(whole: dict[str, Any]) -> None:
        deny_echo(whole)
        act(whole)

    change(gateway, spoil)
    hang_up(gateway)
    eventually(lambda: any(record.get("event") == "config.refused" for record in trail(gateway)))
    refused = next(record for record in trail(gateway) if record.get("event") == "config.refused")
    assert (refused["verdict"], refused["severity"]) == ("deny", "error")
    assert said in json.dumps(refused)
    assert "changeme" not in json.dumps(refused)
    claims = jwt.decode(gateway.token, options={"verify_signature": False}) | {"roles": ["admin"], "jti": "operator"}
    token = jwt.encode(claims, gateway.secret, "HS256", {"typ": "at+jwt"})
    asked = Request(f"{gateway.admin_url}/admin/v1/reload", b"", {"Authorization": f"Bearer {token}"})
    with pytest.raises(HTTPError) as answered:
        urlopen(asked, timeout=20)
    with answered.value as answer:
        told = json.loads(answer.read())
        assert (answer.code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert (told["result"], said in json.dumps(told["reasons"])) == ("refused", True)
    assert Admin(Address(gateway.admin_url, Secret(token))).reload()["reasons"] == told["reasons"]
    assert {echo(gateway) for _ in range(6)} == {200}


def test_a_secret_that_changes_in_its_file_is_taken_up(gateway: Gateway) -> None:
    """CFG-04: the new one opens at once; how long the old one still does: `tests/node/identity/test_rotation.py`."""
    secret = secrets.token_urlsafe(48)
    (gateway.folder / "jwt.secret").write_text(secret)
    renewed = replace(gateway, token=token_of(secret))
    eventually(lambda: {echo(renewed) for _ in range(6)} == {200})


def test_a_worker_that_is_started_later_has_what_is_in_force(tmp_path: Path) -> None:
    with start_gateway(settings(2), tmp_path) as started:
        eventually(lambda: post(started, "sdk", "tools/list")[0] == 200)
        change(started, deny_echo)
        hang_up(started)
        eventually(lambda: {echo(started) for _ in range(6)} == {403})
        for pid in workers_of(started.program.pid):
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: answered(started) == 403)
        assert {echo(started) for _ in range(6)} == {403}


def with_endpoints(*ports: int) -> Callable[[dict[str, Any]], None]:
    def act(whole: dict[str, Any]) -> None:
        endpoints = [{"url": f"http://127.0.0.1:{port}/mcp", "name": str(port)} for port in ports]
        whole["mcp"]["servers"][0]["endpoints"] = endpoints

    return act


@pytest.mark.parametrize("workers", [1, 2])
def test_endpoints_come_and_go_without_a_failed_call_where_there_are_workers(tmp_path: Path, workers: int) -> None:
    """RES-05: workers are exchanged for some that know them; a node of one process says that it takes a restart."""
    with contextlib.ExitStack() as stack:
        ports = [free_port(), free_port()]
        for port in ports:
            command = [sys.executable, "-m", "bench.servers.http_echo", "--port", str(port), *era_arguments("modern")]
            stack.enter_context(running(command, port, tmp_path / f"{port}.log"))
        whole = config([{**http("sdk", "http://sdk.internal/mcp"), "era": "modern"}])
        whole["http"]["workers"] = workers
        with_endpoints(ports[0])(whole)
        gateway = stack.enter_context(start_gateway(whole, tmp_path / "node"))
        eventually(lambda: echo(gateway) == 200)
        eventually(lambda: is_live(gateway))  # who hangs up before the node listens for that ends it

        def served() -> set[str]:
            before = len(trail(gateway))
            assert {echo(gateway) for _ in range(12)} == {200}
            lines = trail(gateway)[before:]
            return {record["notes"]["endpoint"] for record in lines if record["action"] == "tools/call"}

        assert served() == {str(ports[0])}
        change(gateway, with_endpoints(*ports))
        hang_up(gateway)
        if workers == 1:
            eventually(lambda: any(record["event"] == "config.refused" for record in trail(gateway)))
            refused = next(record for record in trail(gateway) if record["event"] == "config.refused")
            assert "mcp.servers[sdk].endpoints: changed, and takes a restart" in refused["notes"]["why"]
            return
        eventually(lambda: served() == {str(port) for port in ports}, 60)
        change(gateway, with_endpoints(ports[1]))
        hang_up(gateway)
        eventually(lambda: served() == {str(ports[1])}, 60)
        # One order where the second came while the first was being carried out.
        assert sum(record["event"] == "workers.replaced" for record in trail(gateway)) in {1, 2}


def workers_of(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    worker = b"mantlet.node.processes.worker"
    return [int(child) for child in children if worker in Path(f"/proc/{child}/cmdline").read_bytes()]


def answered(gateway: Gateway) -> int:
    try:
        return echo(gateway)
    except OSError:
        return 0
