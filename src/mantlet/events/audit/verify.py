"""Check an audit trail offline: a copied directory, the chain key, and the public key of its checkpoints.

Shares no code with the writer (AUD-07): the format is read here a second time, from its description in docs/audit.md.

Exit codes: 0 the trail is whole. 1 it is not: the findings name what, the first bad record first. 2 it could not be
checked (no directory, no file, a bad key). 3 whole up to a torn last line, as a killed writer leaves it: start the
node once, which moves the tail aside and records it, and check again.

What is found: edits, insertions, deletions, reordering, loss of a tail or a file, forks, and with checkpoints rewritten
suffixes and roll-back, even by one who has the chain key. What remains: records after the last checkpoint can be cut
off together with `.head`; and a trail rolled back together with its checkpoints is whole in itself. Against both,
keep checkpoints (or only the last line) where the node cannot write, and give it as `expect`.
"""

import hashlib
import hmac
import json
import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

Problem = Literal[
    "edited",
    "inserted",
    "deleted",
    "reordered",
    "tail_lost",
    "file_lost",
    "fork",
    "rewritten",
    "rolled_back",
    "checkpoint_forged",
    "checkpoint_lost",
]

INTACT: Final = 0
TAMPERED: Final = 1
UNCHECKED: Final = 2
TORN: Final = 3

