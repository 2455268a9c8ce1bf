"""`mantlet certs`: a private authority and what it signs."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mantlet.cli import options
from mantlet.cli.output import emit, examples, facts

if TYPE_CHECKING:
    from mantlet.ops.certs import List, Written

app = typer.Typer(
    no_args_is_help=True,
    help="A private certificate authority, and certificates for listeners and callers. For tests, and for services "
    "that know each other; browsers and strangers need a public authority.",
)

Folder = Annotated[str, typer.Option("--dir", help="Where they lie. Owner-only files; nothing is overwritten.")]
Days = Annotated[float, typer.Option(help="How long it lives.", min=0.001, max=3650)]


@app.command(epilog=examples("mantlet certs ca", "mantlet certs ca --dir secrets/certs --days 90"))
def ca(
    folder: Folder = "certs",
    name: Annotated[str, typer.Option(help="What it calls itself.")] = "Mantlet private CA",
    days: Days = 365,
    as_json: options.Json = False,
) -> None:
    """Make an authority: ca.pem, which others are told to trust, and ca.key, which signs."""
    from mantlet.ops import certs

    _show(certs.authority(Path(folder), name, days), as_json)


@app.command(epilog=examples("mantlet certs server localhost 127.0.0.1", "mantlet certs server mcp.example --out mcp"))
def server(
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="DNS names and addresses it is for.")],
    out: Annotated[str, typer.Option(help="The files' name, without ending.")] = "server",
    folder: Folder = "certs",
    days: Days = 30,
    as_json: options.Json = False,
) -> None:
    """Sign a listener's certificate, for `tls.cert_file` and `tls.key_file`."""
    from mantlet.ops import certs

    _show(certs.server(Path(folder), out, names, days), as_json)


@app.command(epilog=examples("mantlet certs client --uri spiffe://example/agent/a --out agent-a"))
def client(
    uri: Annotated[list[str] | None, typer.Option("--uri", help="A URI that names the caller.")] = None,
    dns: Annotated[list[str] | None, typer.Option("--dns", help="A DNS name that names the caller.")] = None,
    out: Annotated[str, typer.Option(help="The files' name, without ending.")] = "client",
    folder: Folder = "certs",
    days: Days = 30,
    as_json: options.Json = False,
) -> None:
    """Sign a caller's certificate; the same name stands in `auth.mtls.callers`."""
    from mantlet.ops import certs

    _show(certs.client(Path(folder), out, uri or [], dns or [], days), as_json)


@app.command(epilog=examples("mantlet certs crl", "mantlet certs crl --revoke certs/agent-a.pem --days 2"))
def crl(
    revoke: Annotated[
        list[str] | None, typer.Option("--revoke", help="A certificate's file, or its serial number. May be repeated.")
    ] = None,
    folder: Folder = "certs",
    days: Annotated[float, typer.Option(help="Until when the next one is due.", min=0.001, max=3650)] = 7,
    as_json: options.Json = False,
) -> None:
    """Sign the authority's revocation list, ca.crl, for `crl_file`: what it revoked before, and what is named now.

    Nobody is let in by a certificate once the list has ended, so make it anew in good time.
    """
    from mantlet.ops import certs

    _show(certs.revocation_list(Path(folder), revoke or [], days), as_json)


def _show(written: "Written | List", as_json: bool) -> None:
    told = asdict(written)
    emit(told, as_json, lambda: facts(told))
