"""`mantlet stdio`."""

import os
import sys
from contextlib import redirect_stdout
from typing import Annotated

import typer

from mantlet.cli import options
from mantlet.cli.check import show, show_notices
from mantlet.cli.output import examples


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command(
        epilog=examples(
            "mantlet stdio -c /etc/mantlet/mantlet.yaml",
            "mantlet stdio -c mantlet.yaml --as desktop --server time",
        )
    )(stdio)


def stdio(
    config: options.Config = None,
    settings: options.Settings = None,
    name: Annotated[
        str,
        typer.Option("--as", metavar="NAME", help="The entry of auth.api_keys to be. Default: stdio.caller."),
    ] = "",
    server: Annotated[str, typer.Option(metavar="SERVER", help="Only this server, under its own names.")] = "",
    token_file: Annotated[
        str,
        typer.Option(
            "--token-file",
            metavar="FILE",
            help="File that holds the client's token. Default: MANTLET_TOKEN_FILE, MANTLET_TOKEN.",
        ),
    ] = "",
) -> None:
    """Be the one server of an MCP client that starts this command: messages on stdin and stdout, logs on stderr.

    Ends when stdin ends. Opens no port; identity, rules, limits and audit are those of the configuration.
    """
    from mantlet.node.check.examine import examine

    report = examine(options.files_of(config), os.environ, settings=options.settings_of(settings))
    with redirect_stdout(sys.stderr):
        if report.loaded is None or report.exit_code:
            show(report, quiet=True)
            raise typer.Exit(report.exit_code)
        show_notices(report, quiet=True)
    from mantlet.node.stdio import credential_of, run
    from mantlet.ops.remote.target import told_token

    wish = options.wish_of("", "", token_file, None)
    told = None if name else told_token(wish, os.environ)
    found = report.loaded.config
    raise typer.Exit(run(found, credential=credential_of(found, told=told, name=name), server=server))
