"""`mantlet health`, `connections` and `upstreams`: a running node, looked at."""

from collections.abc import Iterator

import typer

from mantlet.cli import options
from mantlet.cli.output import emit, examples, facts, table

STATE = ("worker", "name", "transport", "state", "eras", "reason")
"""Of an upstream's twenty figures those that a terminal has room for."""


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command(epilog=examples("mantlet health", "mantlet health --url http://127.0.0.1:9501 --json"))(health)
    app.command(epilog=examples("mantlet connections", "mantlet connections --json"))(connections)
    app.command(epilog=examples("mantlet upstreams", "mantlet upstreams --json"))(upstreams)


def health(
    url: options.AdminUrl = "",
    token: options.Token = "",
    token_file: options.TokenFile = "",
    config: options.Config = None,
    as_json: options.Json = False,
) -> None:
    """Say whether the node takes calls, and with an admin's token the state of each part. Exits 1 when it is down."""
    from mantlet.ops.remote import Admin

    address = options.address_of("admin", options.wish_of(url, token, token_file, config))
    told = Admin(address).overview()

    def show() -> None:
        flat = {key: value for key, value in told.items() if not isinstance(value, dict) and value not in ([], "")}
        facts({"status": told["status"], **flat})
        for part, state in (told.get("parts") or {}).items():
            facts({f"  {part}": state})

    emit(told, as_json, show)
    raise typer.Exit(0 if told["status"] == "up" else 1)


def connections(
    url: options.AdminUrl = "",
    token: options.Token = "",
    token_file: options.TokenFile = "",
    config: options.Config = None,
    as_json: options.Json = False,
) -> None:
    """List the open connections with age, caller, bytes and calls."""
    found = options.admin(url, token, token_file, config).connections()
    emit({"connections": found}, as_json, lambda: _rows(found, "no connections"))


def upstreams(
    url: options.AdminUrl = "",
    token: options.Token = "",
    token_file: options.TokenFile = "",
    config: options.Config = None,
    as_json: options.Json = False,
) -> None:
    """List the servers behind the node with their state; --json tells everything.

    Into a pipe it writes a line a server with tabs between and no headings: worker, name, transport, state, eras,
    reason. Endpoints follow their server as SERVER/ENDPOINT.
    """
    found = options.admin(url, token, token_file, config).upstreams()
    emit({"upstreams": found}, as_json, lambda: _states(found))


def _states(found: list[dict[str, object]]) -> None:
    rows = [
        [
            row.get("reason") or row.get("reasons") or "" if column == "reason" else row.get(column, "")
            for column in STATE
        ]
        for row in _with_endpoints(found)
    ]
    table(STATE, rows, empty="no upstreams")


def _with_endpoints(found: list[dict[str, object]]) -> Iterator[dict[str, object]]:
    for row in found:
        yield row
        endpoints = row.get("endpoints")
        for one in endpoints if isinstance(endpoints, list) else ():
            yield {**one, "name": f"{row.get('name')}/{one.get('name')}", "worker": row.get("worker", "")}


def _rows(found: list[dict[str, object]], empty: str) -> None:
    columns = list(dict.fromkeys(key for row in found for key in row))
    table(columns, [[_short(row.get(column, "")) for column in columns] for row in found], empty=empty)


def _short(value: object) -> object:
    return round(value, 1) if isinstance(value, float) else value
