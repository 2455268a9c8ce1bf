"""`python -m bench.downtime`: what a running node's changes cost its callers. All figures but `longest` should be 0.

Callers keep their connections, or make one a call, and try nothing again: an answer that is missing, cut short or wrong
counts as failed.
"""

import argparse
import concurrent.futures
import contextlib
import http.client
import os
import signal
import socket
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from bench.rig.callers import Load, call_bytes
from bench.rig.gateway import Gateway, config, start_gateway, stdio
from bench.rig.process import ROOT

SERVER = str(ROOT / "tests" / "servers" / "everything.py")


def settings(workers: int) -> dict[str, Any]:
    """One real server, and as many workers."""
    whole = config([stdio("sdk", sys.executable, SERVER, "--stdio")])
    whole["http"]["workers"] = workers
    return whole


@contextlib.contextmanager
def running(workers: int, folder: Path) -> Iterator[Gateway]:
    """A node that answers calls and its operators."""
    with start_gateway(settings(workers), folder) as gateway:
        with Load(gateway, 1) as first:
            first.until(3)
        wait_for(lambda: ask(gateway, "/livez") == 200)
        yield gateway


def ask(gateway: Gateway, path: str) -> int:
    """The status that the admin door gives."""
    with urllib.request.urlopen(f"{gateway.admin_url}{path}", timeout=5) as answer:
        return int(answer.status)


def wait_for(holds: Callable[[], bool], within_s: float = 60.0) -> None:
    """Wait for what other processes do."""
    until_s = time.monotonic() + within_s
    while True:
        with contextlib.suppress(OSError):
            if holds():
                return
        if time.monotonic() > until_s:
            raise TimeoutError("did not come about")
        time.sleep(0.02)


@contextlib.contextmanager
def three_kinds(gateway: Gateway) -> Iterator[list[Load]]:
    """Callers that are always busy, that pause on an open connection, and that come anew with every call."""
    with Load(gateway, 6) as busy, Load(gateway, 4, pause_s=0.2) as pausing, Load(gateway, 2, per_connection=1) as new:
        yield [busy, pausing, new]


def restarts(gateway: Gateway, count: int) -> None:
    """Exchange all workers, `count` times."""
    for _ in range(count):
        before = workers_of(gateway)
        done = said(gateway, b'"event":"workers.replaced"')
        while said(gateway, b'"event":"workers.replaced"') == done:
            os.kill(gateway.program.pid, signal.SIGUSR2)  # not heard while the last one has just not quite ended
            time.sleep(0.2)
        wait_for(lambda before=before: len(now := workers_of(gateway)) == len(before) and not now & before)  # type: ignore[misc]


def reloads(gateway: Gateway, count: int) -> None:
    """Take up another configuration, `count` times: a rule more, a rule less."""
    file, event = gateway.folder / "mantlet.yaml", b'"event":"config.reloaded"'
    first = said(gateway, event)
    for number in range(count):
        whole = yaml.safe_load(file.read_text())
        rules = whole["authorization"]["rules"]
        if number % 2:
            del rules[0]
        else:
            rules.insert(0, {"name": f"more-{number}", "deny": {"tools": ["no-such-tool"]}})
        draft = file.with_suffix(".new")
        draft.write_text(yaml.safe_dump(whole))
        draft.replace(file)
        os.kill(gateway.program.pid, signal.SIGHUP)
        wait_for(lambda number=number: said(gateway, event) > first + number)  # type: ignore[misc]


def said(gateway: Gateway, event: bytes) -> int:
    """How often it is in the audit trail."""
    return sum(file.read_bytes().count(event) for file in (gateway.folder / "audit").rglob("*.jsonl"))


def workers_of(gateway: Gateway) -> set[int]:
    """The processes that serve."""
    pid = gateway.program.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    found = set()
    for child in children:
        with contextlib.suppress(OSError):
            if b"mantlet.node.worker" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.add(int(child))
    return found


def stopped_in_flight(gateway: Gateway, count: int) -> tuple[int, int]:
    """SIGTERM with `count` calls under way; gives how many answers were whole, and the exit code."""
    port = int(gateway.url.rpartition(":")[2])
    said = call_bytes(gateway, "sdk", "slow", {"seconds": 2.0, "tag": "whole"})
    sockets = []
    for _ in range(count):
        one = socket.create_connection(("127.0.0.1", port), 30)
        one.sendall(said)
        sockets.append(one)
    wait_for(lambda: under_way(gateway) >= count)
    os.kill(gateway.program.pid, signal.SIGTERM)
    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        whole = sum(pool.map(is_whole, sockets))
    return whole, gateway.program.stop()


def under_way(gateway: Gateway) -> int:
    """How many calls the node says it has."""
    with urllib.request.urlopen(f"{gateway.admin_url}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return int(sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("mantlet_calls_under_way")))


def is_whole(one: socket.socket) -> bool:
    """Whether the connection brings an answer that is complete and right."""
    one.settimeout(60)
    answer = http.client.HTTPResponse(one)
    try:
        answer.begin()
        return answer.status == 200 and b"slept" in answer.read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        answer.close()
        one.close()


def main() -> int:
    """Measure, print, and exit with 1 when anything failed."""
    parser = argparse.ArgumentParser(prog="python -m bench.downtime", description=__doc__)
    parser.add_argument("--restarts", type=int, default=20)
    parser.add_argument("--reloads", type=int, default=100)
    parser.add_argument("--in-flight", type=int, default=500)
    parser.add_argument("--workers", type=int, default=2)
    wanted = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory(prefix="mantlet-downtime-") as folder:
        with running(wanted.workers, Path(folder) / "one") as gateway:
            for name, act, count in (("restarts", restarts, wanted.restarts), ("reloads", reloads, wanted.reloads)):
                began_s = time.monotonic()
                with three_kinds(gateway) as loads:
                    act(gateway, count)
                failures = [why for load in loads for why in load.failures]
                served, longest_s = sum(load.served for load in loads), max(load.longest_s for load in loads)
                print(
                    f"{count} {name} in {time.monotonic() - began_s:.0f} s: {served} calls, {len(failures)} failed, "
                    f"longest {longest_s * 1000:.0f} ms {failures[:3] or ''}"
                )
                failed += len(failures)
        with running(wanted.workers, Path(folder) / "two") as gateway:
            whole, code = stopped_in_flight(gateway, wanted.in_flight)
            print(f"SIGTERM with {wanted.in_flight} in flight: {wanted.in_flight - whole} truncated, exit {code}")
            failed += wanted.in_flight - whole + (code != 0)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
