"""`mantlet database`: the shape of the tables in the configured database (docs/database.md)."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mantlet.cli import options
from mantlet.cli.output import emit, examples, table

if TYPE_CHECKING:
    from mantlet.node.config import Config
    from mantlet.stores.sql.config import DatabaseConfig

app = typer.Typer(no_args_is_help=True, help="The database: what its tables have seen, and bringing them up to date.")


@app.command(epilog=examples("mantlet database status", "mantlet database status --json | jq .missing"))
def status(config: options.Config = None, as_json: options.Json = False) -> None:
    """Say which version the tables have and which this program works with. Changes nothing.

    Exits 0 when nothing is missing, 1 when a migration is due.
    """
    from mantlet.ops import database

    told = database.status(_config(config))

    def show() -> None:
        columns = ("number", "name", "at", "by")
        print(f"{told['database']}: version {told['version']}, and this program works with {told['known']}")
        table(columns, [[step[name] for name in columns] for step in told["steps"]], empty="no tables yet")

    emit(told, as_json, show)
    raise typer.Exit(1 if told["missing"] else 0)


@app.command(epilog=examples("mantlet database migrate", "mantlet database migrate -c node.yaml"))
def migrate(config: options.Config = None, as_json: options.Json = False) -> None:
    """Bring the tables up to what this version works with, as a node does when it starts. Recorded in the audit trail.

    Nodes of the version before may go on meanwhile.
    """
    from mantlet.ops import database

    told = database.migrated(_config(config))
    emit(told, as_json, lambda: print(f"done: {', '.join(told['done'])}" if told["done"] else "nothing to do"))


@app.command(
    epilog=examples(
        "mantlet database copy --to postgresql://mantlet@db.internal/mantlet --password-file db.password",
        "mantlet database copy --to sqlite:///./back/mantlet.db",
    )
)
def copy(
    to: Annotated[str, typer.Option("--to", metavar="URL", help="An empty database: as database.url.")],
    password_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Its password, in a file that only its owner reads.")
    ] = None,
    ca_file: Annotated[str | None, typer.Option(metavar="FILE", help="Who vouches for it; else the system's.")] = None,
    config: options.Config = None,
    as_json: options.Json = False,
) -> None:
    """Copy all that is in the configured database into an empty one, whole or not at all. Recorded in the audit trail.

    Stop the node first: what it writes afterwards stays behind.
    """
    from mantlet.ops import database

    told = database.copied(_config(config), _target(to, password_file, ca_file))

    def show() -> None:
        table(("table", "rows"), list(told["rows"].items()))
        print(f"copied to {told['to']}: name it as database.url, and keep the folder with keys/ (database.folder)")

    emit(told, as_json, show)


def _target(url: str, password_file: Path | None, ca_file: str | None) -> "DatabaseConfig":
    from mantlet.keys.files import read_secret
    from mantlet.stores.sql.config import DatabaseConfig

    try:
        password = None if password_file is None else read_secret(password_file)
        return DatabaseConfig(url=url, password=password, ca_file=ca_file)
    except ValueError as error:
        raise typer.BadParameter(str(error).replace("database.url", "the URL"), param_hint="--to") from None


def _config(files: list[str] | None) -> "Config":
    from mantlet.node.config import load

    return load(options.files_of(files), os.environ).config
