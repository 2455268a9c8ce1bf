"""`mantlet tools` and `mantlet call`: through a running node, as any other client would."""

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mantlet.cli import options
from mantlet.cli.output import emit, examples, printable, table

if TYPE_CHECKING:
    from mantlet.ops.remote import Mcp

Server = Annotated[str, typer.Option("--server", "-s", metavar="NAME", help="One server. Default: all as one.")]
EraOption = Annotated[
    str, typer.Option("--era", help="MCP revision to speak: auto, modern (2026-07-28) or legacy (2025-11-25).")
]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command(epilog=examples("mantlet tools", "mantlet tools --server time --json"))(tools)
    app.command(
        epilog=examples(
            "mantlet call get_current_time timezone=Europe/Berlin",
            """mantlet call convert --args '{"amount": 3, "to": ["EUR", "USD"]}'""",
            "mantlet call add a=1 b=2 --server math --json",
        )
    )(call)


def tools(
    server: Server = "",
    era: EraOption = "auto",
    url: options.Url = "",
    token: options.Token = "",
    token_file: options.TokenFile = "",
    login: options.Login = False,
    config: options.Config = None,
    as_json: options.Json = False,
) -> None:
    """List the tools that this caller may use."""
    wish = options.wish_of(url, token, token_file, config)
    client = _client(server, era, options.address_of("http", wish, login=login))
    try:
        found = client.tools()
    finally:
        client.close()
    rows = [(tool.get("name", ""), _first_line(tool.get("description"))) for tool in found]
    emit({"tools": found}, as_json, lambda: table(("tool", "what it does"), rows, empty="no tools for this caller"))


def call(
    tool: Annotated[str, typer.Argument(metavar="TOOL", help="The tool's name, as `mantlet tools` shows it.")],
    values: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE",
            help="Arguments; a value that is JSON (3, true, [1]) is taken as such, so the text 3 is '\"3\"'.",
        ),
    ] = None,
    args: Annotated[
        str, typer.Option("--args", metavar="JSON", help="All arguments as one JSON object; - reads it.")
    ] = "",
    server: Server = "",
    era: EraOption = "auto",
    url: options.Url = "",
    token: options.Token = "",
    token_file: options.TokenFile = "",
    login: options.Login = False,
    config: options.Config = None,
    as_json: options.Json = False,
) -> None:
    """Call a tool and print its result.

    Exits 1 when the call is refused or the tool reports an error, 4 when this caller may not make it.
    """
    from mantlet.ops.remote.arguments import arguments_of

    arguments = arguments_of(values or [], sys.stdin.read() if args == "-" else args)
    wish = options.wish_of(url, token, token_file, config)
    client = _client(server, era, options.address_of("http", wish, login=login))
    try:
        result = client.call(tool, arguments)
    finally:
        client.close()
    emit(result, as_json, lambda: _show(result))
    raise typer.Exit(1 if result.get("isError") else 0)


def _client(server: str, era: str, address: Any) -> "Mcp":
    from mantlet.ops.remote import Mcp

    if era not in ("auto", "modern", "legacy"):
        raise typer.BadParameter(f"{era!r} is none of auto, modern, legacy", param_hint="--era")
    return Mcp(address, server, era)  # type: ignore[arg-type]


def _show(result: dict[str, Any]) -> None:
    for part in result.get("content", []):
        if isinstance(part, dict) and isinstance(part.get("text"), str):
            print("\n".join(printable(line) for line in part["text"].splitlines()))
        else:
            print(json.dumps(part, ensure_ascii=True))
    if not result.get("content"):
        print(json.dumps(result, ensure_ascii=True, indent=2))


def _first_line(text: object) -> str:
    lines = text.strip().splitlines() if isinstance(text, str) else []
    return lines[0][:120] if lines else ""
