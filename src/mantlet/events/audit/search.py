"""Look through the trail, oldest first, without loading it; or follow it as it grows. Checking is `verify.py`'s."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_NAME: Final = re.compile(r"audit-\d{8}\.jsonl")
_MAX_LINE: Final = 16 * 1024

Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for; empty means any. Times are RFC 3339 in UTC as records have them, or a beginning of one.

    `since` is included, `until` is not. `text` is looked for in the line as it is written, case aside.
    """

    since: str = ""
    until: str = ""
    principal: str = ""
    tenant: str = ""
    action: str = ""
    event: str = ""
    verdict: str = ""
    reason: str = ""
    server: str = ""
    request_id: str = ""
    text: str = ""

    def matches(self, entry: Entry) -> bool:
        """Whether every given field is as wanted."""
        ts = str(entry.get("ts", ""))
        if (self.since and ts < self.since) or (self.until and ts >= self.until):
            return False
        return all(
            not wanted or entry.get(name, "") == wanted
            for name, wanted in (
                ("principal", self.principal),
                ("tenant", self.tenant),
                ("action", self.action),
                ("event", self.event),
                ("verdict", self.verdict),
                ("reason", self.reason),
                ("server", self.server),
                ("request_id", self.request_id),
            )
        )

    def hints(self) -> list[bytes]:
        """Bytes that a matching line must hold: nearly all lines are passed over without being decoded."""
        exact = (self.principal, self.tenant, self.action, self.event, self.verdict, self.reason, self.server)
        return [json.dumps(word)[1:-1].encode() for word in (*exact, self.request_id) if word]


def search(directory: Path, query: Query) -> Iterator[Entry]:
    """Every record that matches; a line that is no record is passed over."""
    hints, text = query.hints(), query.text.lower().encode()
    for path in _files(directory):
        with path.open("rb") as file:
            while line := file.readline(_MAX_LINE):
                if (entry := _match(line, query, hints, text)) is not None:
                    yield entry


def follow(directory: Path, query: Query, wait: Callable[[], bool]) -> Iterator[Entry]:
    """New records as they are written, across files. `wait` is called when there is nothing; False ends it."""
    hints, text = query.hints(), query.text.lower().encode()
    files = _files(directory)
    path, offset = (files[-1], files[-1].stat().st_size) if files else (None, 0)
    while True:
        if path is not None:
            with path.open("rb") as file:
                file.seek(offset)
                # A line without its end is still being written: it is read whole, the next time.
                while (line := file.readline(_MAX_LINE)).endswith(b"\n"):
                    offset += len(line)
                    if (entry := _match(line, query, hints, text)) is not None:
                        yield entry
        later = [file for file in _files(directory) if path is None or file.name > path.name]
        if later:
            path, offset = later[0], 0
        elif not wait():
            return


def _match(line: bytes, query: Query, hints: list[bytes], text: bytes) -> Entry | None:
    if not all(hint in line for hint in hints) or (text and text not in line.lower()):
        return None
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and query.matches(entry) else None


def _files(directory: Path) -> list[Path]:
    if not directory.is_dir():
        return []
    return sorted(path for path in directory.iterdir() if _NAME.fullmatch(path.name))
