"""`mantlet init`."""

from pathlib import Path
from typing import Annotated

import typer

from mantlet.cli import options
from mantlet.cli.output import emit, examples


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command(
        epilog=examples(
            "mantlet init",
            "mantlet init --environment production ./gateway",
            "mantlet init --from ~/.config/client/mcp.json",
        )
    )(init)


def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to write.", show_default=False)] = Path(),
    environment: Annotated[
        str, typer.Option("--environment", "-e", help="development, staging or production.")
    ] = "development",
    source: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="Take over the servers of an MCP client's JSON file.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite mantlet.yaml. Secrets are kept.")] = False,
    as_json: options.Json = False,
) -> None:
    """Write a commented mantlet.yaml with fresh secrets beside it (./secrets, mode 0600)."""
    from mantlet.node.config.model import ENVIRONMENTS
    from mantlet.node.config.problem import nearest
    from mantlet.node.config.starter import imported, starter, write

    known = next((name for name in ENVIRONMENTS if name == environment), None)
    if known is None:
        near = nearest(environment, ENVIRONMENTS)
        hint = f'; did you mean "{near}"?' if near else ""
        raise typer.BadParameter(
            f"{environment!r} is none of {', '.join(ENVIRONMENTS)}{hint}", param_hint="--environment"
        )
    written = write(starter(folder, known, imported(source) if source else ()), force=force)

    def show() -> None:
        for path in written:
            print(f"wrote {path}")
        where = "" if folder == Path() else f"cd {folder} && "
        print(f"\nNext: {where}mantlet check, then {where}mantlet serve")

    emit({"written": [str(path) for path in written]}, as_json, show)
