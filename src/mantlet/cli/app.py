"""All commands. Heavy imports stand inside the commands, so that `mantlet --help` is there at once."""

from typing import Annotated

import typer

from mantlet.cli import (
    blocks,
    check,
    drain,
    explain,
    init,
    kill,
    leave,
    login,
    migrate,
    node,
    reload,
    restart,
    serve,
    shim,
    stdio,
    tools,
)
from mantlet.cli.approvals import app as approvals
from mantlet.cli.cache import app as cache
from mantlet.cli.certs import app as certs
from mantlet.cli.database import app as database
from mantlet.cli.events import app as events
from mantlet.cli.grants import app as grants
from mantlet.cli.keys import app as keys
from mantlet.cli.limits import app as limits
from mantlet.cli.pins import app as pins
from mantlet.cli.secrets import app as secrets
from mantlet.cli.tokens import app as tokens


def _version(is_wanted: bool) -> None:
    if is_wanted:
        check.version()
        raise typer.Exit


def root(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which version this is.")
    ] = False,
) -> None:
    """Options that stand before any command."""


app = typer.Typer(
    name="mantlet",
    help="A gateway that puts MCP servers and agents into production: identity, limits, rules, audit.",
    epilog="Exit codes: 0 done; 1 refused or failed; 2 not understood; 3 no node answered; 4 the node wants another "
    "identity. Start with `mantlet init` and `mantlet serve`, or see it all at once with `mantlet demo`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for commands in (
    *(init, check, migrate, serve, reload, restart, leave, stdio, node),
    *(blocks, drain, kill, explain, tools, login, shim),
):
    commands.register(app)
app.callback()(root)
app.add_typer(keys, name="keys")
app.add_typer(tokens, name="tokens")
app.add_typer(grants, name="grants")
app.add_typer(secrets, name="secrets")
app.add_typer(approvals, name="approvals")
app.add_typer(cache, name="cache")
app.add_typer(certs, name="certs")
app.add_typer(database, name="database")
app.add_typer(events, name="events")
app.add_typer(limits, name="limits")
app.add_typer(pins, name="pins")
