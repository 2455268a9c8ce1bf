"""`mantlet pins`: what servers say of their tools, held to what was approved."""

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mantlet.cli import options
from mantlet.cli.output import clock, emit, examples, printable, table, warn
from mantlet.core.config_error import ConfigError

if TYPE_CHECKING:
    from mantlet.ops.pins import Comparison

app = typer.Typer(no_args_is_help=True, help="Definitions of tools, prompts and templates: pinned, and in quarantine.")
Server = Annotated[str, typer.Argument(metavar="SERVER", help="The server's name in the configuration.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The tool's (prompt's, template's) own name.")]
Kind = Annotated[str, typer.Option("--kind", "-k", help="tools, prompts, resourceTemplates or instructions.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@app.command("list", epilog=examples("mantlet pins list", "mantlet pins list --json"))
def list_(
    url: options.AdminUrl = "",
    token: options.Token = "",
    token_file: options.TokenFile = "",
    config: options.Config = None,
    as_json: options.Json = False,
) -> None:
    """List what is in quarantine and why, then what is pinned. Exits 1 when anything is in quarantine."""
    found = options.admin(url, token, token_file, config).pins()
    columns = ("state", "server", "kind", "name", "hash", "since", "why or by whom")
    rows = [
        (
            p["state"],
            p["server"],
            p["kind"],
            p["name"],
            _short(p["hash"]),
            clock(p["at_s"]),
            p.get("why") or p.get("by"),
        )
        for p in found
    ]
    emit({"pins": found}, as_json, lambda: table(columns, rows, empty="nothing is pinned, nothing is in quarantine"))
    raise typer.Exit(1 if any(p["state"] == "quarantined" for p in found) else 0)


@app.command(epilog=examples("mantlet pins diff time get_time", "mantlet pins diff docs review --kind prompts"))
def diff(
    server: Server,
    name: Name,
    kind: Kind = "tools",
    url: options.AdminUrl = "",
    token: options.Token = "",
    token_file: options.TokenFile = "",
    config: options.Config = None,
    as_json: options.Json = False,
) -> None:
    """Show what changed, with hidden characters written out as <U+200B>."""
    told = options.admin(url, token, token_file, config).pin(server, kind, name)
    emit(told, as_json, lambda: _show(told))


@app.command(epilog=examples("mantlet pins approve time get_time", "mantlet pins approve time get_time --yes"))
def approve(
    server: Server,
    name: Name,
    kind: Kind = "tools",
    yes: Yes = False,
    url: options.AdminUrl = "",
    token: options.Token = "",
    token_file: options.TokenFile = "",
    config: options.Config = None,
    as_json: options.Json = False,
) -> None:
    """Pin what is in quarantine, as it was shown: what the server says by then is approved only if it is the same."""
    admin = options.admin(url, token, token_file, config)
    told = admin.pin(server, kind, name)
    if not yes:
        _show(told)
        typer.confirm("approve this?", abort=True)
    change = admin.approve_pin(server, kind, name, told["hash"])
    emit(change, as_json, lambda: print(f"approved: {server}/{name} is {_short(change['after'])}"))


@app.command(epilog=examples("mantlet pins reject time get_time"))
def reject(
    server: Server,
    name: Name,
    kind: Kind = "tools",
    url: options.AdminUrl = "",
    token: options.Token = "",
    token_file: options.TokenFile = "",
    config: options.Config = None,
    as_json: options.Json = False,
) -> None:
    """Say no to what is in quarantine. What was approved before works again if the server goes back to it."""
    admin = options.admin(url, token, token_file, config)
    change = admin.reject_pin(server, kind, name, admin.pin(server, kind, name)["hash"])
    emit(change, as_json, lambda: print(f"rejected: {server}/{name} {_short(change['after'])}"))


@app.command(
    epilog=examples(
        "mantlet pins check -c mantlet.yaml",
        "mantlet pins check --write && git add mantlet.lock",
        "mantlet pins check --write --accept notes/search",
    )
)
def check(
    config: options.Config = None,
    settings: options.Settings = None,
    write: Annotated[bool, typer.Option("--write", "-w", help="Write the lock file: approve what is found.")] = False,
    accept: Annotated[
        list[str] | None,
        typer.Option(
            "--accept", metavar="SERVER/NAME", help="With --write: this one too, whatever is suspect about it."
        ),
    ] = None,
    file: Annotated[str, typer.Option("--file", help="The lock file. Default: mcp.pins.file.")] = "",
    as_json: options.Json = False,
) -> None:
    """Ask the configured servers what their definitions are, without a node, and compare with the lock file.

    Exits 0 when all is as approved, 1 when anything differs or a server does not answer (with --write: when anything
    was left out), 2 when the configuration is not understood.
    """
    import asyncio
    import time

    from mantlet.node.config.load import load
    from mantlet.ops.pins import collect, compare
    from mantlet.ops.recorded import operator
    from mantlet.policies.pins.lock import LockFile

    if not (files := options.files_of(config)):
        raise ConfigError("mantlet.yaml", "is not here, so there is no server to ask", "-c names a configuration")
    loaded = load(files, os.environ, settings=options.settings_of(settings)).config
    lock = LockFile(file or loaded.mcp.pins.file)
    pins = lock.read()
    found = asyncio.run(collect(loaded))
    names = [server.name for server in loaded.mcp.servers]
    who = f"{operator()}, mantlet pins check"
    comparison = compare(
        found.definitions, pins, names, asked=set(names) - found.errors.keys(), at_s=time.time(), by=who
    )
    left = {d.key for d in comparison.differences if d.findings and d.name not in (accept or ())} if write else set()
    if write:
        former = [pin for key, pin in pins.items() if key in left]
        lock.write([*former, *(pin for pin in comparison.pins if pin.definition.key not in left)])
    told = {
        "file": str(lock.path),
        "written": write,
        "left_out": sorted(f"{key.server}/{key.name}" for key in left),
        "errors": found.errors,
        "differences": [one.as_json() for one in comparison.differences],
    }
    emit(told, as_json, lambda: _tell(comparison, told))
    raise typer.Exit(1 if found.errors or left or (comparison.differences and not write) else 0)


def _tell(comparison: "Comparison", told: dict[str, Any]) -> None:
    for one in comparison.differences:
        print(f"{one.what}: {printable(one.name)} ({one.key.kind})")
        for finding in one.findings:
            print(f"  ! {printable(finding)}")
        for line in one.lines:
            print(f"  {printable(line)}")
    for server, why in told["errors"].items():
        warn(f"{server} was not compared: {printable(why)}")
    for name in told["left_out"]:
        warn(f"{printable(name)} is suspect and was left as it was; --accept {printable(name)} approves it")
    count = len(comparison.differences)
    if told["written"]:
        print(f"{told['file']} is written: {len(comparison.pins) - len(told['left_out'])} definitions")
    else:
        print(f"{count} of what servers say is not what {told['file']} says" if count else "all is as approved")


def _show(told: dict[str, Any]) -> None:
    print(f"{told['server']}/{printable(told['name'])} ({told['kind']}): {told['state']}, {printable(told['why'])}")
    for line in told.get("difference", []):
        print(f"  {printable(line)}")


def _short(digest: str) -> str:
    return digest[:19]
