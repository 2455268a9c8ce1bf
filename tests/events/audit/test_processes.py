"""Real processes: several writers at once, killed at any moment, and with system calls made to fail."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mantlet.events.audit import verify

WRITER = """
import asyncio, os, sys
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from mantlet.core.clock import SYSTEM
from mantlet.core.record import Record, Trail
from mantlet.core.refusal import AuditUnavailable
from mantlet.events.audit.keys import AuditKeys
from mantlet.events.audit.writer import open_journal
from mantlet.events.config import AuditConfig

directory, durability, name, count = sys.argv[1:5]
keys = AuditKeys(b"k" * 32, Ed25519PrivateKey.from_private_bytes(b"s" * 32))

async def main():
    config = AuditConfig(
        path=directory, durability=durability, max_file_bytes=65536, checkpoint_every=50, retry_interval=0.01
    )
    async with open_journal(config, keys, clock=SYSTEM) as journal:
        print("ready", flush=True)
        async def work(worker):
            for number in range(int(count)):
                me = f"{name}-{worker}-{number}"
                try:
                    await journal.append(Record(Trail(me, "http", "192.0.2.1", 1.0), status=200))
                except AuditUnavailable:
                    await asyncio.sleep(0.01)
                else:
                    os.write(1, f"{me}\\n".encode())  # one write a line: nothing acknowledged is left in a buffer
        await asyncio.gather(*(work(worker) for worker in range(8)))
    print("done", flush=True)

asyncio.run(main())
"""


@pytest.fixture
def children() -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for child in started:
        child.kill()
        child.communicate()


def start(
    children: list[subprocess.Popen[bytes]], directory: Path, durability: str, name: str, count: int, *wrapper: str
) -> subprocess.Popen[bytes]:
    output = directory.parent / f"{name}.out"
    with output.open("wb") as out:
        child = subprocess.Popen(
            [*wrapper, sys.executable, "-c", WRITER, str(directory), durability, name, str(count)], stdout=out
        )
    children.append(child)
    return child


def acknowledged(directory: Path, name: str) -> set[str]:
    lines = (directory.parent / f"{name}.out").read_text().splitlines(keepends=True)
    return {line.strip() for line in lines if line.endswith("\n")} - {"ready", "done"}


def wait_for_lines(directory: Path, name: str, count: int) -> None:
    until = time.monotonic() + 30
    while len((directory.parent / f"{name}.out").read_bytes().splitlines()) < count:
        assert time.monotonic() < until, "the writer got nowhere"
        time.sleep(0.005)


def test_several_processes_write_one_chain(
    tmp_path: Path, trails: Any, children: list[subprocess.Popen[bytes]]
) -> None:
    """AUD-04"""
    directory = tmp_path / "audit"
    names = ["a", "b", "c"]
    for name in names:
        start(children, directory, "write", name, 150)
    assert [child.wait(60) for child in children] == [0, 0, 0]
    report = trails.check(directory)
    assert report.exit_code == verify.INTACT, report
    assert sorted(trails.request_ids(directory)) == sorted(
        f"{name}-{worker}-{number}" for name in names for worker in range(8) for number in range(150)
    )


@pytest.mark.parametrize("durability", ["write", "fsync"])
@pytest.mark.slow
def test_killed_writers_lose_nothing_they_acknowledged(
    tmp_path: Path, trails: Any, children: list[subprocess.Popen[bytes]], durability: str
) -> None:
    """AUD-02, AUD-04: again and again on the same trail, with a neighbour that lives on."""
    directory = tmp_path / "audit"
    start(children, directory, durability, "neighbour", 1_000_000)
    wait_for_lines(directory, "neighbour", 2)
    for turn in range(6):
        child = start(children, directory, durability, f"k{turn}", 1_000_000)
        wait_for_lines(directory, f"k{turn}", 40 + 37 * turn)
        child.send_signal(signal.SIGKILL)
        child.wait(10)
    children[0].send_signal(signal.SIGKILL)
    children[0].wait(10)
    last = start(children, directory, durability, "last", 1)
    assert last.wait(30) == 0
    report = trails.check(directory)
    assert report.exit_code == verify.INTACT, report
    written = set(trails.request_ids(directory))
    for name in ["neighbour", "last", *(f"k{turn}" for turn in range(6))]:
        assert acknowledged(directory, name) <= written


def test_a_killed_writer_loses_nothing_it_acknowledged(
    tmp_path: Path, trails: Any, children: list[subprocess.Popen[bytes]]
) -> None:
    """AUD-02"""
    directory = tmp_path / "audit"
    child = start(children, directory, "fsync", "k", 1_000_000)
    wait_for_lines(directory, "k", 60)
    child.send_signal(signal.SIGKILL)
    child.wait(10)
    assert start(children, directory, "fsync", "again", 1).wait(30) == 0
    assert trails.check(directory).exit_code == verify.INTACT
    assert acknowledged(directory, "k") <= set(trails.request_ids(directory))


INJECTIONS = [
    ("write", "write:error=EIO:when=40+1"),
    ("write", "write:error=ENOSPC:when=60..70"),
    ("write", "pwrite64:error=EIO:when=5..15"),
    ("fsync", "fdatasync:error=EIO:when=6..8"),
    ("fsync", "fdatasync,ftruncate:error=EIO:when=6..7"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("durability", "inject"), INJECTIONS)
def test_system_calls_that_really_fail_lose_nothing_acknowledged(
    tmp_path: Path, trails: Any, children: list[subprocess.Popen[bytes]], durability: str, inject: str
) -> None:
    """AUD-02: as the kernel would have it, not as our own layer thinks."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed: system calls cannot be made to fail")
    directory = tmp_path / "audit"
    calls = inject.partition(":")[0]
    # `-P` limits the failing calls to the trail's own files: standard output must keep telling the truth.
    paths = [f"-P{directory / name}" for name in (".head", *(f"audit-{n:08d}.jsonl" for n in range(1, 9)))]
    seen = tmp_path / "strace"
    options = ["-f", "-qq", "-o", str(seen), *paths, f"-etrace={calls}", f"-einject={inject}"]
    child = start(children, directory, durability, "s", 60, strace, *options)
    assert child.wait(60) == 0
    assert "(INJECTED)" in seen.read_text()
    assert start(children, directory, durability, "again", 1).wait(30) == 0
    report = trails.check(directory)
    assert report.exit_code == verify.INTACT, report
    assert acknowledged(directory, "s") <= set(trails.request_ids(directory))


