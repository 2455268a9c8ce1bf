"""`mantlet migrate`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mantlet.cli import options
from mantlet.cli.output import emit, examples, printable

if TYPE_CHECKING:
    from mantlet.ops.migrate.plan import Plan


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command(
        epilog=examples(
            "mantlet migrate --to production",
            "mantlet migrate --to production -c dev.yaml --output prod.yaml",
            "mantlet migrate --to staging --dry-run --json | jq .left",
        )
    )(migrate)


def migrate(
    environment: Annotated[str, typer.Option("--to", metavar="ENVIRONMENT", help="production or staging.")],
    config: options.Config = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Default: mantlet.ENVIRONMENT.yaml here.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
    as_json: options.Json = False,
) -> None:
    """List what must change before this configuration starts in another environment, and write the overlay.

    Exits 0 when the overlay is enough, 1 when something is left for you, 2 when the configuration is not understood.
    """
    from mantlet.core.config_error import ConfigError
    from mantlet.node.config.starter import put
    from mantlet.ops.migrate.plan import plan

    if environment not in ("production", "staging"):
        raise typer.BadParameter(f"{environment!r} is neither production nor staging", param_hint="--to")
    target = output or Path(f"mantlet.{environment}.yaml")
    if os.path.lexists(target) and not (dry_run or force):  # a link that leads nowhere yet is there, too
        raise typer.BadParameter(f"{target} is there already; --force overwrites it", param_hint="--output")
    made = plan(options.files_of(config), os.environ, environment)
    written = None if dry_run or made.problems else target
    if written is not None:
        try:
            put(written, made.overlay(target.name), 0o644)
        except OSError as error:
            raise ConfigError(str(target), f"cannot be written: {error.strerror}") from error
    told = {
        "environment": environment,
        "written": None if written is None else str(written),
        "changes": {reason.key: value for reason, (_, value) in made.changes},
        "left": [{"risk": left.risk, "key": left.key, "message": left.message, "fix": left.fix} for left in made.left],
        "problems": [str(problem) for problem in made.problems],
    }
    emit(told, as_json, lambda: _show(made, written))
    raise typer.Exit(2 if made.problems else 1 if made.left else 0)


def _show(made: "Plan", written: Path | None) -> None:
    for reason, (key, value) in made.changes:
        print(f"overlay: {key}: {value!r}  ({printable(reason.message)})")
    for reason in made.left:
        print(f"to do:   {printable(str(reason))}")
    for problem in made.problems:
        print(f"error:   {printable(str(problem))}")
    if made.problems:
        print(f"\nnot understood in {made.environment}: {len(made.problems)} to mend; nothing was written")
        return
    if written is not None:
        print(f"\nwrote {written}")
    if made.left:
        print(f"{len(made.left)} left for you before it starts in {made.environment}")
    else:
        print(f"with it this configuration starts in {made.environment}")
