"""`mantlet database`: the shape of the tables in the configured database (docs/database.md)."""

import os
from typing import TYPE_CHECKING

import typer

from mantlet.cli import options
from mantlet.cli.output import emit, examples, table

if TYPE_CHECKING:
    from mantlet.node.config import Config

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


def _config(files: list[str] | None) -> "Config":
    from mantlet.node.config import load

    return load(options.files_of(files), os.environ).config
