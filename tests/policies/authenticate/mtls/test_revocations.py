"""TLS-02: certificates that are no longer accepted."""

import base64
from pathlib import Path

import pytest

from mantlet.policies.authenticate.mtls.revocations import Revocations, entry, read

SPKI = "ab" * 32
PIN = "sha256/" + base64.b64encode(bytes.fromhex(SPKI)).decode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("serial:0A:1B", "serial:a1b"),
        ("serial:a1b", "serial:a1b"),
        (f"spki:{SPKI.upper()}", f"spki:{SPKI}"),
        (PIN, f"spki:{SPKI}"),
    ],
)
def test_entries_have_one_spelling(text: str, expected: str) -> None:
    assert entry(text) == expected


@pytest.mark.parametrize("text", ["", "a1b", "serial:", "serial:0", "serial:xy", "spki:ab", "sha256/abc", f"x{PIN}"])
def test_what_is_no_entry_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        entry(text)


def test_a_file_has_comments_and_one_bad_line_spoils_it() -> None:
    assert read(f"# ours\n\nserial:1 # stolen\n{PIN}\n") == {"serial:1", f"spki:{SPKI}"}
    with pytest.raises(ValueError, match="line 2"):
        read("serial:1\noops\n")


def test_a_changed_file_is_taken_up_and_a_bad_one_keeps_what_stood(tmp_path: Path) -> None:
    told: list[str] = []
    path = tmp_path / "revoked"
    path.write_text("serial:1\n")
    revocations = Revocations(["serial:9"], path, lambda level, event, fields: told.append(event))
    assert [revocations.has_any(serial, SPKI) for serial in ("1", "2", "9")] == [True, False, True]
    path.write_text(f"serial:2\n{PIN}\n")
    revocations.look()
    revocations.look()
    assert [revocations.has_any(serial, "00") for serial in ("1", "2", "9")] == [False, True, True]
    assert revocations.has_any("5", SPKI)
    for _ in range(2):
        path.write_text("oops\n")
        revocations.look()
        revocations.look()
        assert revocations.has_any("2", "00")
    path.unlink()
    revocations.look()
    assert revocations.has_any("2", "00"), "a list that is gone revokes as before"
    assert told == ["mtls.revocations_loaded", "mtls.revocations_failed", "mtls.revocations_failed"]


def test_at_start_a_list_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        Revocations([], tmp_path / "none", lambda *_: None)
