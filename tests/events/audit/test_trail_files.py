"""What is found at the next start: torn tails, missing heads, losses."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from mantlet.events.audit import verify
from mantlet.events.audit.files import Files

FIRST = "audit-00000001.jsonl"


def events(directory: Path) -> list[str]:
    lines = [line for path in sorted(directory.glob("audit-*.jsonl")) for line in path.read_bytes().splitlines()]
    return [event for line in lines if (event := json.loads(line)["event"]) != "call"]


def without_checkpoints(directory: Path) -> None:
    # As if the node had been killed before it could sign: else the cut record is one that was signed for.
    (directory.with_name("audit-checkpoints") / "checkpoints.jsonl").unlink()


@pytest.mark.parametrize("has_head", [True, False])
async def test_a_tail_torn_at_any_byte_is_recorded_and_the_chain_goes_on(
    tmp_path: Path, trails: Any, has_head: bool
) -> None:
    """AUD-04: a writer killed at any byte of its last write: the head not moved yet, nothing acknowledged."""
    directory = tmp_path / "audit"
    await trails.write(directory, 2)
    before = (directory / FIRST).read_bytes()
    head = (directory / ".head").read_bytes()
    await trails.write(directory, 1)
    without_checkpoints(directory)
    after = (directory / FIRST).read_bytes()
    for cut in range(len(before), len(after) + 1):
        for path in directory.glob("*.torn-*"):
            path.unlink()
        (directory / FIRST).write_bytes(after[:cut])
        (directory / ".head").write_bytes(head if has_head else b"")
        if len(before) < cut < len(after):
            assert trails.check(directory).exit_code == verify.TORN
        await trails.write(directory, 1, checkpoint_interval=1e6)
        without_checkpoints(directory)
        report = trails.check(directory)
        assert report.exit_code == verify.INTACT, (cut, report)
        is_torn = len(before) < cut < len(after)
        assert ("audit.recovered" in events(directory)) == is_torn
        kept = b"".join(path.read_bytes() for path in directory.glob("*.torn-*"))
        assert kept == (after[len(before) : cut] if is_torn else b"")


async def test_a_torn_head_is_not_believed(tmp_path: Path, trails: Any) -> None:
    """AUD-04"""
    directory = tmp_path / "audit"
    await trails.write(directory, 3)
    head = (directory / ".head").read_bytes()
    for cut in range(len(head)):
        (directory / ".head").write_bytes(head[:cut] + b"\xff" * (len(head) - cut))
        await trails.write(directory, 1)
    assert trails.check(directory).exit_code == verify.INTACT


async def test_a_new_file_torn_at_any_byte_of_its_first_record_is_used(tmp_path: Path, trails: Any) -> None:
    """AUD-04: a writer killed while it rotates."""
    directory = tmp_path / "audit"
    await trails.write(directory, 2)
    good, head = (directory / FIRST).read_bytes(), (directory / ".head").read_bytes()
    async with trails.journal(directory, max_file_bytes=65536) as journal:
        while not (directory / "audit-00000002.jsonl").exists():
            await journal.append(trails.record("x", notes={"filler": "x" * 900}))
            last, last_head = (directory / FIRST).read_bytes(), (directory / ".head").read_bytes()
    without_checkpoints(directory)
    first_line = (directory / "audit-00000002.jsonl").read_bytes().partition(b"\n")[0]
    assert good
    assert head
    for cut in range(0, len(first_line), 7):
        for path in [*directory.glob("*.torn-*"), *directory.glob("audit-*.jsonl")]:
            path.unlink()
        (directory / FIRST).write_bytes(last)
        (directory / ".head").write_bytes(b"")
        (directory / "audit-00000002.jsonl").write_bytes(first_line[:cut])
        await trails.write(directory, 100, max_file_bytes=65536)
        report = trails.check(directory)
        assert report.exit_code == verify.INTACT, (cut, report)
        without_checkpoints(directory)
    assert last_head


@pytest.mark.parametrize("has_head", [True, False])
async def test_whole_lines_that_do_not_fit_are_not_cleaned_away(tmp_path: Path, trails: Any, has_head: bool) -> None:
    """AUD-03: an edited record must not pass for a torn tail after the head was taken away."""
    directory = tmp_path / "audit"
    await trails.write(directory, 5)
    without_checkpoints(directory)
    (directory / FIRST).write_bytes((directory / FIRST).read_bytes().replace(b'"r2"', b'"r9"'))
    if not has_head:
        (directory / ".head").unlink()
    await trails.write(directory, 5)
    report = trails.check(directory)
    assert report.exit_code == verify.TAMPERED
    assert (report.findings[0].problem, report.findings[0].seq) == ("edited", 4)


@pytest.mark.parametrize("keeps", ["head", "checkpoints"])
async def test_what_is_gone_at_start_is_recorded_and_leaves_a_gap(tmp_path: Path, trails: Any, keeps: str) -> None:
    """AUD-03, AUD-04"""
    directory = tmp_path / "audit"
    await trails.write(directory, 5)
    if keeps == "head":
        without_checkpoints(directory)
    else:
        (directory / ".head").unlink()
    path = directory / FIRST
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:3]))
    await trails.write(directory, 5)
    assert "audit.lost" in events(directory)
    report = trails.check(directory)
    assert (report.exit_code, report.findings[0].problem, report.findings[0].seq) == (verify.TAMPERED, "deleted", 4)


async def test_a_file_cut_or_removed_under_a_running_node_is_noticed(tmp_path: Path, trails: Any) -> None:
    """AUD-03"""
    directory = tmp_path / "audit"
    async with trails.journal(directory, checkpoint_interval=0.01) as journal:
        for number in range(5):
            await journal.append(trails.record(f"r{number}"))
        os.truncate(directory / FIRST, 700)
        await journal.append(trails.record("after"))
        assert "audit.lost" in [
            json.loads(line)["event"] for line in (directory / "audit-00000002.jsonl").read_bytes().splitlines()
        ]
    assert trails.check(directory).exit_code == verify.TAMPERED


async def test_files_and_directories_are_for_this_user_alone(tmp_path: Path, trails: Any) -> None:
    directory = tmp_path / "audit"
    await trails.write(directory, 1)
    assert directory.stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in directory.iterdir())


class Killed(BaseException):
    """Where a process ended for good: nothing of it runs after this."""


class Dying(Files):
    """The operating system of a writer that is killed when it would move the shared head on."""

    is_armed = False

    def write_at(self, fd: int, data: bytes, offset: int) -> None:
        if self.is_armed and any(data):
            raise Killed
        super().write_at(fd, data, offset)


async def test_a_writer_killed_while_it_begins_a_file_forks_no_chain(tmp_path: Path, trails: Any) -> None:
    """AUD-04: its neighbour's file and the shared head said that nothing had happened; a record stood in a new file."""
    directory = tmp_path / "audit"
    files = Dying()
    async with trails.journal(directory) as neighbour:
        async with trails.journal(directory, files=files) as killed:
            await killed.append(trails.record("r1"))
            await neighbour.append(trails.record("r2"))
            trail = killed._trail
            trail.append([])
            files.is_armed = True
            with pytest.raises(Killed):
                trail._begin_file(trail.head, "audit.opened", {})
            files.is_armed = False
            trail.close()
            await neighbour.append(trails.record("r3"))
    assert trails.check(directory).exit_code == verify.INTACT
    assert trails.request_ids(directory) == ["r1", "r2", "r3"]
