"""`mantlet grants`: which callers let the node act for them at upstreams (docs/forwarding.md)."""

import os
from typing import Annotated

import typer

from mantlet.cli import options
from mantlet.cli.output import emit, examples, table

app = typer.Typer(no_args_is_help=True, help="Callers' own grants at upstreams: list them, and take them back.")


@app.command("list", epilog=examples("mantlet grants list", "mantlet grants list --json"))
def list_(config: options.Config = None, as_json: options.Json = False) -> None:
    """List the grants. No token is shown."""
    from mantlet.node.config import load
    from mantlet.ops import grants

    found = grants.grants(load(options.files_of(config), os.environ).config)
    columns = ("upstream", "tenant", "issuer", "subject", "server", "scope", "created", "refreshed")
    rows = [[grant[column] for column in columns] for grant in found]
    emit({"grants": found}, as_json, lambda: table(columns, rows, empty="nobody has consented yet"))


@app.command(
    epilog=examples("mantlet grants revoke ada --upstream docs", "mantlet grants revoke ada --tenant research")
)
def revoke(
    subject: Annotated[str, typer.Argument(help="Whose grants.")],
    upstream: Annotated[str, typer.Option(help="At which upstream. Default: at all.")] = "",
    issuer: Annotated[str, typer.Option(help="The caller's issuer. Default: whichever.")] = "",
    tenant: Annotated[str, typer.Option(help="The caller's tenant.")] = "default",
    config: options.Config = None,
    as_json: options.Json = False,
) -> None:
    """Take grants back. Running nodes use them for two seconds more at most."""
    from mantlet.node.config import load
    from mantlet.ops import grants

    told = grants.revoked(load(options.files_of(config), os.environ).config, upstream, subject, issuer or None, tenant)
    emit(dict(told), as_json, lambda: print(f"revoked {told['revoked']}; their servers took note of {told['told']}"))
