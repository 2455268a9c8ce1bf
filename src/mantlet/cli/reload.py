"""`mantlet reload`."""

import typer

from mantlet.cli import options
from mantlet.cli.output import emit, examples, printable


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command(epilog=examples("mantlet reload", "mantlet reload --json"))(reload)


def reload(
    url: options.AdminUrl = "",
    token: options.Token = "",
    token_file: options.TokenFile = "",
    config: options.Config = None,
    as_json: options.Json = False,
) -> None:
    """Have a running node take up its changed configuration now, without dropping a call.

    It does so by itself when a file changes, and on SIGHUP. Exits 1 when the configuration is refused: then the old one
    stays in force.
    """
    told = options.admin(url, token, token_file, config).reload()

    def show() -> None:
        print(told["result"])
        for key in told["changed"]:
            print(f"  {key}")
        for reason in told["reasons"]:
            print(f"refused: {printable(reason)}")

    emit(told, as_json, show)
    raise typer.Exit(1 if told["result"] == "refused" else 0)
