"""`mantlet limits`: what a client has left."""

from typing import Annotated

import typer

from mantlet.cli import options
from mantlet.cli.output import clock, emit, examples, facts, table

app = typer.Typer(no_args_is_help=True, help="Rate limits of a running node.")
Client = Annotated[
    str, typer.Argument(metavar="CLIENT", help="Who: TENANT/ISSUER/SUBJECT as the audit's principal, or an address.")
]


@app.command(
    epilog=examples("mantlet limits status default/mantlet:api-key/ci", "mantlet limits status 192.0.2.7 --json")
)
def status(
    client: Client,
    url: options.AdminUrl = "",
    token: options.Token = "",
    token_file: options.TokenFile = "",
    config: options.Config = None,
    as_json: options.Json = False,
) -> None:
    """Show the windows of a client: limit, remaining, reset."""
    told = options.admin(url, token, token_file, config).limit(client)
    windows = told.get("windows") or []

    def show() -> None:
        rows = [(w["name"], w["limit"], w["window_s"], w["remaining"], clock(w["reset_s"])) for w in windows]
        table(("limit", "requests", "window_s", "remaining", "reset"), rows, empty="nothing counted")

    emit(told, as_json, show if windows else lambda: facts(told))


@app.command(epilog=examples("mantlet limits reset default/mantlet:api-key/ci"))
def reset(
    client: Client,
    url: options.AdminUrl = "",
    token: options.Token = "",
    token_file: options.TokenFile = "",
    config: options.Config = None,
    as_json: options.Json = False,
) -> None:
    """Forget what a client has used."""
    told = options.admin(url, token, token_file, config).reset_limit(client)
    emit(told, as_json, lambda: print(f"windows of {client} forgotten: {told.get('reset', 0)}"))


@app.command(epilog=examples("mantlet limits show", "mantlet limits show -c mantlet.yaml --json"))
def show(config: options.Config = None, settings: options.Settings = None, as_json: options.Json = False) -> None:
    """Show the limits that the configuration sets."""
    import os

    from mantlet.node.config import load
    from mantlet.node.config.effective import effective

    loaded = load(options.files_of(config), os.environ, settings=options.settings_of(settings))
    lines = [line for line in effective(loaded) if line.key.startswith("limits.")]
    told = {line.key.removeprefix("limits."): line.value for line in lines}
    emit(
        told, as_json, lambda: table(("limit", "value", "from"), [(line.key, line.text, line.origin) for line in lines])
    )
