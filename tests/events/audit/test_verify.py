import hashlib
import hmac
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mantlet.events.audit import verify

Lines = list[bytes]
FIRST = "audit-00000001.jsonl"


@pytest.fixture
async def trail(tmp_path: Path, trails: Any) -> Path:
    """Records 1 (opened) to 21, checkpoints at 10, 20 and the end."""
    await trails.write(tmp_path / "audit", 20, checkpoint_every=10)
    return tmp_path / "audit"


def change(directory: Path, act: Callable[[Lines], Lines], name: str = FIRST) -> None:
    path = directory / name
    path.write_bytes(b"".join(act(path.read_bytes().splitlines(keepends=True))))


def forged(lines: Lines, index: int, key: bytes) -> bytes:
    """The record at `index` with another principal and a mac under `key`."""
    before = bytes.fromhex(json.loads(lines[index - 1])["mac"])
    content = lines[index].replace(b"alice", b"mallory").rpartition(b',"mac":"')[0]
    return content + b',"mac":"' + hmac.digest(key, before + content, "sha256").hex().encode() + b'"}\n'


def rewritten(lines: Lines, index: int, key: bytes) -> Lines:
    """Everything from `index` on changed and chained anew, as whoever has the chain key can."""
    lines = lines[:]
    for at in range(index, len(lines)):
        lines[at] = forged(lines, at, key)
    return lines


async def test_an_untouched_trail_is_whole(trail: Path, trails: Any) -> None:
    """AUD-03"""
    report = trails.check(trail)
    assert (report.exit_code, report.findings, report.records, report.last_seq) == (verify.INTACT, [], 21, 21)
    assert report.checkpoints == 3


TAMPERING: list[tuple[str, Callable[[Lines], Lines], str, int]] = [
    ("edit", lambda ls: [*ls[:5], ls[5].replace(b"alice", b"mallo"), *ls[6:]], "edited", 6),
    ("edit of a mac", lambda ls: [*ls[:5], ls[5][:-10] + b"00000000" + ls[5][-3:][1:], *ls[6:]], "edited", 6),
    ("edit of the first", lambda ls: [ls[0].replace(b"node", b"nude", 1), *ls[1:]], "edited", 1),
    ("edit of the last", lambda ls: [*ls[:-1], ls[-1].replace(b"alice", b"mallo")], "edited", 21),
    ("a record that is none", lambda ls: [*ls[:5], b"{}\n", *ls[6:]], "edited", 6),
    ("an inserted line", lambda ls: [*ls[:5], b"hello\n", *ls[5:]], "edited", 6),
    ("insertion of a forged record", lambda ls: [*ls[:5], forged(ls, 5, b"x" * 32), *ls[5:]], "inserted", 6),
    ("insertion of an old record", lambda ls: [*ls[:9], ls[4], *ls[9:]], "inserted", 5),
    ("deletion", lambda ls: [*ls[:5], *ls[6:]], "deleted", 6),
    ("deletion of three", lambda ls: [*ls[:5], *ls[8:]], "deleted", 6),
    ("deletion of the first", lambda ls: ls[1:], "deleted", 1),
    ("swap of neighbours", lambda ls: [*ls[:5], ls[6], ls[5], *ls[7:]], "reordered", 6),
    ("move", lambda ls: [*ls[:5], *ls[6:12], ls[5], *ls[12:]], "reordered", 6),
    ("tail loss", lambda ls: ls[:-3], "tail_lost", 19),
    ("loss of all records", lambda ls: [], "tail_lost", 1),
    ("rewritten with another key", lambda ls: rewritten(ls, 5, b"x" * 32), "edited", 6),
    ("rewritten with the chain key", lambda ls: rewritten(ls, 5, b"k" * 32), "rewritten", 10),
    ("rewritten and cut", lambda ls: rewritten(ls, 5, b"k" * 32)[:9], "tail_lost", 10),
]


@pytest.mark.parametrize(("act", "problem", "seq"), [t[1:] for t in TAMPERING], ids=[t[0] for t in TAMPERING])
async def test_tampering_is_found_and_the_first_bad_record_named(
    trail: Path, trails: Any, act: Callable[[Lines], Lines], problem: str, seq: int
) -> None:
    """AUD-03"""
    change(trail, act)
    report = trails.check(trail)
    assert report.exit_code == verify.TAMPERED
    first = report.findings[0]
    assert (first.problem, first.seq, first.file) == (problem, seq, FIRST)


async def test_every_single_changed_byte_is_found(trail: Path, trails: Any) -> None:
    """AUD-03: an edit anywhere in a record, its mac included."""
    path = trail / FIRST
    whole = path.read_bytes()
    start = whole.index(b'{"seq":7,')
    for at in range(start, whole.index(b"\n", start)):
        changed = bytearray(whole)
        changed[at] ^= 1
        path.write_bytes(bytes(changed))
        assert trails.check(trail).exit_code == verify.TAMPERED, at


async def test_one_cause_gives_one_finding(trail: Path, trails: Any) -> None:
    change(trail, lambda ls: [*ls[:5], ls[5].replace(b"alice", b"mallo"), *ls[6:]])
    assert len(trails.check(trail).findings) == 1


async def test_a_fork_is_found(trail: Path, trails: Any) -> None:
    """AUD-03: two validly chained records of one number, as two writers or a restored backup would leave."""
    change(trail, lambda ls: [*ls[:15], *rewritten(ls, 12, b"k" * 32)[12:15], *ls[15:]])
    first = trails.check(trail).findings[0]
    assert (first.problem, first.seq) == ("fork", 13)


