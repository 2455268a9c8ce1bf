"""Running a node: in this process, or as a supervisor with workers."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import uvloop

from mantlet import __version__
from mantlet.core.config_error import ConfigError
from mantlet.core.refusal import Refusal
from mantlet.events.log import set_up
from mantlet.events.structured import structlog
from mantlet.node.build.built import Node
from mantlet.node.build.root import build
from mantlet.node.config.model import Config
from mantlet.node.doors.opening import GRACE_S, open_doors
from mantlet.node.housekeeping import why
from mantlet.node.operators.door import open_admin
from mantlet.node.operators.local_member import LocalMember
from mantlet.node.running.leaving import Leaving
from mantlet.node.running.lifetime import note_start, note_stop
from mantlet.node.running.reload import Origin, Reload
from mantlet.node.running.settle import settle
from mantlet.node.running.signals import on_hangup, stop_signal
from mantlet.node.shared import Shared

FAILED: Final = 1

log: Final = structlog.get_logger("mantlet")

Ready = Callable[[Node], Awaitable[Any]]
"""Called once the node listens; the node stops when it returns something other than None."""


def run(config: Config, *, origin: Origin | None = None, ready: Ready | None = None) -> int:
    """Serve until SIGTERM or SIGINT, drain, and give the exit code. Without an `origin` nothing is ever reloaded."""
    set_up(config.logging, config.environment)
    work = _supervise(config, origin) if config.http.workers > 1 else _alone(config, origin, ready)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(work)
    except (ConfigError, ValueError, OSError, Refusal, ModuleNotFoundError) as error:
        log.error("node.failed", error=type(error).__name__, said=why(error))
        return FAILED


async def _alone(config: Config, origin: Origin | None, ready: Ready | None) -> int:
    stop = stop_signal()
    async with contextlib.AsyncExitStack() as opened:
        node = await opened.enter_async_context(build(config, Shared(config.store.full_url)))
        await note_start(node, origin.accepted if origin else [])
        doors = await open_doors(node)
        members = [LocalMember(node, doors)]
        leaving = Leaving(stop, node.journal, node.tasks)
        reload = None if origin is None else Reload(origin, node.journal, partial(_take, node))
        admin = (
            await open_admin(node, lambda: members, reload=reload, leaving=leaving) if config.admin.enabled else None
        )
        if reload is None:
            on_hangup(node.certificates.reload)
        else:
            reload.follow(node.tasks, node.metrics, node.certificates.reload)
        settle()
        log.info(
            "node.started", url=node.public_url, admin=admin and admin.port, doors=doors.ports(), version=__version__
        )
        if ready is not None:
            node.tasks.start(_when_ready(ready, node, stop), "ready")
        await stop.wait()
        log.info("node.draining")
        await doors.drain(GRACE_S)
        if admin is not None:
            await admin.close()
        await note_stop(node)
    return 0


async def _supervise(config: Config, origin: Origin | None) -> int:
    from mantlet.node.processes.supervisor import supervise  # only where there are workers

    return await supervise(config, origin, stop_signal())


async def _take(node: Node, config: Config) -> None:
    await node.renewal.prepare(config)
    node.renewal.commit()


async def _when_ready(ready: Ready, node: Node, stop: asyncio.Event) -> None:
    try:
        await ready(node)
    finally:
        stop.set()
