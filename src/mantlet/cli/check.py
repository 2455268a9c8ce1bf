"""`mantlet check` and `mantlet version`."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from mantlet.cli import options
from mantlet.cli.output import emit, examples, facts, printable, table

if TYPE_CHECKING:
    from mantlet.node.check.examine import Report


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command(
        epilog=examples(
            "mantlet check",
            "mantlet check -c base.yaml -c site.yaml --set environment=production",
            "mantlet check --quiet && mantlet serve",
            "mantlet check --json | jq '.refused'",
        )
    )(check)
    app.command(epilog=examples("mantlet version", "mantlet version --json"))(version)


def check(
    config: options.Config = None,
    settings: options.Settings = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only what is wrong.")] = False,
    reference: Annotated[
        bool, typer.Option("--reference", help="Print the reference of all keys (Markdown) instead.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Say whether the configuration would start here, and show every value and where it came from.

    Secrets are masked. Exits 0 (would start), 1 (understood, but refused: every reason listed) or 2 (not understood).
    """
    if reference:
        from mantlet.node.config.reference import reference_text

        print(reference_text(), end="")
        return
    from mantlet.node.check.examine import examine

    report = examine(options.files_of(config), os.environ, settings=options.settings_of(settings))
    emit(report.as_json(), as_json, lambda: show(report, quiet=quiet))
    raise typer.Exit(report.exit_code)


def show(report: "Report", *, quiet: bool = False) -> None:
    """The report for people; what is wrong last, where the eye is."""
    if report.loaded is not None and not quiet:
        table(("key", "value", "from"), [(line.key, line.text, line.origin) for line in report.lines])
        print()
    show_notices(report, quiet=quiet)
    for problem in report.problems:
        print(f"error: {printable(str(problem))}")
    if report.loaded is None or report.problems:
        print(f"\nnot understood: {len(report.problems)} to mend")
        return
    for reason in report.judgement.refused:
        print(f"refused: {printable(str(reason))}")
    environment = report.loaded.config.environment
    if count := len(report.judgement.refused):
        print(f"\nwould be refused to start in {environment}: {count} to mend")
    elif not quiet:
        print(f"would start in {environment}")


def show_notices(report: "Report", *, quiet: bool = False) -> None:
    """What does not stop a start but should be known."""
    if not report.files:
        print("note: no configuration file here (-c, MANTLET_CONFIG, ./mantlet.yaml): `mantlet init` writes one")
    for key in report.inert:
        print(f"note: {key} is understood, but not acted on in this version")
    for doubt in report.doubts:
        print(f"warning: {printable(str(doubt))}")
    for reason in report.judgement.accepted:
        print(f"accepted ({reason.risk}): {reason.key}: {printable(reason.message)}")
    if quiet:
        return
    for reason in report.judgement.elsewhere:
        if reason.risk != "not_enforced":
            print(f"note: production would refuse {reason.key}: {printable(reason.message)}")


def version(as_json: options.Json = False) -> None:
    """Say which version this is."""
    import platform
    from importlib.metadata import version as version_of

    told = {"mantlet": version_of("mantlet"), "python": platform.python_version()}
    emit(told, as_json, lambda: facts(told))
