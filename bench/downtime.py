"""`python -m bench.downtime`: what a running node's changes cost its callers. All figures but `longest` should be 0.

Callers keep their connections, or make one a call, and try nothing again: an answer that is missing, cut short or wrong
counts as failed. At the end the node is killed in the middle of its work and started again: how soon it is ready, and
whether the trail has all that was answered.
"""

import argparse
import concurrent.futures
import contextlib
import http.client
import os
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bench.rig.callers import Load, call_bytes
from bench.rig.certificates import authority, sign
from bench.rig.gateway import Gateway, again, config, start_gateway, stdio
from bench.rig.meter import Meter
from bench.rig.process import ROOT

LOOKS = 6
"""Connections that must all show a new certificate: whichever worker they reach."""
READY_AGAIN_S = 5.0
"""By the best start: on a shared machine it is the least disturbed one."""
SERVER = str(ROOT / "tests" / "servers" / "everything.py")


def settings(workers: int) -> dict[str, Any]:
    """One real server, and as many workers."""
    whole = config([stdio("sdk", sys.executable, SERVER, "--stdio")])
    whole["http"]["workers"] = workers
    return whole


@contextlib.contextmanager
def running(workers: int, folder: Path, *, has_tls: bool = False) -> Iterator[Gateway]:
    """A node that answers calls and its operators."""
    whole, trust = settings(workers), None
    if has_tls:
        trust = authority(folder / "certs")
        whole["http"]["tls"] = sign(folder / "certs", "server")
    with start_gateway(whole, folder, trust) as gateway:
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


def swaps(gateway: Gateway, count: int) -> None:
    """Show another certificate, `count` times: told by SIGHUP, and each tenth time found by the node itself."""
    folder = gateway.folder / "certs"
    for number in range(count):
        made = sign(folder, f"next-{number}")
        wanted = ssl.PEM_cert_to_DER_cert(Path(made["cert_file"]).read_text())
        Path(made["key_file"]).replace(folder / "server.key")
        Path(made["cert_file"]).replace(folder / "server.pem")
        if number % 10:
            os.kill(gateway.program.pid, signal.SIGHUP)
        wait_for(lambda wanted=wanted: all(shown(gateway) == wanted for _ in range(LOOKS)))  # type: ignore[misc]


def shown(gateway: Gateway) -> bytes:
    """The certificate that a new connection gets."""
    assert gateway.trust is not None
    port = int(gateway.url.rpartition(":")[2])
    plain = socket.create_connection(("127.0.0.1", port), 30)
    with gateway.trust.wrap_socket(plain, server_hostname="127.0.0.1") as secure:
        return secure.getpeercert(binary_form=True) or b""


@dataclass
class Starts:
    """How long a node took from its start until it was ready, and the CPU of all its processes by then."""

    after_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    def once_more(self, gateway: Gateway) -> Gateway:
        """Start a node whose process has ended, and wait until it is ready."""
        began_s = time.monotonic()
        gateway = again(gateway)
        try:
            wait_for(lambda: ask(gateway, "/readyz") == 200)
        except TimeoutError:
            gateway.program.stop()
            raise
        self.after_s.append(time.monotonic() - began_s)
        self.cpu_s.append(Meter.of(gateway.program.pid).read_ns() / 1e9)
        return gateway


def kills(gateway: Gateway, count: int) -> tuple[Gateway, Starts, Starts, list[str]]:
    """`kill -9` in the middle of work, and a clean stop, in turn, `count` times each.

    Gives the node as it runs in the end, the starts after a kill, those after a stop, and the ids of all requests that
    were answered.
    """
    killed, stopped = Starts(), Starts()
    answered: list[str] = []
    for number in range(count):
        with Load(gateway, 8, pause_s=0.02) as load:  # who finds nobody there must not keep the machine busy
            load.until(100 + 37 * number)
            os.kill(gateway.program.pid, signal.SIGKILL)
            gateway = killed.once_more(gateway)
        answered += load.acknowledged
        gateway.program.stop()
        gateway = stopped.once_more(gateway)
    return gateway, killed, stopped, answered


