"""`mantlet blocks`, `block` and `unblock`: addresses that a running node turns away."""

from typing import Annotated

import typer

from mantlet.cli import options
from mantlet.cli.output import clock, emit, examples, table

Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="An IPv4 address, or an IPv6 one for its /64.")]
For = Annotated[float, typer.Option("--for", metavar="SECONDS", min=0, help="How long. Default: by its history.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command(epilog=examples("mantlet blocks", "mantlet blocks --json"))(blocks)
    app.command(epilog=examples("mantlet block 192.0.2.7", "mantlet block 192.0.2.7 --for 3600"))(block)
    app.command(epilog=examples("mantlet unblock 192.0.2.7"))(unblock)


def blocks(
    url: options.AdminUrl = "",
    token: options.Token = "",
    token_file: options.TokenFile = "",
    config: options.Config = None,
    as_json: options.Json = False,
) -> None:
    """List the blocked addresses, why and until when."""
    found = options.admin(url, token, token_file, config).blocks()
    rows = [(b["address"], b["reason"], clock(b["since_s"]), clock(b["until_s"]), b["times"]) for b in found]
    columns = ("address", "reason", "since", "until", "times")
    emit({"blocks": found}, as_json, lambda: table(columns, rows, empty="no address is blocked"))


def block(
    address: Address,
    for_s: For = 0,
    url: options.AdminUrl = "",
    token: options.Token = "",
    token_file: options.TokenFile = "",
    config: options.Config = None,
    as_json: options.Json = False,
) -> None:
    """Block an address."""
    told = options.admin(url, token, token_file, config).block(address, for_s)
    emit(told, as_json, lambda: print(f"{told['address']} is blocked until {clock(told['until_s'])}"))


def unblock(
    address: Address,
    url: options.AdminUrl = "",
    token: options.Token = "",
    token_file: options.TokenFile = "",
    config: options.Config = None,
    as_json: options.Json = False,
) -> None:
    """Let an address in again, and forget what stands against it."""
    told = options.admin(url, token, token_file, config).unblock(address)
    emit(
        told, as_json, lambda: print(f"{address} {'is let in again' if told.get('was_blocked') else 'was not blocked'}")
    )
