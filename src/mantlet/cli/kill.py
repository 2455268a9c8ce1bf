"""`mantlet kills`, `kill` and `unkill`: an agent, a tool, an upstream or a caller that a running node stops at once."""

from typing import Annotated

import typer

from mantlet.cli import options
from mantlet.cli.output import clock, emit, examples, table, warn

Kind = Annotated[str, typer.Argument(metavar="KIND", help="agent, tool, upstream or caller.")]
Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="An agent's subject; TOOL or SERVER__TOOL; an upstream's name; TENANT/ISSUER/SUBJECT of a caller.",
    ),
]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for the record and for who asks later.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command(epilog=examples("mantlet kills", "mantlet kills --json"))(kills)
    app.command(
        epilog=examples("mantlet kill tool files__delete --reason 'wrong disk'", "mantlet kill caller default/idp/ann")
    )(kill)
    app.command(epilog=examples("mantlet unkill tool files__delete"))(unkill)


def kills(
    url: options.AdminUrl = "",
    token: options.Token = "",
    token_file: options.TokenFile = "",
    config: options.Config = None,
    as_json: options.Json = False,
) -> None:
    """List what is stopped, why, by whom and since when."""
    found = options.admin(url, token, token_file, config).kills()
    rows = [(k["kind"], k["name"], k["reason"], k["by"], clock(k["since_s"])) for k in found]
    emit(
        {"kills": found},
        as_json,
        lambda: table(("kind", "name", "reason", "by", "since"), rows, empty="nothing is stopped"),
    )


def kill(
    kind: Kind,
    name: Name,
    reason: Reason = "",
    url: options.AdminUrl = "",
    token: options.Token = "",
    token_file: options.TokenFile = "",
    config: options.Config = None,
    as_json: options.Json = False,
) -> None:
    """Stop an agent, a tool, an upstream or a caller at once, on every node that shares the store."""
    told = options.admin(url, token, token_file, config).kill(kind, name, reason)
    emit(told, as_json, lambda: print(f"{told['kind']} {told['name']} is stopped"))
    if not told.get("is_known", True):
        warn(f"no upstream here is called {name}; the switch holds all the same")


def unkill(
    kind: Kind,
    name: Name,
    url: options.AdminUrl = "",
    token: options.Token = "",
    token_file: options.TokenFile = "",
    config: options.Config = None,
    as_json: options.Json = False,
) -> None:
    """Let it go on."""
    told = options.admin(url, token, token_file, config).unkill(kind, name)
    emit(told, as_json, lambda: print(f"{kind} {name} {'goes on' if told.get('was_killed') else 'was not stopped'}"))
