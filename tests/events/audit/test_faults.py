"""Every system call of the trail is made to fail in turn: what was acknowledged is there, what is there is whole."""

import asyncio
import errno
import json
from pathlib import Path
from typing import Any

import pytest

from mantlet.core.refusal import AuditUnavailable
from mantlet.events.audit import verify
from mantlet.events.audit.files import Files

OPERATIONS = (
    *("make_directory", "names", "open", "write", "write_at", "read_at", "size", "truncate"),
    *("sync", "sync_directory", "lock"),
)


class Faulty(Files):
    """Fails from the `first` matching operation on, `count` times; `torn` lets a failing write take half its bytes."""

    def __init__(self, operations: tuple[str, ...], first: int, count: int, code: int, torn: bool) -> None:
        self.operations = operations
        self.first, self.count, self.code, self.torn = first, count, code, torn
        self.seen = self.failed = 0

    def __getattribute__(self, name: str) -> Any:
        method = super().__getattribute__(name)
        if name not in OPERATIONS or name not in self.operations:
            return method

        def call(*args: Any, **kwargs: Any) -> Any:
            self.seen += 1
            if self.first <= self.seen < self.first + self.count:
                self.failed += 1
                if name == "write" and self.torn:
                    method(args[0], args[1][: len(args[1]) // 2])
                raise OSError(self.code, name)
            return method(*args, **kwargs)

        return call


async def able(journal: Any) -> None:
    """Until it works again. It is a thread that mends it: whoever asks without rest keeps it from doing so."""
    async with asyncio.timeout(60):
        while not journal.is_able:
            await asyncio.sleep(0.0005)


async def drive(directory: Path, trails: Any, files: Faulty, **settings: Any) -> tuple[list[str], list[str]]:
    """Append groups of three until the trail works again after its failure; the acknowledged and the refused."""
    acknowledged: list[str] = []
    refused: list[str] = []

    async def one(journal: Any, name: str) -> None:
        try:
            await journal.append(trails.record(name, notes={"filler": "x" * 600}))
        except AuditUnavailable:
            refused.append(name)
        else:
            acknowledged.append(name)

    async with trails.journal(
        directory, files=files, max_file_bytes=65536, retry_interval=0.001, **settings
    ) as journal:
        for group in range(45):
            await able(journal)
            await asyncio.gather(*(one(journal, f"g{group}-{number}") for number in range(3)))
    return acknowledged, refused


@pytest.mark.parametrize(
    ("durability", "is_alone"), [("write", False), ("fsync", False), ("write", True), ("fsync", True)]
)
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("points", [4, pytest.param(10_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("code", "torn"), [(errno.EIO, False), (errno.ENOSPC, True)])
async def test_each_operation_failing_in_turn_loses_nothing_acknowledged(
    tmp_path: Path, trails: Any, durability: str, operation: str, code: int, torn: bool, points: int, is_alone: bool
) -> None:
    """AUD-02, AUD-03: and the trail heals without a restart."""
    plain = Faulty((operation,), 0, 0, code, torn)
    settings: dict[str, Any] = {"durability": durability, "checkpoint_every": 20, "is_alone": is_alone}
    await drive(tmp_path / "count", trails, plain, **settings)
    step = max(1, plain.seen // points)
    met = missed = 0
    for first in range(1, plain.seen + 1, step):
        directory = tmp_path / str(first) / "audit"
        faulty = Faulty((operation,), first, 2 if first % 2 else 1, code, torn)
        try:
            acknowledged, refused = await drive(directory, trails, faulty, **settings)
        except AuditUnavailable:
            continue  # it failed while opening: nothing was taken
        if not faulty.failed:
            # How many records share a group is the machine's affair, so another run may end before this operation.
            missed += 1
            continue
        met += 1
        report = trails.check(directory)
        assert report.exit_code == verify.INTACT, (operation, first, report)
        written = trails.request_ids(directory)
        assert [name for name in written if name not in set(refused)] == acknowledged
        assert len(acknowledged) + len(refused) == 135
        assert not set(refused) & set(written), "a refused record was cut off again"
    assert met >= missed


async def test_a_group_that_cannot_be_cut_off_either_stays_readable(tmp_path: Path, trails: Any) -> None:
    """AUD-02: write and truncate fail together; the torn tail is moved aside and recorded."""
    directory = tmp_path / "audit"
    faulty = Faulty(("write", "truncate"), 20, 3, errno.EIO, True)
    acknowledged, _ = await drive(directory, trails, faulty, durability="write")
    assert trails.check(directory).exit_code == verify.INTACT
    assert set(acknowledged) <= set(trails.request_ids(directory))


async def test_after_a_failed_sync_nothing_more_goes_to_that_file(tmp_path: Path, trails: Any) -> None:
    """AUD-02: the kernel may drop the dirty pages and report the error once."""
    directory = tmp_path / "audit"
    async with trails.journal(
        directory, files=Faulty(("sync",), 8, 1, errno.EIO, False), durability="fsync"
    ) as journal:
        refused = 0
        for number in range(20):
            await able(journal)
            try:
                await journal.append(trails.record(f"r{number}"))
            except AuditUnavailable:
                refused += 1
                size = (directory / "audit-00000001.jsonl").stat().st_size
    assert refused == 1
    assert (directory / "audit-00000001.jsonl").stat().st_size == size
    first = json.loads((directory / "audit-00000002.jsonl").read_bytes().partition(b"\n")[0])
    assert first["event"] == "audit.opened"
    assert trails.check(directory).exit_code == verify.INTACT


async def test_a_failed_checkpoint_does_not_fail_records(tmp_path: Path, trails: Any) -> None:
    directory = tmp_path / "audit"
    await trails.write(directory, 1)
    checkpoints = tmp_path / "audit-checkpoints" / "checkpoints.jsonl"
    checkpoints.unlink()
    checkpoints.mkdir()  # nothing can be appended to it
    with pytest.raises(AuditUnavailable):  # at start it is an error: nobody has been served yet
        await trails.write(directory, 1)
    checkpoints.rmdir()
    async with trails.journal(directory, checkpoint_every=5) as journal:
        checkpoints.unlink()
        checkpoints.mkdir()
        for number in range(20):
            await journal.append(trails.record(f"r{number}"))
        assert journal.checkpoint_failures >= 3
        checkpoints.rmdir()
    assert trails.check(directory).exit_code == verify.INTACT
