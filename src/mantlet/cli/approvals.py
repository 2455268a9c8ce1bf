"""`mantlet approvals`: calls that wait for a human's yes."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mantlet.cli import options
from mantlet.cli.output import clock, emit, examples, facts, table

if TYPE_CHECKING:
    from mantlet.ops.remote import Admin

app = typer.Typer(help="Decide on calls that wait for a human's yes.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(metavar="ID", help="The request's id, as `mantlet approvals list` shows it.")]
Note = Annotated[str, typer.Option("--note", metavar="TEXT", help="Why, for the record.")]


@app.command("list", epilog=examples("mantlet approvals list", "mantlet approvals list --json"))
def list_(
    url: options.AdminUrl = "",
    token: options.Token = "",
    token_file: options.TokenFile = "",
    config: options.Config = None,
    as_json: options.Json = False,
) -> None:
    """List the requests, the newest first."""
    found = options.admin(url, token, token_file, config).approvals()
    rows = [(a["id"], a["state"], a["server"], a["tool"], a["caller"], clock(a["until_s"])) for a in found]
    columns = ("id", "state", "server", "tool", "caller", "until")
    emit({"approvals": found}, as_json, lambda: table(columns, rows, empty="no call waits for approval"))


@app.command(epilog=examples("mantlet approvals show 3Jv9pQx2Lk0a"))
def show(
    request_id: Id,
    url: options.AdminUrl = "",
    token: options.Token = "",
    token_file: options.TokenFile = "",
    config: options.Config = None,
    as_json: options.Json = False,
) -> None:
    """Show one request with every argument. Characters that would not be seen stand as codes, like \\u{200B}."""
    told = options.admin(url, token, token_file, config).approval(request_id)
    emit(told, as_json, lambda: facts(dict(_shown(told))))


@app.command(epilog=examples("mantlet approvals approve 3Jv9pQx2Lk0a --note 'asked by phone'"))
def approve(
    request_id: Id,
    note: Note = "",
    url: options.AdminUrl = "",
    token: options.Token = "",
    token_file: options.TokenFile = "",
    config: options.Config = None,
    as_json: options.Json = False,
) -> None:
    """Let this call through, once."""
    _decide(options.admin(url, token, token_file, config), request_id, "approve", note, as_json)


@app.command(epilog=examples("mantlet approvals deny 3Jv9pQx2Lk0a --note 'not on a Friday'"))
def deny(
    request_id: Id,
    note: Note = "",
    url: options.AdminUrl = "",
    token: options.Token = "",
    token_file: options.TokenFile = "",
    config: options.Config = None,
    as_json: options.Json = False,
) -> None:
    """Refuse this call."""
    _decide(options.admin(url, token, token_file, config), request_id, "deny", note, as_json)


def _decide(admin: "Admin", request_id: str, decision: str, note: str, as_json: bool) -> None:
    told = admin.decide(request_id, decision, note)
    emit(told, as_json, lambda: print(f"{told['id']} is {told['state']}: {told['tool']} for {told['caller']}"))


def _shown(told: dict[str, Any]) -> Iterator[tuple[str, object]]:
    """What is there, with instants as clocks show them."""
    for key, value in told.items():
        if value not in ("", None, []):
            yield (key.removesuffix("_s"), clock(value)) if key.endswith("_s") else (key, value)
