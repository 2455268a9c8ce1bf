from pathlib import Path
from typing import Any

import pytest

from mantlet.events.audit.search import Query, follow, search


@pytest.fixture
async def directory(tmp_path: Path, trails: Any) -> Path:
    async with trails.journal(tmp_path / "audit", max_file_bytes=65536) as journal:
        for number in range(300):
            who = "default/iss/bob" if number % 100 == 7 else "default/iss/alice"
            await journal.append(trails.record(f"r{number}", principal=who, object='say "hé"', server=f"s{number % 3}"))
    return tmp_path / "audit"


@pytest.mark.parametrize(
    ("query", "count"),
    [
        (Query(event="call"), 300),
        (Query(principal="default/iss/bob"), 3),
        (Query(principal="default/iss"), 0),
        (Query(server="s1", principal="default/iss/bob"), 1),
        (Query(request_id="r12"), 1),
        (Query(verdict="deny"), 0),
        (Query(action="tools/call"), 300),
        (Query(text="SAY"), 300),
        (Query(event="call", since="2000-01-01"), 300),
        (Query(event="call", until="2000-01-01"), 0),
        (Query(since="9000-01-01"), 0),
    ],
)
async def test_records_are_found_by_what_they_say(directory: Path, query: Query, count: int) -> None:
    assert len(list(search(directory, query))) == count


async def test_records_come_in_order_across_files(directory: Path) -> None:
    assert len(list(directory.glob("audit-*.jsonl"))) > 1
    assert [entry["request_id"] for entry in search(directory, Query(event="call"))] == [f"r{n}" for n in range(300)]


async def test_following_gives_what_is_new_and_no_half_lines(directory: Path) -> None:
    last = sorted(directory.glob("audit-*.jsonl"))[-1]
    line = b'{"seq":999,"ts":"2026-11-21T10:00:00.000001Z","event":"call","request_id":"new"}\n'
    steps = [
        lambda: last.write_bytes(last.read_bytes() + line[:30]),
        lambda: last.write_bytes(last.read_bytes() + line[30:]),
        lambda: (directory / "audit-00000099.jsonl").write_bytes(line.replace(b"new", b"newer")),
    ]

    def wait() -> bool:
        if not steps:
            return False
        act = steps.pop(0)
        act()
        return True

    found = [entry["request_id"] for entry in follow(directory, Query(event="call"), wait)]
    assert found == ["new", "newer"]


def test_a_trail_that_is_not_there_has_no_records(tmp_path: Path) -> None:
    assert list(search(tmp_path / "none", Query())) == []
    assert list(follow(tmp_path / "none", Query(), lambda: False)) == []
