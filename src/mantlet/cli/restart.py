"""`mantlet restart`."""

import time
from typing import Annotated

import typer

from mantlet.cli import options
from mantlet.cli.output import emit, examples, printable

POLL_S = 0.5


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command(epilog=examples("mantlet restart", "mantlet restart --no-wait --json"))(restart)


def restart(
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Return when all are exchanged.")] = True,
    url: options.AdminUrl = "",
    token: options.Token = "",
    token_file: options.TokenFile = "",
    config: options.Config = None,
    as_json: options.Json = False,
) -> None:
    """Exchange the workers of a running node, one after the other, without a failed call.

    Each has a successor that serves before it leaves; what is in flight ends within 20 s. Exits 1 when a new worker
    does not come up: then the old one serves on.
    """
    admin = options.admin(url, token, token_file, config)
    told = admin.restart()
    while wait and told["state"] == "under way":
        time.sleep(POLL_S)
        told = admin.restarted()

    def show() -> None:
        print(f"{told['state']}: {told['replaced']} of {told['of']} workers replaced")
        if told["why"]:
            print(f"failed: {printable(told['why'])}")

    emit(told, as_json, show)
    raise typer.Exit(1 if told["state"] == "failed" else 0)
