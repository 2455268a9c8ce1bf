import asyncio
import fcntl
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from mantlet.core.clock import SYSTEM
from mantlet.core.refusal import AuditUnavailable
from mantlet.events.audit import verify, writer
from mantlet.events.audit.administrative import note
from mantlet.events.audit.files import Files
from mantlet.events.metrics import Metrics, watch_journal


class Gated(Files):
    """Writes wait for the gate; or fail while `is_broken`."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.is_broken = False
        self.writes = 0

    def write(self, fd: int, octets: bytes) -> int:
        self.gate.wait(10)
        if self.is_broken:
            raise OSError(28, "No space left on device")
        self.writes += 1
        return super().write(fd, octets)


async def test_records_of_one_turn_are_one_group_in_order(tmp_path: Path, trails: Any) -> None:
    files = Gated()
    async with trails.journal(tmp_path / "audit", files=files) as journal:
        await journal.append(trails.record("first"))
        before = files.writes
        await asyncio.gather(*(journal.append(trails.record(f"r{number}")) for number in range(50)))
        assert files.writes == before + 1
    assert trails.request_ids(tmp_path / "audit") == ["first", *(f"r{number}" for number in range(50))]


async def test_callers_who_come_together_share_a_sync(
    tmp_path: Path, trails: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once a group was shared the next one waits while turns of the loop bring more; a lone caller's does not."""
    monkeypatch.setattr(writer, "GATHER_S", 60.0)
    files = Gated()
    async with trails.journal(tmp_path / "audit", files=files, durability="fsync") as journal:
        await asyncio.gather(*(journal.append(trails.record(f"together-{number}")) for number in range(2)))
        before = files.writes
        waiting = []
        for number in range(5):
            waiting.append(journal.append(trails.record(f"turn-{number}")))
            await asyncio.sleep(0)
        await asyncio.gather(*waiting)
        assert files.writes == before + 1
        for number in range(2):
            await journal.append(trails.record(f"alone-{number}"))
        assert files.writes == before + 3


@pytest.mark.parametrize("durability", ["write", "fsync"])
async def test_append_is_done_only_once_the_record_is_in_the_file(tmp_path: Path, trails: Any, durability: str) -> None:
    """AUD-02"""
    directory = tmp_path / "audit"
    async with trails.journal(directory, durability=durability) as journal:
        for number in range(20):
            await journal.append(trails.record(f"r{number}"))
            assert trails.request_ids(directory)[-1] == f"r{number}"


async def test_groups_gather_while_the_disk_is_slow_and_the_loop_goes_on(tmp_path: Path, trails: Any) -> None:
    files = Gated()
    async with trails.journal(tmp_path / "audit", files=files, durability="fsync") as journal:
        files.gate.clear()
        waiting = [journal.append(trails.record("r0"))]
        await asyncio.sleep(0)
        waiting += [journal.append(trails.record(f"r{number}")) for number in range(1, 100)]
        await asyncio.sleep(0)
        assert not any(done.done() for done in waiting)
        files.gate.set()
        await asyncio.gather(*waiting)
        assert journal.figures.groups == 2


async def test_a_full_disk_refuses_and_heals_without_restart(tmp_path: Path, trails: Any) -> None:
    """AUD-02"""
    directory, files = tmp_path / "audit", Gated()
    reports: list[tuple[str, str]] = []
    async with trails.journal(directory, files=files) as journal:
        journal._report = lambda event, why: reports.append((event, why))
        await journal.append(trails.record("before"))
        files.is_broken = True
        with pytest.raises(AuditUnavailable):
            await journal.append(trails.record("lost"))
        assert not journal.is_able
        with pytest.raises(AuditUnavailable):
            journal.append(trails.record("refused"))
        files.is_broken = False
        async with asyncio.timeout(5):
            while not journal.is_able:
                await asyncio.sleep(0)
        await journal.append(trails.record("after"))
    assert [event for event, _ in reports] == ["audit.failed", "audit.repaired"]
    assert all(why for _, why in reports)
    assert trails.request_ids(directory) == ["before", "after"]
    assert b'"event":"audit.repaired"' in (directory / "audit-00000001.jsonl").read_bytes()
    assert trails.check(directory).exit_code == verify.INTACT


async def test_what_waits_is_bounded(tmp_path: Path, trails: Any) -> None:
    files = Gated()
    async with trails.journal(tmp_path / "audit", files=files, durability="fsync", max_pending=3) as journal:
        files.gate.clear()
        waiting = [journal.append(trails.record("r"))]
        await asyncio.sleep(0)
        waiting += [journal.append(trails.record("r")) for _ in range(3)]
        assert not journal.is_able
        with pytest.raises(AuditUnavailable):
            journal.append(trails.record("r"))
        files.gate.set()
        await asyncio.gather(*waiting)
        assert journal.is_able


async def test_a_waiter_that_leaves_takes_nobody_and_no_record_with_it(tmp_path: Path, trails: Any) -> None:
    directory = tmp_path / "audit"
    async with trails.journal(directory) as journal:
        left, stays = journal.append(trails.record("left")), journal.append(trails.record("stays"))
        left.cancel()
        await stays
    assert trails.request_ids(directory) == ["left", "stays"]


