"""A node of several processes: this one owns what they share, starts them, and starts again what dies.

It owns the channels that workers share (stdio children, the channels of sessions), the embedded Valkey that makes
limits exact across workers, and the admin door. It serves no calls itself; a call needs it only if it goes to one of
those channels. When it is killed, everything it owns ends with it: workers see the end of their link, children of their
lifeline.
"""

import asyncio
import shutil
import tempfile
from contextlib import AsyncExitStack
from typing import Any, Final

import msgspec

from mantlet import __version__
from mantlet.core.ports import Upstream
from mantlet.core.tasks import Tasks
from mantlet.events.structured import structlog
from mantlet.listeners.http.listener import bound
from mantlet.node.build.built import Node
from mantlet.node.build.root import build
from mantlet.node.config.model import Config
from mantlet.node.config.refusals import is_let
from mantlet.node.egress import open_egress
from mantlet.node.housekeeping import failed, log_event
from mantlet.node.operators.door import open_admin
from mantlet.node.processes.sockets import Sockets
from mantlet.node.processes.worker import Order
from mantlet.node.processes.workers import Workers
from mantlet.node.running.leaving import Leaving
from mantlet.node.running.lifetime import note_start, note_stop
from mantlet.node.running.reload import Origin, Reload
from mantlet.node.running.restart import Restart
from mantlet.node.running.settle import settle
from mantlet.node.running.signals import on_hangup
from mantlet.node.shared import Shared
from mantlet.node.upstreams.bridging import bridged
from mantlet.node.upstreams.channels import is_owned, open_server, owner_socket
from mantlet.node.upstreams.gauges import watch_servers
from mantlet.stores.valkey.embedded import EmbeddedValkey
from mantlet.upstreams.relayed.owner import Owner
from mantlet.upstreams.transports.channel.config import ChannelConfig

log: Final = structlog.get_logger("mantlet")


async def supervise(config: Config, origin: Origin | None, stop: asyncio.Event) -> int:
    """Serve with `http.workers` workers until `stop`; 1 when a worker cannot be started at all."""
    async with AsyncExitStack() as opened:
        # Held and not listened on: the port stays ours while workers come and go, and one that is taken shows now.
        config = _with_ports(config, opened)
        shared = Shared(await _store(config, opened), config.http.workers, _private_directory(opened))
        node = await opened.enter_async_context(build(_without_servers(config), shared))
        await note_start(node, origin.accepted if origin else [])
        await _own_channels(node, config, shared, opened)
        tasks = Tasks(failed)
        opened.push_async_callback(tasks.close)
        sockets = Sockets({name: (door.host, door.port) for name, door in _doors(config).items()})
        opened.callback(sockets.close)
        workers = Workers(
            lambda number, given: Order(config, shared, number, given), config.http.workers, tasks, sockets
        )
        opened.push_async_callback(workers.drain)
        node.metrics.gauge(
            "mantlet_worker_restarts", "Workers that died and were started again", lambda: workers.restarts
        )
        if not await workers.start():
            return 1

        async def take(new: Config) -> None:
            nonlocal config  # a worker that is started later gets what is in force then
            new = _as_bound(new, config)
            await node.renewal.prepare(_without_servers(new))
            try:
                await workers.take(new)
            except BaseException:
                await node.renewal.abort()
                raise
            node.renewal.commit()
            config = new

        def hang_up() -> None:
            node.certificates.reload()
            workers.hang_up()

        leaving = Leaving(stop, node.journal, tasks)
        restart = Restart(workers.replace, config.http.workers, node.journal, tasks)
        restart.follow()
        reload = None if origin is None else Reload(origin, node.journal, take, restart.anew)
        admin = (
            await open_admin(
                node,
                workers.members,
                own=node.metrics,
                reload=reload,
                restart=restart,
                leaving=leaving,
                whole=lambda: config,  # this process's node has no servers
            )
            if config.admin.enabled
            else None
        )
        if reload is None:
            on_hangup(hang_up)
        else:
            reload.follow(node.tasks, node.metrics, hang_up)
        settle()
        log.info("node.started", url=node.public_url, admin=admin and admin.port, version=__version__,
                 workers=config.http.workers)  # fmt: skip
        await stop.wait()
        log.info("node.draining")
        await workers.drain()
        if admin is not None:
            await admin.close()
        await note_stop(node)
    return 0


def _with_ports(config: Config, opened: AsyncExitStack) -> Config:
    for name, section in _doors(config).items():
        held = opened.enter_context(bound(section.host, section.port, reuse_port=True))
        taken = msgspec.structs.replace(section, port=held.getsockname()[1])
        config = msgspec.structs.replace(config, **{name: taken})
    return config


def _doors(config: Config) -> dict[str, Any]:
    """The sections of the doors that are open."""
    return {name: door for name in ("http", "websocket", "tcp") if (door := getattr(config, name)).enabled}


def _as_bound(new: Config, old: Config) -> Config:
    """`new` with the doors of `old`, whose ports may have been given by the system."""
    return msgspec.structs.replace(new, http=old.http, websocket=old.websocket, tcp=old.tcp)


async def _store(config: Config, opened: AsyncExitStack) -> str:
    if not config.store.url.startswith(("memory:", "embedded:")):
        return config.store.full_url
    # Each worker's memory would admit a limit of its own; together they hold one only through a store (spec 5.3).
    valkey = EmbeddedValkey(on_error=failed, url=config.store.full_url)
    url = await valkey.start()
    opened.push_async_callback(valkey.close)
    return url


def _private_directory(opened: AsyncExitStack) -> str:
    directory = tempfile.mkdtemp(prefix="mantlet-")
    opened.callback(shutil.rmtree, directory, ignore_errors=True)
    return directory


async def _own_channels(node: Node, config: Config, shared: Shared, opened: AsyncExitStack) -> None:
    upstreams: dict[str, Upstream] = {}
    egress = open_egress(config, node.journal, node.metrics, node.tasks)  # this process's own knows no server
    opened.push_async_callback(egress.close)
    for server in config.mcp.servers if config.mcp.enabled else ():
        if isinstance(server, ChannelConfig) and is_owned(server):
            upstreams[server.name] = await open_server(
                server,
                node.sealer,
                opened,
                is_plain_allowed=is_let("plain_upstream", config),
                resolve=egress.resolve,
                input_timeout_s=config.mcp.bridge.input_timeout,
                session_idle_s=config.mcp.limits.session_idle_ms / 1000,
                events=log_event,
            )
    watch_servers(node.metrics, upstreams)
    joined = bridged(
        config.mcp.bridge,
        upstreams,
        node.sealer,
        node.state,
        node.post,
        opened,
        is_alone=True,  # every call to these servers comes through this process
        session_idle_s=config.mcp.limits.session_idle_ms / 1000,
        metrics=node.metrics,
        on_error=failed,
    )
    for name, upstream in joined.items():
        owner = Owner(upstream)
        await owner.start(owner_socket(shared.sockets, name))
        opened.push_async_callback(owner.close)


def _without_servers(config: Config) -> Config:
    return msgspec.structs.replace(config, mcp=msgspec.structs.replace(config.mcp, servers=[]))
