"""The demo from beginning to end: servers, gateway, what to do with them, and everything closed in reverse."""

import asyncio
import tempfile
from collections.abc import Awaitable
from pathlib import Path
from typing import Final, TypeVar

from mantlet.core.config_error import ConfigError
from mantlet.node.build.built import Node
from mantlet.node.check.examine import examine
from mantlet.node.config import Config
from mantlet.node.serve import run as serve
from mantlet.ops.demo.child import notes_server
from mantlet.ops.demo.guide import guide
from mantlet.ops.demo.opened import until_open
from mantlet.ops.demo.plan import Plan, free_port, prepare, require_packages
from mantlet.ops.demo.proof import prove

PORT: Final = 8000
ADMIN_PORT: Final = 9501
FAILED: Final = 1

T = TypeVar("T")


def run(*, once: bool = False, port: int = PORT, admin_port: int = ADMIN_PORT) -> int:
    """Run the demo until Ctrl-C, or with `once` until its own calls are made; the exit code.

    Raises `ConfigError` when a package is missing or a server does not start.
    """
    require_packages()
    with tempfile.TemporaryDirectory(prefix="mantlet-demo-") as folder:
        say("starting two MCP servers: time (stdio) and notes (HTTP) ...")
        with notes_server(Path(folder) / "notes.log") as url:
            port = free_port(port, say)
            plan = prepare(Path(folder), url, port, free_port(admin_port, say, taken=port))
            say("starting the gateway ...")
            config = _config(plan)
            return _once(plan, config) if once else _until_told(plan, config)


def say(text: str) -> None:
    """A line, at once: into a pipe too."""
    print(text, flush=True)


def _config(plan: Plan) -> Config:
    # No variable of the user's own reaches the demo: ENVIRONMENT=production would refuse most of it.
    report = examine([str(plan.config)], {})
    if report.loaded is None or report.exit_code:
        reasons = [str(reason) for reason in (*report.problems, *report.judgement.refused)]
        raise ConfigError("demo", f"its configuration is refused: {'; '.join(reasons)}")
    return report.loaded.config


def _until_told(plan: Plan, config: Config) -> int:
    failures: list[str] = []

    async def show(_: Node) -> None:
        await _telling(until_open(plan), failures)
        if not failures:
            say(f"\n{guide(plan)}")
            await asyncio.Event().wait()  # ended with the node

    return serve(config, ready=show) or (FAILED if failures else 0)


def _once(plan: Plan, config: Config) -> int:
    from mantlet.ops.demo.tour import tour  # the SDK takes a second to import

    failures: list[str] = []
    refused: list[str] = []

    async def go(_: Node) -> None:
        await _telling(until_open(plan), failures)
        if not failures and (request_id := await _telling(tour(plan, say), failures)):
            refused.append(request_id)

    code = serve(config, ready=go)
    if code or not refused:
        return code or FAILED
    return prove(config, refused[0], say)


async def _telling(work: Awaitable[T], failures: list[str]) -> T | None:
    """What `work` gives; None when it fails, and then why is said. The root of what the demo does on its own."""
    try:
        return await work
    except Exception as error:
        failures += told(error)
        say("\n".join(f"failed: {failure}" for failure in failures))
        return None


def told(error: Exception) -> list[str]:
    """Each failure in a line: the SDK's client wraps what is raised inside it, in groups of groups."""
    if isinstance(error, ExceptionGroup):
        return [line for inner in error.exceptions for line in told(inner)]
    return [f"{type(error).__name__}: {error}"]