async def test_closing_writes_what_waits_and_signs_the_end(tmp_path: Path, trails: Any) -> None:
    """RES-05"""
    directory = tmp_path / "audit"
    async with trails.journal(directory) as journal:
        waiting = [journal.append(trails.record(f"r{number}")) for number in range(10)]
    assert all(done.done() for done in waiting)
    assert len(trails.request_ids(directory)) == 10
    last = (tmp_path / "audit-checkpoints" / "checkpoints.jsonl").read_bytes().splitlines()[-1]
    assert json.loads(last)["reason"] == "stop"
    assert json.loads(last)["seq"] == trails.check(directory).last_seq


async def test_closing_does_not_wait_for_ever_for_a_disk_that_hangs(
    tmp_path: Path, trails: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RES-05"""
    monkeypatch.setattr("mantlet.events.audit.writer.CLOSE_GRACE_S", 0.01)
    files = Gated()
    async with trails.journal(tmp_path / "audit", files=files, durability="fsync") as journal:
        files.gate.clear()
        written = journal.append(trails.record("hangs"))
        await asyncio.sleep(0)
        waits = journal.append(trails.record("waits"))
    assert not written.done()
    with pytest.raises(AuditUnavailable):
        await waits
    files.gate.set()
    await written
    await asyncio.to_thread(journal._thread.join, 5)
    journal._trail.close()


async def test_figures_of_a_journal_are_shown(tmp_path: Path, trails: Any) -> None:
    metrics = Metrics()
    async with trails.journal(tmp_path / "audit") as journal:
        watch_journal(metrics, journal)
        await journal.append(trails.record())
        gauges = {gauge.name: gauge.value for gauge in metrics.snapshot().gauges}
    assert (gauges["mantlet_audit_records"], gauges["mantlet_audit_unable"]) == (1, 0)


async def test_two_journals_on_one_trail_write_one_chain(tmp_path: Path, trails: Any) -> None:
    """AUD-04: across a rotation too; whoever finds the lock taken waits in its thread."""
    directory = tmp_path / "audit"
    async with trails.journal(directory, max_file_bytes=65536) as one:
        async with trails.journal(directory, max_file_bytes=65536) as two:

            async def work(journal: Any, name: str) -> None:
                for number in range(200):
                    await journal.append(trails.record(f"{name}{number}"))

            await asyncio.gather(work(one, "a"), work(two, "b"))
    assert trails.check(directory).exit_code == verify.INTACT
    ids = trails.request_ids(directory)
    assert [name for name in ids if name[0] == "a"] == [f"a{number}" for number in range(200)]
    assert sorted(ids) == sorted(f"{name}{number}" for name in "ab" for number in range(200))


async def test_new_records_get_a_checkpoint_in_time(tmp_path: Path, trails: Any) -> None:
    """AUD-03"""
    async with trails.journal(tmp_path / "audit", checkpoint_interval=0.01) as journal:
        await journal.append(trails.record())
        path = tmp_path / "audit-checkpoints" / "checkpoints.jsonl"
        async with asyncio.timeout(5):
            while not path.exists() or b'"interval"' not in path.read_bytes():
                await asyncio.sleep(0.005)


async def test_a_new_trail_can_be_verified_soon(tmp_path: Path, trails: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """AUD-03: whoever tries a node asks in its first minute."""
    monkeypatch.setattr(writer, "FIRST_CHECKPOINT_S", 0.01)
    async with trails.journal(tmp_path / "audit", checkpoint_interval=1e6) as journal:
        path = tmp_path / "audit-checkpoints" / "checkpoints.jsonl"
        await asyncio.sleep(0)  # its clock runs before there is anything to sign
        await journal.append(trails.record())
        async with asyncio.timeout(5):
            while not path.exists() or b'"interval"' not in path.read_bytes():
                await asyncio.sleep(0.005)


async def test_administrative_acts_are_recorded(tmp_path: Path, trails: Any) -> None:
    directory = tmp_path / "audit"
    async with trails.journal(directory) as journal:
        await note(journal, SYSTEM, "key.created", object="ci", principal="default/iss/root")
    entry = json.loads((directory / "audit-00000001.jsonl").read_bytes().splitlines()[-1])
    assert (entry["event"], entry["object"], entry["principal"], entry["severity"]) == (
        "key.created",
        "ci",
        "default/iss/root",
        "notice",
    )


@pytest.mark.parametrize("durability", ["write", "fsync"])
async def test_a_writer_that_is_alone_lets_others_in_after_a_moment(
    tmp_path: Path, trails: Any, durability: str
) -> None:
    """AUD-04: it keeps the lock between groups, and one chain comes of it all the same."""
    directory = tmp_path / "audit"
    async with trails.journal(directory, durability=durability, is_alone=True) as alone:
        for number in range(3):
            await alone.append(trails.record(f"alone{number}"))
        assert await asyncio.to_thread(_is_locked, directory)
        async with trails.journal(directory, durability=durability) as other:
            await other.append(trails.record("other"))
        await alone.append(trails.record("alone3"))
    report = trails.check(directory)
    assert report.exit_code == verify.INTACT, report
    assert trails.request_ids(directory) == ["alone0", "alone1", "alone2", "other", "alone3"]


def _is_locked(directory: Path) -> bool:
    with (directory / ".head").open("rb") as head:
        try:
            fcntl.flock(head, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
