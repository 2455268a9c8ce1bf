"""`mantlet events` over a trail as a node writes it."""

import asyncio
import json
from pathlib import Path

import pytest

from mantlet.cli import main
from mantlet.core.clock import SYSTEM
from mantlet.events.audit.administrative import note
from mantlet.events.audit.keys import load_or_create
from mantlet.events.audit.writer import open_journal
from mantlet.node.config import load
from mantlet.node.config.starter import starter, write


async def _write(file: str, count: int) -> None:
    config = load([file], {}).config.audit
    async with open_journal(config, load_or_create(config), clock=SYSTEM, environment="development") as journal:
        for number in range(count):
            await note(journal, SYSTEM, "key.created", object=f"k{number}", principal="\x1b[31mred")


@pytest.fixture
def trail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(starter(tmp_path, "development"))
    asyncio.run(_write("mantlet.yaml", 12))
    return tmp_path / "var" / "audit"


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as caught:
        main(["events", *arguments])
    return int(caught.value.code or 0), capsys.readouterr().out


def test_records_are_found_and_followed(trail: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run(capsys, "search", "--event", "key.created", "--json")
    assert code == 0
    assert [json.loads(line)["object"] for line in out.splitlines()] == [f"k{n}" for n in range(12)]
    _, out = run(capsys, "search", "--text", "k11")
    assert out.count("\n") == 1
    _, out = run(capsys, "search", "--event", "key.created", "--limit", "2", "--json")
    assert [json.loads(line)["object"] for line in out.splitlines()] == ["k10", "k11"]
    _, out = run(capsys, "tail", "--no-follow", "-n", "3", "--json")
    assert out.count("\n") == 3


def test_what_callers_wrote_cannot_draw_on_the_terminal(trail: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out = run(capsys, "tail", "--no-follow")
    assert "red" in out
    assert "\x1b" not in out


def test_a_whole_trail_verifies_and_an_edited_one_does_not(trail: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """AUD-07"""
    code, out = run(capsys, "verify")
    assert (code, "whole" in out) == (0, True)
    [file] = trail.glob("audit-*.jsonl")
    file.write_bytes(file.read_bytes().replace(b"k7", b"k8", 1))
    code, out = run(capsys, "verify", "--json")
    assert code == 1
    told = json.loads(out)
    assert told["exit_code"] == 1
    assert told["findings"]


def test_a_copy_cut_short_is_found_by_the_checkpoints_beside_it(
    trail: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """AUD-07: whoever names the trail and the keys by hand must not lose what the checkpoints know."""
    [file] = trail.glob("audit-*.jsonl")
    keys = trail.parent / "keys"
    whole = file.read_bytes()
    file.write_bytes(b"".join(whole.splitlines(keepends=True)[:5]))
    by_hand = ["verify", "--path", str(trail), "--chain-key", str(keys / "audit-chain.key")]
    public = ["--public-key", str(keys / "audit-signing.pub")]
    code, out = run(capsys, *by_hand, *public)
    assert (code, "tail_lost" in out) == (1, True)
    code, out = run(capsys, *by_hand)
    assert (code, "no public key was given" in out) == (0, True)
    for name in trail.with_name("audit-checkpoints").iterdir():
        name.unlink()
    code, out = run(capsys, *by_hand, *public)
    assert code == 2
    assert "could not be checked: no checkpoints in" in out
    assert run(capsys, "verify")[0] == 2
