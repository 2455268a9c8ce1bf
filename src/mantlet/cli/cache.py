"""`mantlet cache`: what answers are kept, and forgetting them."""

from typing import Annotated

import typer

from mantlet.cli import options
from mantlet.cli.output import emit, examples, table, warn

app = typer.Typer(no_args_is_help=True, help="Answers that a running node keeps.")
Server = Annotated[str, typer.Option("--server", metavar="NAME", help="Of this server only.")]
Kind = Annotated[
    str, typer.Option("--kind", metavar="KIND", help="Of that server's tools, prompts, resources or discover only.")
]


@app.command(epilog=examples("mantlet cache stats", "mantlet cache stats --json"))
def stats(
    url: options.AdminUrl = "",
    token: options.Token = "",
    token_file: options.TokenFile = "",
    config: options.Config = None,
    as_json: options.Json = False,
) -> None:
    """Show hits, misses, what is kept, and whether the cache is on, for each worker."""
    found = options.admin(url, token, token_file, config).cache()
    columns = (
        *("worker", "state", "hit_rate", "hits", "misses", "from_store", "coalesced", "computed", "fetch_ms"),
        *("evicted", "entries", "bytes"),
    )
    rows = [tuple(row.get(column, "") for column in columns) for row in found]
    emit({"cache": found}, as_json, lambda: table(columns, rows))


@app.command(epilog=examples("mantlet cache purge", "mantlet cache purge --server docs --kind tools"))
def purge(
    server: Server = "",
    kind: Kind = "",
    url: options.AdminUrl = "",
    token: options.Token = "",
    token_file: options.TokenFile = "",
    config: options.Config = None,
    as_json: options.Json = False,
) -> None:
    """Forget answers, in all workers and on every node that shares the store."""
    told = options.admin(url, token, token_file, config).purge_cache(server, kind)
    what = f"{kind or 'all answers'} of {server}" if server else "all answers"
    emit(told, as_json, lambda: print(f"{what} forgotten"))
    if not told.get("told_all", True):
        warn("the store is away, and with it the other nodes' caches; they forget this when it is back")