MAX_FINDINGS: Final = 100
_MAX_LINE: Final = 16 * 1024
_REMEMBERED: Final = 20_000  # macs of records before, to tell a fork from an insertion
_ZERO: Final = bytes(32)
_NAME: Final = re.compile(r"audit-(\d{8})\.jsonl")
_RECORD: Final = re.compile(rb'(\{"seq":(\d+),[\x20-\x7e]*),"mac":"([0-9a-f]{64})"\}')
_SIGNED: Final = re.compile(rb'(\{"n":\d+,[\x20-\x7e]*),"sig":"([0-9a-f]{128})"\}')


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong and where. `seq` is the number of the first record concerned, 0 when it has none."""

    problem: Problem
    file: str
    line: int
    seq: int
    text: str


@dataclass(slots=True)
class Report:
    """What a check found. `notes` are no findings: what the node recorded of itself, what was not given."""

    records: int = 0
    files: int = 0
    checkpoints: int = 0
    first_seq: int = 0
    last_seq: int = 0
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    is_torn: bool = False
    could_not: str = ""

    @property
    def exit_code(self) -> int:
        """See the top of the file."""
        if self.could_not:
            return UNCHECKED
        if self.findings:
            return TAMPERED
        return TORN if self.is_torn else INTACT


def verify(
    directory: Path,
    chain_key: bytes,
    *,
    checkpoints: Path | None = None,
    public_key: Ed25519PublicKey | None = None,
    expect: bytes | None = None,
    is_archive: bool = False,
) -> Report:
    """Check the trail in `directory`.

    `expect` is a checkpoint line kept elsewhere, which the trail must still contain. `is_archive` accepts that the
    first files were moved away, if a signed checkpoint stands for where the rest begins.
    """
    report = Report()
    if not directory.is_dir():
        report.could_not = f"{directory} is no directory"
        return report
    files = sorted(int(found[1]) for path in directory.iterdir() if (found := _NAME.fullmatch(path.name)))
    signed = _read_checkpoints(checkpoints, public_key, report)
    if expect is not None and (kept := _checkpoint(expect.strip(), public_key)) is not None:
        _compare_expected(kept, signed, report)
        signed = [*signed, kept]
    elif expect is not None:
        report.could_not = "the expected checkpoint is not signed by the given key"
        return report
    if not files and not signed:
        report.could_not = f"{directory} holds no audit-NNNNNNNN.jsonl"
        return report
    _Walk(directory, chain_key, signed, report, is_archive=is_archive).run(files)
    return report


class _Walk:
    """One pass over all records. `_last` and `_mac` are of the record before, as stated."""

    def __init__(
        self, directory: Path, key: bytes, signed: list[dict[str, Any]], report: Report, *, is_archive: bool
    ) -> None:
        self._directory = directory
        self._key = key
        self._report = report
        self._is_archive = is_archive
        self._due = OrderedDict((int(c["seq"]), c) for c in sorted(signed, key=lambda c: int(c["seq"])))
        self._last = 0
        self._mac = _ZERO
        self._good = (0, _ZERO)
        self._macs: OrderedDict[int, bytes] = OrderedDict({0: _ZERO})
        self._missing: Finding | None = None

    def run(self, files: Sequence[int]) -> None:
        expected = files[0] if files and self._is_archive else 1
        for number in files:
            for missing in range(expected, min(number, expected + MAX_FINDINGS)):
                self._find("file_lost", missing, 0, self._last + 1, "the file is gone")
            expected = number + 1
            self._file(number, is_last=number == files[-1], is_first=number == files[0])
        self._end(files)

    def _file(self, number: int, *, is_last: bool, is_first: bool) -> None:
        self._report.files += 1
        line_number = 0
        for line_number, line in enumerate(_lines(self._directory / _name(number)), 1):
            if not line.endswith(b"\n"):
                self._unended(number, line_number, is_last=is_last)
                continue
            found = _RECORD.fullmatch(line[:-1])
            if found is None:
                self._find("edited", number, line_number, self._last + 1, "the line is no record")
                continue
            if is_first and line_number == 1 and self._is_archive and number > 1:
                self._begin_archive(number, line)
            self._record(number, line_number, int(found[2]), found[1], bytes.fromhex(found[3].decode()))
            if line_number == 1 or b'"event":"audit.' in line:
                self._own_words(number, line)

    def _record(self, number: int, line: int, seq: int, content: bytes, mac: bytes) -> None:
        report = self._report
        report.records += 1
        report.first_seq = report.first_seq or seq
        if self._follows(self._mac, content, mac) and seq == self._last + 1:
            self._accept(number, line, seq, mac)
            return
        good_seq, good_mac = self._good
        if seq == good_seq + 1 and self._follows(good_mac, content, mac):
            # The chain goes on behind what stood between: that was named already.
            self._accept(number, line, seq, mac)
            return
        self._name_bad(number, line, seq, content, mac)

    def _name_bad(self, number: int, line: int, seq: int, content: bytes, mac: bytes) -> None:
        expected = self._last + 1
        before = self._macs.get(seq - 1)
        is_known = before is not None and self._follows(before, content, mac)
        if is_known and self._macs.get(seq) == mac:
            self._find("inserted", number, line, seq, f"record {seq} stands here a second time")
        elif is_known and seq <= self._last:
            self._find("fork", number, line, seq, f"a second record {seq} follows the same record {seq - 1}")
            self._last, self._mac = seq, mac
        elif seq > expected:
            elsewhere = self._stands_later(number, line, expected)
            problem: Problem = "reordered" if elsewhere else "deleted"
            where = "stands later" if elsewhere else "is gone" if seq == expected + 1 else f"to {seq - 1} are gone"
            self._find(problem, number, line, expected, f"record {expected} {where}")
            self._last, self._mac = seq, mac
            self._remember(seq, mac)
        elif seq < expected:
            problem = "reordered" if before is None or seq not in self._macs else "inserted"
            self._find(problem, number, line, seq, f"record {seq} stands after record {self._last}")
        else:
            problem = "inserted" if self._stands_later(number, line, seq) else "edited"
            self._find(problem, number, line, seq, f"the mac of record {seq} does not fit its content and place")
            if problem == "edited":
                self._last, self._mac = seq, mac
                self._good = (seq, mac)  # what follows is judged against what this one claims
                self._remember(seq, mac)

    def _accept(self, number: int, line: int, seq: int, mac: bytes) -> None:
        self._last, self._mac = seq, mac
        self._good = (seq, mac)
        self._remember(seq, mac)
        self._report.last_seq = seq
        due = self._due.pop(seq, None)
        if due is not None and due["mac"] != mac.hex():
            self._find("rewritten", number, line, seq, "the record is not the one that a checkpoint was signed for")

    def _end(self, files: Sequence[int]) -> None:
        for seq, checkpoint in self._due.items():
            if seq <= self._last:
                continue  # in a gap or at a bad record: named there
            name = _name(int(checkpoint["file"]))
            if int(checkpoint["file"]) not in files:
                self._find("file_lost", int(checkpoint["file"]), 0, self._last + 1, f"{name} is gone: {_signed(seq)}")
            else:
                self._find("tail_lost", int(checkpoint["file"]), 0, self._last + 1, f"records are gone: {_signed(seq)}")
            break
        self._report.last_seq = max(self._report.last_seq, self._last)

    def _begin_archive(self, number: int, line: bytes) -> None:
        notes = _notes(line)
        claimed = (_integer(notes.get("previous_seq")), str(notes.get("previous_mac", "")))
        signed = self._due.get(claimed[0])
        if signed is None or signed["mac"] != claimed[1]:
            self._find("file_lost", number - 1, 0, 1, "no signed checkpoint stands for what came before the first file")
            return
        self._last, self._mac = claimed[0], bytes.fromhex(claimed[1])
        self._good = (self._last, self._mac)
        self._remember(self._last, self._mac)
        for seq in [seq for seq in self._due if seq <= self._last]:
            del self._due[seq]
        self._report.notes.append(
            f"records before {self._last + 1} are archived elsewhere; a checkpoint vouches for them"
        )

    def _own_words(self, number: int, line: bytes) -> None:
        try:
            record = json.loads(line)
        except ValueError:
            return
        event, notes = record.get("event"), _notes(line)
        if event in ("audit.lost", "audit.damaged"):
            text = (
                f"the node itself found {notes.get('found_bytes')} bytes of which {notes.get('good_bytes')} were to be"
            )
            kind: Problem = "tail_lost" if event == "audit.lost" else "edited"
            self._find(kind, _number(str(notes.get("file", ""))) or number, 0, int(record["seq"]), text)
        elif event in ("audit.recovered", "audit.repaired"):
            self._report.notes.append(f"{_name(number)}: record {record['seq']}: {event} {json.dumps(notes)}")

    def _unended(self, number: int, line: int, *, is_last: bool) -> None:
        if is_last:
            self._report.is_torn = True
            self._report.notes.append(f"{_name(number)}: line {line} is torn")
        else:
            self._find("edited", number, line, self._last + 1, "the last line is cut off")

    def _stands_later(self, number: int, line: int, seq: int) -> bool:
        wanted = b'{"seq":%d,' % seq
        for later, text in enumerate(_lines(self._directory / _name(number)), 1):
            if later > line and text.startswith(wanted):
                return True
        return False

    def _follows(self, before: bytes, content: bytes, mac: bytes) -> bool:
        return hmac.compare_digest(hmac.digest(self._key, before + content, "sha256"), mac)

    def _remember(self, seq: int, mac: bytes) -> None:
        self._macs[seq] = mac
        if len(self._macs) > _REMEMBERED:
            self._macs.popitem(last=False)

    def _find(self, problem: Problem, number: int, line: int, seq: int, text: str) -> None:
        if len(self._report.findings) < MAX_FINDINGS:
            self._report.findings.append(Finding(problem, _name(number), line, seq, text))


# --- checkpoints ---------------------------------------------------------------------------------------------------


def _read_checkpoints(path: Path | None, key: Ed25519PublicKey | None, report: Report) -> list[dict[str, Any]]:
    if path is None or key is None:
        missing = "checkpoints were" if path is None else "public key was"
        report.notes.append(f"no {missing} given: a lost tail or a rewritten trail cannot be found")
        return []
    file = path / "checkpoints.jsonl" if path.is_dir() else path
    if not file.exists():
        report.notes.append(f"{file} does not exist: a lost tail or a rewritten trail cannot be found")
        return []
    good: list[dict[str, Any]] = []
    previous, expected = "0" * 64, 1
    for number, line in enumerate(_lines(file), 1):
        if not line.endswith(b"\n"):
            report.notes.append(f"{file.name}: line {number} is torn")
            break
        checkpoint = _checkpoint(line[:-1], key)
        if checkpoint is None:
            report.findings.append(Finding("checkpoint_forged", file.name, number, 0, "the signature does not fit"))
        else:
            if checkpoint["previous"] != previous or checkpoint["n"] != expected:
                text = f"checkpoint {checkpoint['n']} does not follow the one before it"
                report.findings.append(Finding("checkpoint_lost", file.name, number, int(checkpoint["seq"]), text))
            good.append(checkpoint)
            expected = int(checkpoint["n"])
        previous, expected = hashlib.sha256(line).hexdigest(), expected + 1
    report.checkpoints = len(good)
    return good


def _checkpoint(line: bytes, key: Ed25519PublicKey | None) -> dict[str, Any] | None:
    found = _SIGNED.fullmatch(line)
    if found is None or key is None:
        return None
    try:
        key.verify(bytes.fromhex(found[2].decode()), b"mantlet-audit-checkpoint-v1\n" + found[1])
        checkpoint: dict[str, Any] = json.loads(found[1] + b"}")
    except (InvalidSignature, ValueError):
        return None
    return checkpoint


def _compare_expected(kept: dict[str, Any], signed: list[dict[str, Any]], report: Report) -> None:
    if all(checkpoint["n"] < kept["n"] for checkpoint in signed):
        text = f"checkpoint {kept['n']} was seen before and is gone: the trail was rolled back"
        report.findings.append(Finding("rolled_back", "checkpoints.jsonl", 0, int(kept["seq"]), text))


# --- small things --------------------------------------------------------------------------------------------------


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while line := file.readline(_MAX_LINE):
            yield line


def _notes(line: bytes) -> dict[str, Any]:
    try:
        notes = json.loads(line).get("notes", {})
    except ValueError:
        return {}
    return notes if isinstance(notes, dict) else {}


def _integer(text: object) -> int:
    return int(text) if isinstance(text, str) and text.isdigit() else -1


def _name(number: int) -> str:
    return f"audit-{number:08d}.jsonl"


def _number(name: str) -> int:
    found = _NAME.fullmatch(name)
    return int(found[1]) if found else 0


def _signed(seq: int) -> str:
    return f"a checkpoint was signed for record {seq}"
