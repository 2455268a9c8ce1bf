"""`mantlet events`: the audit trail, read where it lies."""

import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mantlet.cli import options
from mantlet.cli.output import clock, counted, emit, examples, table

if TYPE_CHECKING:
    from mantlet.events.config import AuditConfig

app = typer.Typer(no_args_is_help=True, help="The audit trail: follow, search and verify it.")
Folder = Annotated[
    Path | None,
    typer.Option("--path", metavar="FOLDER", help="The trail's folder. Default: audit.path of the configuration."),
]
VERDICTS = ("allow", "deny", "error")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
AGO = re.compile(r"(\d{1,9})([smhd])")
BEGINNING = re.compile(r"\d{4}(-\d\d(-\d\d(T\d\d(:\d\d(:\d\d(\.\d{0,6})?)?)?Z?)?)?)?")
COLUMNS = ("ts", "verdict", "reason", "principal", "action", "object", "server", "request_id")


def _filter(name: str, text: str) -> Any:
    return typer.Option(name, help=text, show_default=False)


@app.command(
    epilog=examples(
        "mantlet events tail", "mantlet events tail --verdict deny --json", "mantlet events tail --no-follow"
    )
)
def tail(
    path: Folder = None,
    lines: Annotated[int, typer.Option("--lines", "-n", help="How many of the last records to begin with.")] = 10,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Go on as records are written.")] = True,
    verdict: Annotated[str, _filter("--verdict", "allow, deny or error.")] = "",
    principal: Annotated[str, _filter("--principal", "Who.")] = "",
    config: options.Config = None,
    as_json: options.Json = False,
) -> None:
    """Show the last records and follow the trail. Ends with Ctrl-C."""
    from collections import deque

    from mantlet.events.audit import search as trail

    folder = _folder(path, config)
    _known("--verdict", verdict)
    query = trail.Query(verdict=verdict, principal=principal)
    for entry in deque(trail.search(folder, query), maxlen=max(lines, 0)):
        _line(entry, as_json)
    if follow:
        for entry in trail.follow(folder, query, _wait):
            _line(entry, as_json)


