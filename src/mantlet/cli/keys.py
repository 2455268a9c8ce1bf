"""`mantlet keys`: API keys in the configured database."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mantlet.cli import options
from mantlet.cli.output import emit, examples, facts, printable, table, warn
from mantlet.core.config_error import ConfigError

if TYPE_CHECKING:
    from mantlet.core.secret import Secret
    from mantlet.node.config import Config

app = typer.Typer(
    no_args_is_help=True, help="API keys: make, list and revoke them. Works with and without a running node."
)
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="Write the key there (mode 0600) and do not show it."),
]


@app.command(
    epilog=examples(
        "mantlet keys create ci --role user --scope mcp:read --expires-days 90",
        "mantlet keys create ci --role user --out ci.key",
        "mantlet keys create planner --kind agent --tenant research --json",
    )
)
def create(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="What the key is called, and whom it stands for unless --owner says.")
    ],
    owner: Annotated[str, typer.Option(help="The principal's subject. Default: the name.")] = "",
    role: Annotated[list[str] | None, typer.Option("--role", metavar="ROLE", help="A role; may be repeated.")] = None,
    scope: Annotated[
        list[str] | None, typer.Option("--scope", metavar="SCOPE", help="A scope; may be repeated.")
    ] = None,
    tenant: Annotated[str, typer.Option(help="The tenant.")] = "default",
    kind: Annotated[str, typer.Option(help="user, agent or service.")] = "service",
    expires_days: Annotated[
        float | None, typer.Option(metavar="DAYS", help="Days until it ends. Default: never.", min=0.001)
    ] = None,
    out: Out = None,
    config: options.Config = None,
    as_json: options.Json = False,
) -> None:
    """Make a key and show it this once; only a keyed hash of it is kept."""
    from mantlet.keys.new_key import NewKey
    from mantlet.ops import keyring

    life_s = None if expires_days is None else expires_days * 86_400
    wanted = NewKey(name, owner, tenant, kind, tuple(role or ()), tuple(scope or ()), life_s)
    loaded = _config(config)
    same = keyring.namesakes(loaded, wanted)
    _refuse_taken(out)
    record, key = keyring.create(loaded, wanted)
    if same:
        warn(f"{printable(record.owner)} of tenant {record.tenant} is already the principal of {', '.join(same)}")
    _give(keyring.described(record), key, out, as_json)


@app.command("list", epilog=examples("mantlet keys list", "mantlet keys list --json"))
def list_keys(config: options.Config = None, as_json: options.Json = False) -> None:
    """List the keys of the database. Bootstrap keys stand in the configuration instead."""
    from mantlet.ops import keyring

    found = [keyring.described(record) for record in keyring.listed(_config(config))]
    columns = ("id", "name", "owner", "tenant", "roles", "scopes", "state", "expires", "last_used")

    def cell(value: object) -> object:
        return " ".join(value) if isinstance(value, list) else value or "-"

    rows = [[cell(key[column]) for column in columns] for key in found]
    emit({"keys": found}, as_json, lambda: table(columns, rows, empty="no keys; `mantlet keys create` makes one"))


@app.command(epilog=examples("mantlet keys revoke 3fK9sQ2mXb0A"))
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The id that `mantlet keys list` shows.")],
    config: options.Config = None,
    as_json: options.Json = False,
) -> None:
    """End a key for ever. Running nodes refuse it within seconds."""
    from mantlet.ops import keyring

    revoked = keyring.revoke(_config(config), key_id)
    emit({"revoked": revoked}, as_json, lambda: print(f"{revoked} is revoked"))


@app.command(epilog=examples("mantlet keys rotate 3fK9sQ2mXb0A", "mantlet keys rotate 3fK9sQ2mXb0A --overlap-hours 1"))
def rotate(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The id that `mantlet keys list` shows.")],
    overlap_hours: Annotated[
        float, typer.Option(metavar="HOURS", help="How long the old key is still accepted.", min=0)
    ] = 24,
    out: Out = None,
    config: options.Config = None,
    as_json: options.Json = False,
) -> None:
    """Make the next key of the same owner and rights, and let the old one end."""
    from mantlet.ops import keyring

    _refuse_taken(out)
    record, key = keyring.rotate(_config(config), key_id, overlap_hours * 3600)
    _give({**keyring.described(record), "previous": key_id}, key, out, as_json)


def _give(described: dict[str, Any], key: "Secret", out: Path | None, as_json: bool) -> None:
    """Show a new key this once, or leave it in a file of its owner's alone."""
    from mantlet.keys.files import write_secret

    if out is not None:
        write_secret(out, f"{key.reveal()}\n")
    told = {**described, **({"key": key.reveal()} if out is None else {"key_file": str(out)})}

    def show() -> None:
        shown = ("key", "key_file", "id", "expires", "previous")
        facts({name: told[name] or "never" for name in shown if name in told})
        if out is None:
            print("\nThis is the only time the key is shown.")

    emit(told, as_json, show)


def _refuse_taken(out: Path | None) -> None:
    """Before a key is made: one that could not be written would be lost, and live."""
    if out is None:
        return
    if os.path.lexists(out):
        raise ConfigError(str(out), "is there already", "nothing is overwritten")
    if not os.access(out.absolute().parent, os.W_OK):
        raise ConfigError(str(out.parent), "is no folder that this user can write to")


def _config(files: list[str] | None) -> "Config":
    from mantlet.node.config import load

    return load(options.files_of(files), os.environ).config