def unrecorded(gateway: Gateway, answered: list[str]) -> int:
    """How many of the answered requests the trail does not have."""
    trail = b"".join(file.read_bytes() for file in (gateway.folder / "audit").rglob("*.jsonl"))
    return sum(f'"{one}"'.encode() not in trail for one in answered)


def is_intact(gateway: Gateway) -> bool:
    """What `mantlet audit verify` says of the trail."""
    command = [sys.executable, "-m", "mantlet", "events", "verify", "-c", str(gateway.folder / "mantlet.yaml")]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


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
            if b"mantlet.node.processes.worker" in Path(f"/proc/{child}/cmdline").read_bytes():
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


def under_load(gateway: Gateway, name: str, act: Callable[[Gateway, int], None], count: int) -> int:
    """Do it `count` times while three kinds of callers call; gives how many calls failed."""
    began_s = time.monotonic()
    with three_kinds(gateway) as loads:
        act(gateway, count)
    failures = [why for load in loads for why in load.failures]
    served, longest_s = sum(load.served for load in loads), max(load.longest_s for load in loads)
    print(
        f"{count} {name} in {time.monotonic() - began_s:.0f} s: {served} calls, {len(failures)} failed, "
        f"longest {longest_s * 1000:.0f} ms {failures[:3] or ''}",
        flush=True,
    )
    return len(failures)


def killed(workers: int, count: int, folder: Path) -> int:
    """The last act; gives how much is wrong."""
    with running(workers, folder) as gateway:
        last, after_kill, after_stop, answered = kills(gateway, count)
        last.program.stop()
    lost, intact = unrecorded(last, answered), is_intact(last)
    print(
        f"kill -9 under load, {count} times: {len(answered)} answered, {lost} of them without a record, trail "
        f"{'intact' if intact else 'BROKEN'}"
    )
    for name, starts in (("kill -9", after_kill), ("a clean stop", after_stop)):
        print(
            f"ready again after {name}: {statistics.median(starts.after_s):.2f} s (best {min(starts.after_s):.2f}, "
            f"longest {max(starts.after_s):.2f}), {statistics.median(starts.cpu_s):.2f} s of CPU in all processes"
        )
    return lost + (not intact) + (min(after_kill.after_s) > READY_AGAIN_S)


def main() -> int:
    """Measure, print, and exit with 1 when anything failed."""
    parser = argparse.ArgumentParser(prog="python -m bench.downtime", description=__doc__)
    parser.add_argument("--restarts", type=int, default=20)
    parser.add_argument("--reloads", type=int, default=100)
    parser.add_argument("--swaps", type=int, default=100, help="exchanges of the certificate")
    parser.add_argument("--in-flight", type=int, default=500)
    parser.add_argument("--kills", type=int, default=10, help="each followed by a clean stop, to compare with")
    parser.add_argument("--workers", type=int, default=2)
    wanted = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory(prefix="mantlet-downtime-") as name:
        folder = Path(name)
        if wanted.restarts or wanted.reloads:
            with running(wanted.workers, folder / "changed") as gateway:
                failed += under_load(gateway, "restarts", restarts, wanted.restarts)
                failed += under_load(gateway, "reloads", reloads, wanted.reloads)
        if wanted.swaps:
            with running(wanted.workers, folder / "renewed", has_tls=True) as gateway:
                failed += under_load(gateway, "certificates, over TLS", swaps, wanted.swaps)
        if wanted.in_flight:
            with running(wanted.workers, folder / "stopped") as gateway:
                whole, code = stopped_in_flight(gateway, wanted.in_flight)
                print(f"SIGTERM with {wanted.in_flight} in flight: {wanted.in_flight - whole} truncated, exit {code}")
                failed += wanted.in_flight - whole + (code != 0)
        if wanted.kills:
            failed += killed(wanted.workers, wanted.kills, folder / "killed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
