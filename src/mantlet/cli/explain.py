"""`mantlet explain`: which rule decides on a call, and why each one before it does not."""

import json
from datetime import datetime
from ipaddress import ip_address
from typing import Annotated, Any

import typer

from mantlet.cli import options
from mantlet.cli.output import emit, examples, printable, table, warn

As = Annotated[
    str,
    typer.Option(
        "--as",
        metavar="CALLER",
        help="An API key: its name in the configuration; its id, name or owner in the database. Or any subject.",
    ),
]
Method = Annotated[
    str, typer.Argument(metavar="METHOD", help="tools/call, resources/read, tools/list; or GET, POST, …")
]
Target = Annotated[
    str, typer.Argument(metavar="TARGET", help="TOOL or SERVER__TOOL, a prompt, a URI, or a path of a service.")
]
Many = list[str] | None
KINDS = ("user", "agent", "service")


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command(
        epilog=examples(
            "mantlet explain --as ci tools/call time__get_current_time",
            "mantlet explain --as ann --role reader tools/call search --server docs --args '{\"size\": 5}'",
            "mantlet explain --as ann --actor bot tools/call files__delete --running --json",
        )
    )(explain)


def explain(
    caller: As,
    method: Method,
    target: Target = "",
    server: Annotated[str, typer.Option("--server", "-s", metavar="NAME", help="Which server or service.")] = "",
    role: Annotated[Many, typer.Option("--role", metavar="ROLE", help="A role of the caller; may be repeated.")] = None,
    scope: Annotated[Many, typer.Option("--scope", metavar="SCOPE", help="A scope; may be repeated.")] = None,
    tenant: Annotated[str, typer.Option("--tenant", metavar="NAME", help="The caller's tenant.")] = "",
    issuer: Annotated[str, typer.Option("--issuer", metavar="URL", help="Who vouches for the caller.")] = "",
    kind: Annotated[str, typer.Option("--kind", metavar="KIND", help="user, agent or service.")] = "",
    actor: Annotated[
        Many, typer.Option("--actor", metavar="NAME", help="Who acts for the caller, the nearest first.")
    ] = None,
    args: Annotated[str, typer.Option("--args", metavar="JSON", help="The call's arguments, for conditions.")] = "",
    address: Annotated[str, typer.Option("--address", metavar="IP", help="Where the call comes from.")] = "",
    at: Annotated[
        str, typer.Option("--at", metavar="TIME", help="When, as in 2026-12-24T18:00:00Z. Default: now.")
    ] = "",
    running: Annotated[
        bool, typer.Option("--running", help="Ask the running node: its rules as they are, kill switches too.")
    ] = False,
    url: options.AdminUrl = "",
    token: options.Token = "",
    token_file: options.TokenFile = "",
    config: options.Config = None,
    as_json: options.Json = False,
) -> None:
    """Say which rule decides on a call, and why each one before it does not. Exits 1 when the call is denied."""
    question: dict[str, Any] = {"caller": caller, "method": method, "target": target, "server": server}
    _sound(kind, address, at)
    given = {"tenant": tenant, "issuer": issuer, "kind": kind, "roles": role, "scopes": scope, "act": actor,
             "address": address, "at": at, "args": _arguments(args)}  # fmt: skip
    question |= {key: value for key, value in given.items() if value not in ("", None)}
    if running or url:
        told = options.admin(url, token, token_file, config).explain(question)
    else:
        told = _offline(question, config)
    emit(told, as_json, lambda: _show(told))
    raise typer.Exit(0 if told["allowed"] else 1)


def _sound(kind: str, address: str, at: str) -> None:
    """Refuse what cannot be meant, by the option's own name."""
    if kind and kind not in KINDS:
        raise typer.BadParameter(f"{kind!r} is none of {', '.join(KINDS)}", param_hint="--kind")
    try:
        if address:
            ip_address(address)
    except ValueError:
        raise typer.BadParameter(f"{address!r} is no IP address", param_hint="--address") from None
    try:
        is_instant = not at or datetime.fromisoformat(at).tzinfo is not None
    except ValueError:
        is_instant = False
    if not is_instant:
        raise typer.BadParameter(f"{at!r} is no instant like 2026-12-24T18:00:00Z", param_hint="--at")


def _arguments(text: str) -> dict[str, Any] | None:
    if not text:
        return None
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise typer.BadParameter("is no JSON object", param_hint="--args")
    return found


def _offline(question: dict[str, Any], config: list[str] | None) -> dict[str, Any]:
    import os

    import msgspec

    from mantlet.core.config_error import ConfigError
    from mantlet.core.refusal import InvalidParams
    from mantlet.node.config import load
    from mantlet.node.operators.explain import answer, question_of
    from mantlet.ops import keyring

    try:
        asked = question_of(question)
    except msgspec.ValidationError as error:
        raise typer.BadParameter(str(error)) from None
    loaded = load(options.files_of(config), os.environ).config
    keys = []
    if asked.is_of_database(loaded):
        try:
            keys = keyring.standing(loaded)
        except ConfigError as error:
            warn(f"keys of the database are not looked at: {error}")
    try:
        return answer(loaded, asked, keys=keys)
    except InvalidParams as refusal:
        raise typer.BadParameter(refusal.detail, param_hint="--as") from None
    except ValueError as error:
        raise ConfigError("authorization.rules", str(error)) from None


def _show(told: dict[str, Any]) -> None:
    if told.get("named"):
        print(printable(f"rules name it {told['named']}" if told["server"] else told["named"]), end="\n\n")
    if told.get("key"):
        print(
            printable(f"the API key {told['key']}: {told['caller']}, roles {' '.join(told['roles']) or '-'}"),
            end="\n\n",
        )
    steps = [(step["rule"], step["effect"], step["outcome"], step["why"]) for step in told["steps"]]
    if steps:
        table(("rule", "effect", "outcome", "why"), steps)
        print()
    verdict = "allowed" if told["allowed"] else "denied"
    print(printable(f"{verdict} by {told['rule']}: {told['why']}"))
    if told.get("needs_approval"):
        print("and needs a human's approval")
