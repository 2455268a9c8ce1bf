"""Options that several commands share, so that they are spelt and explained once."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from mantlet.cli.output import warn

if TYPE_CHECKING:
    from mantlet.ops.remote.admin import Admin
    from mantlet.ops.remote.http import Address
    from mantlet.ops.remote.target import Door, Wish

Config: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="Configuration file, YAML or TOML; several are merged in order. "
        "Default: MANTLET_CONFIG (with : between), or mantlet.yaml here.",
    ),
]
Settings: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set one key over everything else: --set http.port=9000."),
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Url: TypeAlias = Annotated[
    str, typer.Option("--url", metavar="URL", help="The node's address. Default: MANTLET_URL, or the configuration's.")
]
AdminUrl: TypeAlias = Annotated[
    str,
    typer.Option(
        "--url", metavar="URL", help="The admin listener. Default: MANTLET_ADMIN_URL, or the configuration's."
    ),
]
TokenFile: TypeAlias = Annotated[
    str,
    typer.Option(
        "--token-file",
        metavar="FILE",
        help="File that holds the token. Default: MANTLET_TOKEN_FILE, MANTLET_TOKEN, or the configuration's admin key.",
    ),
]
Token: TypeAlias = Annotated[
    str,
    typer.Option("--token", metavar="TOKEN", help="The token itself; other users of this machine can read it here."),
]

Login: TypeAlias = Annotated[bool, typer.Option("--login", help="As the user of `mantlet login` at this address.")]


def files_of(config: Sequence[str] | None) -> list[str]:
    """The configuration files: those named, or the one in the working directory, or none."""
    from mantlet.node.config import default_files

    return list(_named(config)) or default_files()


def _named(config: Sequence[str] | None) -> tuple[str, ...]:
    return tuple(config or [file for file in os.environ.get("MANTLET_CONFIG", "").split(os.pathsep) if file])


def settings_of(settings: Sequence[str] | None) -> dict[str, str]:
    """`--set` options by key."""
    found: dict[str, str] = {}
    for setting in settings or ():
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"{key}: write KEY=VALUE, for instance http.port=9000", param_hint="--set")
        found[key] = value
    return found


def wish_of(url: str, token: str, token_file: str, config: Sequence[str] | None) -> "Wish":
    """What the options say about the node to talk to."""
    from mantlet.core.secret import Secret
    from mantlet.ops.remote.target import Wish

    if token:
        warn("a token on the command line is seen by all users of this machine and kept in the shell's history")
    return Wish(url, Secret(token) if token else None, token_file, _named(config))


def address_of(door: "Door", wish: "Wish", *, login: bool = False) -> "Address":
    """The node's address, with a word of warning where the token would travel in clear.

    With `login` the token is that of `mantlet login` at this address.
    """
    from mantlet.ops.remote.target import target

    address = target(door, wish, os.environ)
    if login:
        from dataclasses import replace

        from mantlet.ops.login.kept import Logins, folder
        from mantlet.ops.login.session import logged_in

        address = replace(address, token=logged_in(address.url, Logins(folder(os.environ))))
    if address.tells_token_in_clear:
        warn(f"the token crosses the network in clear to {address.url}; use https://")
    return address


def admin(url: str, token: str, token_file: str, config: Sequence[str] | None) -> "Admin":
    """What a running node can be asked and told, as the options say which and by whom."""
    from mantlet.ops.remote import Admin

    return Admin(address_of("admin", wish_of(url, token, token_file, config)))
