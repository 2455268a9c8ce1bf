"""`mantlet leave` and `stay`: a node that goes with notice, and one that does not go after all."""

from typing import Annotated

import typer

from mantlet.cli import options
from mantlet.cli.output import emit, examples


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command(epilog=examples("mantlet leave", "mantlet leave --after 30"))(leave)
    app.command(epilog=examples("mantlet stay"))(stay)


def leave(
    after_s: Annotated[
        float, typer.Option("--after", metavar="SECONDS", help="How long calls are still taken: until balancers know.")
    ] = 10.0,
    url: options.AdminUrl = "",
    token: options.Token = "",
    token_file: options.TokenFile = "",
    config: options.Config = None,
    as_json: options.Json = False,
) -> None:
    """Drain a running node: say at once that it is not ready, take calls for a while, then end as on SIGTERM."""
    told = options.admin(url, token, token_file, config).leave(after_s)
    emit(told, as_json, lambda: print(f"not ready from now on, and gone in {after_s:g} s"))


def stay(
    url: options.AdminUrl = "",
    token: options.Token = "",
    token_file: options.TokenFile = "",
    config: options.Config = None,
    as_json: options.Json = False,
) -> None:
    """Take a notice back: the node is ready again, and stays."""
    told = options.admin(url, token, token_file, config).stay()
    emit(told, as_json, lambda: print("stays" if told["was_leaving"] else "was not about to leave"))
