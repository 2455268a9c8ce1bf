"""A worker: the process that serves calls when a node has several. Started by `workers`, never by hand."""

import asyncio
import pickle
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import uvloop

from mantlet.core.config_error import ConfigError
from mantlet.core.refusal import Refusal
from mantlet.events.log import set_up
from mantlet.events.structured import structlog
from mantlet.node.build.built import Node
from mantlet.node.build.root import build
from mantlet.node.config.model import Config
from mantlet.node.doors.opening import GRACE_S, open_doors
from mantlet.node.operators.local_member import LocalMember
from mantlet.node.processes.link import Link
from mantlet.node.running.settle import settle
from mantlet.node.running.signals import on_hangup, pass_hangups, stop_signal
from mantlet.node.shared import Shared

ORPHAN_GRACE_S: Final = 1.0
"""How long a worker whose supervisor was killed lets its calls end: without it there are no shared parts."""

LINGER_S: Final = 3.0
"""How long connections stay on which nothing is asked, when another worker has taken this one's place."""

log: Final = structlog.get_logger("mantlet")


@dataclass(frozen=True, slots=True)
class Order:
    """What the supervisor tells a worker to be. It travels pickled, from parent to child over their own socket."""

    config: Config
    shared: Shared
    number: int
    sockets: Mapping[str, int]
    """Descriptors of bound sockets to listen on, by the door's name."""


def main() -> int:
    """Serve until told to drain, or until the supervisor is gone."""
    pass_hangups()
    end = socket.socket(fileno=int(sys.argv[1]))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_work(end))


async def _work(end: socket.socket) -> int:
    link = await Link.over(end)
    order: Order = pickle.loads(await link.receive())  # noqa: S301 - our own parent's, over a socket nobody else holds
    set_up(order.config.logging, order.config.environment)
    structlog.contextvars.bind_contextvars(worker=order.number)
    try:
        return await _serve(order, link)
    except (ConfigError, ValueError, OSError, Refusal) as error:
        said = error.why if isinstance(error, Refusal) else str(error)
        log.error("worker.failed", error=type(error).__name__, said=said)
        return 1


async def _serve(order: Order, link: Link) -> int:
    stop = stop_signal()
    sockets = {name: socket.socket(fileno=number) for name, number in order.sockets.items()}
    linger_s = 0.0
    async with build(order.config, order.shared) as node:
        doors = await open_doors(node, reuse_port=True, sockets=sockets)
        member = LocalMember(node, doors)
        is_orphan = False

        async def answer(what: str, load: bytes) -> Any:
            nonlocal linger_s
            match what:
                case "retire":
                    linger_s = LINGER_S
                    stop.set()
                    return True
                case "drain":
                    stop.set()
                    return True
                case "prepare":
                    return await _prepare(node, load)
                case "commit":
                    node.renewal.commit()
                    return True
                case "purge_cache":
                    return await member.purge_cache(load.decode())
                case "abort":
                    await node.renewal.abort()
                    return True
            return await getattr(member, what)()

        async def listen_to_supervisor() -> None:
            nonlocal is_orphan
            await link.serve(answer)
            is_orphan = not stop.is_set()
            stop.set()

        on_hangup(node.certificates.reload)  # before the supervisor knows of us, and may pass one on
        link.send(b"ready")
        node.tasks.start(listen_to_supervisor(), "supervisor")
        settle()
        await stop.wait()
        await doors.drain(ORPHAN_GRACE_S if is_orphan else GRACE_S, linger_s)
    return 0


async def _prepare(node: Node, load: bytes) -> str:
    """Why the configuration cannot be taken up here; nothing when it can."""
    try:
        await node.renewal.prepare(pickle.loads(load))  # noqa: S301 - as the order was
    except Exception as error:  # a task root: the supervisor is told, and the old one serves on
        return f"{type(error).__name__}: {error}"
    return ""


if __name__ == "__main__":
    sys.exit(main())
