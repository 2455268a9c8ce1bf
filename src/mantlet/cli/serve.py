"""`mantlet serve` and `mantlet demo`."""

import sys
from contextlib import AbstractContextManager, redirect_stdout
from typing import Annotated

import typer

from mantlet.cli import options
from mantlet.cli.check import show, show_notices
from mantlet.cli.output import examples


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command(
        epilog=examples(
            "mantlet serve",
            "mantlet serve -c mantlet.yaml --set http.port=9000",
            "ENVIRONMENT=production mantlet serve -c base.yaml -c site.yaml",
        )
    )(serve)
    app.command(epilog=examples("mantlet demo", "mantlet demo --once"))(demo)


def serve(config: options.Config = None, settings: options.Settings = None) -> None:
    """Run the node until it is told to stop (Ctrl-C, SIGTERM).

    Without a configuration it runs as production with no servers behind it. Exits 1 or 2 as `check` does, before any
    port is opened, when the configuration is refused or not understood.
    """
    from mantlet.node.running.signals import pass_hangups

    pass_hangups()
    from mantlet.node.running.reload import Origin, Source

    origin = Origin.read(Source(tuple(options.files_of(config)), options.settings_of(settings)))
    report = origin.report
    if report.loaded is None or report.exit_code:
        with _to_stderr():
            show(report, quiet=True)
        raise typer.Exit(report.exit_code)
    with _to_stderr():
        show_notices(report, quiet=True)
    from mantlet.node.serve import run

    raise typer.Exit(run(report.loaded.config, origin=origin))


def demo(
    once: Annotated[
        bool, typer.Option("--once", help="Make the calls, show a refused one and its audit record, and end.")
    ] = False,
    port: Annotated[int, typer.Option(help="For calls; another free one when it is taken, 0 for any.", min=0)] = 8000,
    admin_port: Annotated[int, typer.Option(help="For health, metrics and the admin API; likewise.", min=0)] = 9501,
) -> None:
    """Start two real MCP servers behind a gateway on embedded defaults, and print how to call them.

    Needs `pip install 'mantlet[demo]'`. With --once exits 1 when anything was not as it should be.
    """
    from mantlet.ops.demo import run

    raise typer.Exit(run(once=once, port=port, admin_port=admin_port))


def _to_stderr() -> AbstractContextManager[object]:
    return redirect_stdout(sys.stderr)
