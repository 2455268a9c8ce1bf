"""What is left of a demo when it has ended: the record of the refused call, and a trail that verifies."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from mantlet.events.audit.search import Entry, Query, search
from mantlet.node.config import Config
from mantlet.ops.trail import verify_trail

SHOWN: Final = ("ts", "verdict", "reason", "status", "principal", "action", "server", "object", "rule", "request_id")


def prove(config: Config, request_id: str, say: Callable[[str], None]) -> int:
    """Show the record of `request_id` and check the whole trail; 0 when both are as they should be."""
    found = list(search(Path(config.audit.path), Query(request_id=request_id)))
    say(f"\nits audit record: {_line(found[0]) if found else 'MISSING'}")
    report = verify_trail(config.audit)
    checkpoints = f"{report.checkpoints} signed checkpoint{'' if report.checkpoints == 1 else 's'}"
    say(
        f"audit trail: {report.records} records, {checkpoints}, "
        + ("whole" if report.exit_code == 0 else f"NOT whole: {report.could_not or report.findings}")
    )
    return 0 if len(found) == 1 and found[0].get("verdict") == "deny" and report.exit_code == 0 else 1


def _line(entry: Entry) -> str:
    return " ".join(f"{name}={entry[name]}" for name in SHOWN if entry.get(name))