WRITE_POINTS = [
    ("write", "mkdir", (1,)),
    ("write", "openat", (1, 2, 3)),
    ("write", "write", (1, 2, 3, 30)),
    ("write", "pwrite64", (1, 2, 3, 30)),
    ("write", "flock", (1, 2, 3, 40)),
    ("fsync", "fdatasync", (1, 2, 3, 30)),
    ("fsync", "fsync", (1, 2)),
]


@pytest.mark.slow
@pytest.mark.parametrize(("durability", "call", "times"), WRITE_POINTS)
def test_killed_before_any_system_call_of_writing_nothing_acknowledged_is_lost(
    tmp_path: Path,
    trails: Any,
    children: list[subprocess.Popen[bytes]],
    durability: str,
    call: str,
    times: tuple[int, ...],
) -> None:
    """AUD-02: SIGKILL right before the n-th one, so right after whatever stood before it; the next writer goes on."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed: no process can be killed at a system call")
    for number in times:
        directory = tmp_path / f"{number}" / "audit"
        directory.parent.mkdir()
        files = [directory, *(directory / name for name in (".head", *(f"audit-{n:08d}.jsonl" for n in range(1, 9))))]
        seen = tmp_path / f"strace-{number}"
        inject = f"-einject={call}:signal=SIGKILL:when={number}"
        options = ["-f", "-qq", "-o", str(seen), *(f"-P{file}" for file in files), f"-etrace={call}", inject]
        child = start(children, directory, durability, "k", 60, strace, *options)
        child.wait(60)
        assert "killed by SIGKILL" in seen.read_text(), f"{call} number {number} was not reached"
        assert start(children, directory, durability, "again", 1).wait(30) == 0
        report = trails.check(directory)
        assert report.exit_code == verify.INTACT, report
        assert acknowledged(directory, "k") <= set(trails.request_ids(directory))
