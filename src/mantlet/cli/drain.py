"""`mantlet drain` and `undrain`: an endpoint of a server that gets no new calls, and gets them again."""

from typing import Annotated

import typer

from mantlet.cli import options
from mantlet.cli.output import emit, examples

Server = Annotated[str, typer.Argument(metavar="SERVER", help="The server's name in the configuration.")]
Endpoint = Annotated[
    str, typer.Argument(metavar="ENDPOINT", help="The endpoint's name: host and port, unless it has one of its own.")
]
For = Annotated[
    float, typer.Option("--for", metavar="SECONDS", help="How long sessions that live there may still go on.")
]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command(epilog=examples("mantlet drain docs docs-1.internal", "mantlet drain docs docs-1.internal --for 0"))(
        drain
    )
    app.command(epilog=examples("mantlet undrain docs docs-1.internal"))(undrain)


def drain(
    server: Server,
    endpoint: Endpoint,
    for_s: For = 300.0,
    url: options.AdminUrl = "",
    token: options.Token = "",
    token_file: options.TokenFile = "",
    config: options.Config = None,
    as_json: options.Json = False,
) -> None:
    """Let an endpoint of a server take no new calls, on every node that shares the store."""
    admin = options.admin(url, token, token_file, config)
    told = admin.drain(server, endpoint, for_s)
    emit(told, as_json, lambda: print(f"{endpoint} of {server} takes no new calls; stopped in {for_s:g} s"))


def undrain(
    server: Server,
    endpoint: Endpoint,
    url: options.AdminUrl = "",
    token: options.Token = "",
    token_file: options.TokenFile = "",
    config: options.Config = None,
    as_json: options.Json = False,
) -> None:
    """Let it take calls again."""
    told = options.admin(url, token, token_file, config).undrain(server, endpoint)
    said = "takes calls again" if told.get("was_drained") else "was not drained"
    emit(told, as_json, lambda: print(f"{endpoint} of {server} {said}"))
