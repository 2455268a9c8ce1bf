"""`mantlet login` and `mantlet logout`."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from mantlet.cli import options
from mantlet.cli.output import emit, examples, printable

if TYPE_CHECKING:
    from mantlet.ops.login.kept import Logins


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command(
        epilog=examples(
            "mantlet login --url https://agents.example.com",
            "mantlet login --url https://agents.example.com --flow browser",
            "mantlet tools --login --url https://agents.example.com",
        )
    )(login)
    app.command(epilog=examples("mantlet logout --url https://agents.example.com"))(logout)


def login(
    url: options.Url = "",
    issuer: Annotated[str, typer.Option(help="The issuer to log in at. Default: the node names it.")] = "",
    client_id: Annotated[str, typer.Option(help="How the issuer knows this program.")] = "mantlet",
    scope: Annotated[str, typer.Option(help="Scopes, with spaces between. Default: the node names them.")] = "",
    flow: Annotated[str, typer.Option(help="device, browser, or auto: the device flow where there is one.")] = "auto",
    keyring: Annotated[bool, typer.Option("--keyring", help="Keep the key of logins in the system's keyring.")] = False,
    config: options.Config = None,
    as_json: options.Json = False,
) -> None:
    """Log in at the issuer of a node, and keep the login sealed for `--login`."""
    from mantlet.ops.login.session import Person, Wanted, log_in

    if flow not in ("auto", "device", "browser"):
        raise typer.BadParameter(f"{flow!r} is none of auto, device, browser", param_hint="--flow")
    wanted = Wanted(_node(url, config), issuer, client_id, scope, flow)
    kept = log_in(wanted, _logins(in_keyring=keyring), Person(_show_code, _show_url))
    told = {"node": kept.node, "issuer": kept.issuer, "subject": kept.subject, "scope": kept.scope}
    emit(told, as_json, lambda: print(f"logged in at {printable(kept.issuer)} as {printable(kept.subject or '?')}"))


def logout(url: options.Url = "", config: options.Config = None, as_json: options.Json = False) -> None:
    """Give the login of a node back to its issuer, and forget it."""
    from mantlet.ops.login.session import log_out

    was = log_out(_node(url, config), _logins())
    emit({"logged_out": was}, as_json, lambda: print("logged out" if was else "there was no login"))


def _node(url: str, config: list[str] | None) -> str:
    return options.address_of("http", options.wish_of(url, "", "", config)).url


def _logins(*, in_keyring: bool = False) -> "Logins":
    from mantlet.ops.login.kept import Logins, folder

    return Logins(folder(os.environ), in_keyring=in_keyring)


def _show_code(url: str, code: str, complete: str) -> None:
    typer.echo(f"Open {printable(url)} and type {printable(code)}", err=True)
    if complete:
        typer.echo(f"or open {printable(complete)}", err=True)


def _show_url(url: str) -> None:
    import webbrowser

    typer.echo(f"Open {printable(url)}", err=True)
    webbrowser.open(url)