@pytest.fixture
async def rotated(tmp_path: Path, trails: Any) -> Path:
    await trails.write(tmp_path / "audit", 800, max_file_bytes=65536)
    assert len(list((tmp_path / "audit").glob("audit-*.jsonl"))) > 3
    return tmp_path / "audit"


@pytest.mark.parametrize("which", [0, 1, -1])
async def test_a_lost_file_is_found(rotated: Path, trails: Any, which: int) -> None:
    """AUD-03"""
    files = sorted(rotated.glob("audit-*.jsonl"))
    files[which].unlink()
    report = trails.check(rotated)
    assert report.exit_code == verify.TAMPERED
    assert (report.findings[0].problem, report.findings[0].file) == ("file_lost", files[which].name)


async def test_swapped_files_are_found(rotated: Path, trails: Any) -> None:
    """AUD-03"""
    one, two = sorted(rotated.glob("audit-*.jsonl"))[1:3]
    swapped = one.read_bytes(), two.read_bytes()
    two.write_bytes(swapped[0])
    one.write_bytes(swapped[1])
    assert trails.check(rotated).exit_code == verify.TAMPERED


async def test_rotation_carries_the_chain(rotated: Path, trails: Any) -> None:
    """AUD-04"""
    report = trails.check(rotated)
    assert report.exit_code == verify.INTACT
    assert trails.request_ids(rotated) == [f"r{number}" for number in range(800)]


async def test_archived_files_need_a_signed_checkpoint(rotated: Path, trails: Any) -> None:
    sorted(rotated.glob("audit-*.jsonl"))[0].unlink()
    assert trails.check(rotated, is_archive=True).exit_code == verify.INTACT
    shutil.rmtree(rotated.with_name("audit-checkpoints"))
    assert trails.check(rotated, is_archive=True).findings[0].problem == "file_lost"


async def test_roll_back_with_its_checkpoints_is_found_by_a_checkpoint_kept_elsewhere(
    trail: Path, trails: Any, tmp_path: Path
) -> None:
    """AUD-03"""
    old = tmp_path / "old"
    shutil.copytree(trail, old / "audit")
    shutil.copytree(trail.with_name("audit-checkpoints"), old / "audit-checkpoints")
    await trails.write(trail, 5)
    kept = (trail.with_name("audit-checkpoints") / "checkpoints.jsonl").read_bytes().splitlines()[-1]
    assert trails.check(trail, expect=kept).exit_code == verify.INTACT
    assert trails.check(old / "audit").exit_code == verify.INTACT  # the known residual: whole in itself
    report = trails.check(old / "audit", expect=kept)
    assert (report.exit_code, report.findings[0].problem) == (verify.TAMPERED, "rolled_back")


@pytest.mark.parametrize(
    ("act", "problem"),
    [
        (lambda ls: [ls[0].replace(b'"count"', b'"start"'), *ls[1:]], "checkpoint_forged"),
        (lambda ls: ls[1:], "checkpoint_lost"),
        (lambda ls: [ls[0], *ls[2:]], "checkpoint_lost"),
        (lambda ls: [ls[1], ls[0], *ls[2:]], "checkpoint_lost"),
    ],
)
async def test_tampering_with_checkpoints_is_found(
    trail: Path, trails: Any, act: Callable[[Lines], Lines], problem: str
) -> None:
    """AUD-03"""
    checkpoints = trail.with_name("audit-checkpoints")
    change(checkpoints, act, "checkpoints.jsonl")
    report = trails.check(trail)
    assert (report.exit_code, report.findings[0].problem) == (verify.TAMPERED, problem)


async def test_a_checkpoint_of_another_key_does_not_count(trail: Path, trails: Any) -> None:
    report = verify.verify(
        trail,
        trails.CHAIN_KEY,
        checkpoints=trail.with_name("audit-checkpoints"),
        public_key=Ed25519PrivateKey.generate().public_key(),
    )
    assert report.findings[0].problem == "checkpoint_forged"


async def test_a_copied_directory_verifies_and_the_wrong_key_does_not(trail: Path, trails: Any, tmp_path: Path) -> None:
    """AUD-07"""
    copy = tmp_path / "backup"
    shutil.copytree(trail, copy)
    (copy / ".head").unlink()
    assert verify.verify(copy, trails.CHAIN_KEY).exit_code == verify.INTACT
    assert verify.verify(copy, b"x" * 32).findings[0].seq == 1
    assert verify.verify(tmp_path / "none", trails.CHAIN_KEY).exit_code == verify.UNCHECKED
    (tmp_path / "empty").mkdir()
    assert verify.verify(tmp_path / "empty", trails.CHAIN_KEY).exit_code == verify.UNCHECKED


def test_the_verifier_shares_no_code_with_the_writer() -> None:
    """AUD-07"""
    source = Path(str(verify.__file__)).read_text()
    assert "from mantlet" not in source
    assert "import mantlet" not in source


async def test_the_format_is_what_its_description_says(trail: Path, trails: Any) -> None:
    """AUD-07: read by hand, with nothing of ours."""
    before = bytes(32)
    for number, line in enumerate((trail / FIRST).read_bytes().splitlines(), 1):
        entry = json.loads(line)
        content = line[: line.rindex(b',"mac":"')]
        before = hmac.new(trails.CHAIN_KEY, before + content, hashlib.sha256).digest()
        assert (entry["seq"], entry["mac"]) == (number, before.hex())
