"""`mantlet shim`: a tool server that only one may run at a time, made reliable."""

from pathlib import Path
from typing import Annotated

import typer

from mantlet.cli.output import emit, examples, printable


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command(
        epilog=examples(
            "mantlet shim time -- python -m mcp_server_time",
            "mantlet shim files --container tools --fallback 'npx server-filesystem /data' -- server-filesystem /data",
            "mantlet shim time --do tools -- python -m mcp_server_time",
            "mantlet shim time --do call --tool get_current_time --arg timezone=UTC -- python -m mcp_server_time",
        ),
    )(shim)


def shim(
    name: Annotated[str, typer.Argument(help="What the lock is for: two shims of one name never run at once.")],
    words: Annotated[list[str], typer.Argument(metavar="-- COMMAND", help="The tool server and its arguments.")],
    container: Annotated[str, typer.Option(help="Run COMMAND in this running container.")] = "",
    engine: Annotated[str, typer.Option(help="docker or podman.")] = "docker",
    health: Annotated[str, typer.Option(help="A command that must exit 0 first. Default: the container runs.")] = "",
    fallback: Annotated[str, typer.Option(help="The command to run when that is not so.")] = "",
    allow: Annotated[
        str, typer.Option(help="What the client may ask for, with commas between.")
    ] = "health,tools,list,call",
    do: Annotated[str, typer.Option("--do", help="Ask one of health, tools, list, call, print the answer, end.")] = "",
    tool: Annotated[str, typer.Option(help="With --do call: the tool.")] = "",
    arg: Annotated[
        list[str] | None, typer.Option("--arg", metavar="NAME=VALUE", help="With --do call: an argument.")
    ] = None,
    lock_dir: Annotated[Path | None, typer.Option(help="Where locks are; it must be yours alone.")] = None,
    lock_timeout: Annotated[float, typer.Option(help="Seconds to wait for the lock.", min=0)] = 10.0,
    health_timeout: Annotated[float, typer.Option(help="Seconds the health command may take.", min=0.1)] = 5.0,
    timeout: Annotated[float, typer.Option(help="With --do: seconds until the answer.", min=0.1)] = 60.0,
) -> None:
    """Run a stdio tool server under a lock, looked at first and with something to fall back to.

    Stands where an MCP client expects the server: it passes stdin and stdout through, and notes go to stderr as JSON.
    When the shim ends, however it ends, so does the server with all that it started, and the lock is free. Exits as
    the server did; 75 when another holds the lock, 69 when nothing is well.
    """
    from mantlet.ops.remote.arguments import arguments_of
    from mantlet.ops.shim import Plan, ShimFailed, run
    from mantlet.ops.shim.plan import ALLOWED, words_of

    if do and do not in ALLOWED:
        raise typer.BadParameter(f"{do!r}: choose one of {', '.join(ALLOWED)}", param_hint="--do")
    if (do == "call") != bool(tool):
        raise typer.BadParameter("goes with --do call", param_hint="--tool")
    try:
        plan = Plan(
            name=name,
            command=tuple(words),
            container=container,
            engine=engine,
            health=words_of(health, "--health"),
            fallback=words_of(fallback, "--fallback"),
            allow=frozenset(word.strip() for word in allow.split(",") if word.strip()),
            lock_folder=lock_dir,
            lock_timeout_s=lock_timeout,
            health_timeout_s=health_timeout,
        )
        arguments = arguments_of(arg or [])
    except ValueError as error:
        raise typer.BadParameter(printable(str(error))) from error

    def answer(result: dict[str, object]) -> None:
        emit(result, True, lambda: None)

    try:
        raise typer.Exit(
            run(plan, action=do or None, tool=tool, arguments=arguments, timeout_s=timeout, answer=answer)  # type: ignore[arg-type]  # checked above
        )
    except ShimFailed as failure:
        typer.echo(f"mantlet: {printable(str(failure))}", err=True)
        raise typer.Exit(failure.exit_code) from failure