@app.command(
    epilog=examples(
        "mantlet events search --verdict deny --since 2026-11-21",
        "mantlet events search --request-id 01J… --json",
        "mantlet events search --text get_current_time --limit 20",
    )
)
def search(
    path: Folder = None,
    since: Annotated[
        str, _filter("--since", "From then on: 2026-11-21T10:00:00Z, its beginning, or how long ago (2h).")
    ] = "",
    until: Annotated[str, _filter("--until", "Before this time, said likewise.")] = "",
    principal: Annotated[str, _filter("--principal", "Who.")] = "",
    tenant: Annotated[str, _filter("--tenant", "Whose.")] = "",
    action: Annotated[str, _filter("--action", "The operation, for instance tools/call.")] = "",
    event: Annotated[str, _filter("--event", "The kind of record, for instance key.created.")] = "",
    verdict: Annotated[str, _filter("--verdict", "allow, deny or error.")] = "",
    reason: Annotated[str, _filter("--reason", "The reason of a refusal, for instance rate_limited.")] = "",
    server: Annotated[str, _filter("--server", "The upstream.")] = "",
    request_id: Annotated[str, _filter("--request-id", "The id that the answer carried.")] = "",
    text: Annotated[str, _filter("--text", "Anything in the record, case aside.")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", help="At most so many, the newest; 0: all.")] = 100,
    config: options.Config = None,
    as_json: options.Json = False,
) -> None:
    """Find records. Exits 0 also when there are none. With --json one record a line."""
    from collections import deque

    from mantlet.events.audit import search as trail

    folder = _folder(path, config)
    _known("--verdict", verdict)
    since, until = _instant("--since", since), _instant("--until", until)
    query = trail.Query(
        since=since, until=until, principal=principal, tenant=tenant, action=action, event=event, verdict=verdict,
        reason=reason, server=server, request_id=request_id, text=text,
    )  # fmt: skip
    found = trail.search(folder, query)
    entries = list(deque(found, maxlen=limit) if limit > 0 else found)
    if as_json:
        for entry in entries:
            _line(entry, as_json)
    else:
        table(COLUMNS, [[entry.get(column, "") for column in COLUMNS] for entry in entries], empty="no records")


@app.command(
    epilog=examples(
        "mantlet events verify",
        "mantlet events verify --path ./copy --chain-key ./audit-chain.key --public-key ./audit-signing.pub "
        "--checkpoints ./copy-checkpoints",
    )
)
def verify(
    path: Folder = None,
    chain_key: Annotated[Path | None, typer.Option("--chain-key", help="Default: as the configuration says.")] = None,
    checkpoints: Annotated[
        Path | None, typer.Option("--checkpoints", help="Their folder. Default: beside the trail.")
    ] = None,
    public_key: Annotated[
        Path | None, typer.Option("--public-key", help="Of the checkpoints' signatures (PEM).")
    ] = None,
    expect: Annotated[Path | None, typer.Option("--expect", help="A checkpoint line kept elsewhere.")] = None,
    archive: Annotated[bool, typer.Option("--archive", help="The first files were moved away on purpose.")] = False,
    config: options.Config = None,
    as_json: options.Json = False,
) -> None:
    """Prove that no record was changed, added, taken out or cut off.

    Exits 0 (whole), 1 (not whole: the findings say where), 2 (could not be checked) or 3 (whole up to a torn last
    line, as a killed node leaves it; the next start mends and records it).
    """
    from mantlet.ops.trail import verify_trail

    report = verify_trail(
        None if path and chain_key else _audit(config), path=path, chain_key=chain_key, checkpoints=checkpoints,
        public_key=public_key, expect=expect, is_archive=archive,
    )  # fmt: skip

    def show() -> None:
        if report.could_not:
            print(f"could not be checked: {report.could_not}")
        for finding in report.findings:
            print(f"{finding.problem}: {finding.file}:{finding.line}: record {finding.seq}: {finding.text}")
        for note in report.notes:
            print(f"note: {note}")
        words = {0: "whole", 1: "NOT whole", 2: "not checked", 3: "whole, but for a torn last line"}
        verdict = words[report.exit_code]
        read = f"{counted(report.records, 'record')} in {counted(report.files, 'file')}"
        print(f"{read}, {counted(report.checkpoints, 'checkpoint')}: {verdict}")

    from dataclasses import asdict

    emit({**asdict(report), "exit_code": report.exit_code}, as_json, show)
    raise typer.Exit(report.exit_code)


def _instant(option: str, text: str) -> str:
    """A time as records have it, or the beginning of one: what could not be found must not look like "nothing"."""
    if ago := AGO.fullmatch(text):
        return clock(time.time() - int(ago[1]) * SECONDS[ago[2]])
    if text and not BEGINNING.fullmatch(text):
        raise typer.BadParameter(f"{text!r} is no time like 2026-11-21T10:00:00Z, 2026-11-21 or 2h", param_hint=option)
    return text


def _known(option: str, verdict: str) -> None:
    if verdict and verdict not in VERDICTS:
        raise typer.BadParameter(f"{verdict!r} is none of {', '.join(VERDICTS)}", param_hint=option)


def _folder(path: Path | None, config: list[str] | None) -> Path:
    """Where to look. A folder that was named and is not there is a slip, and no trail without records."""
    if path is not None and not path.is_dir():
        raise typer.BadParameter(f"{str(path)!r} is no folder", param_hint="--path")
    return path or Path(_audit(config).path)


def _audit(config: list[str] | None) -> "AuditConfig":
    from mantlet.node.config import load

    return load(options.files_of(config), os.environ).config.audit


def _wait() -> bool:
    time.sleep(0.25)
    return True


def _line(entry: dict[str, Any], as_json: bool) -> None:
    import json

    from mantlet.cli.output import printable

    if as_json:
        print(json.dumps(entry, ensure_ascii=False), flush=True)
    else:
        print("  ".join(printable(str(entry[column])) for column in COLUMNS if entry.get(column)), flush=True)
