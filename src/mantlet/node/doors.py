"""Opening the listeners of a node: calls come in by one, those who run it by another."""

import socket
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import urlsplit

import msgspec

from mantlet.core.call import Arrival, Reply
from mantlet.core.clock import SYSTEM
from mantlet.core.policy import ArrivalHandler, chain
from mantlet.core.refusal import NotFound
from mantlet.listeners.http import HttpConfig, HttpListener, listen
from mantlet.node.build import Node, failed
from mantlet.node.certificates import show
from mantlet.node.members import Member
from mantlet.node.path import answering

GRACE_S: Final = 20.0
"""How long calls in flight may take to end when the node is told to stop (RES-05)."""


async def open_calls(node: Node, *, reuse_port: bool = False, sock: socket.socket | None = None) -> HttpListener:
    """The listener for calls."""
    config = node.config
    http = msgspec.structs.replace(
        config.http,
        per_address_connections=min(config.http.per_address_connections, config.limits.connections.per_address),
    )
    public = urlsplit(config.agent.url or "").netloc
    return await listen(
        http,
        node.handler,
        refuse=node.refuse,
        clock=SYSTEM,
        tasks=node.tasks,
        new_id=node.new_id,
        on_error=failed,
        reuse_port=reuse_port,
        sock=sock,
        public_hosts=[public] if public else [],
        tls=show(node, "http", http.tls),
    )


async def open_admin(node: Node, members: Callable[[], Sequence[Member]]) -> HttpListener:
    """The admin listener. What strangers may ask is answered without a record, the rest is recorded like any call."""
    # Here, because a worker has no such door and calls are served before it opens: Starlette and Prometheus take time.
    from mantlet.admin.app import PREFIX, PUBLIC, build_app
    from mantlet.admin.bridge import bridge
    from mantlet.node.operations import NodeOperations

    app = bridge(build_app(NodeOperations(node.config, node.limits_admin, members)))

    async def act(arrival: Arrival) -> Reply:
        # The first segment only: a client's name would make an action of its own of every client.
        arrival.trail.action = f"{arrival.verb} {PREFIX}{arrival.path.removeprefix(PREFIX).partition('/')[0]}"
        arrival.trail.object = arrival.path.removeprefix(PREFIX).partition("/")[2][:256]
        arrival.trail.rule = "admin"
        return await app(arrival)

    guarded = answering(chain([node.record, node.authenticate], act), node.authenticate.challenge)
    public = answering(app, node.authenticate.challenge)
    missing = answering(chain([node.record], _missing), node.authenticate.challenge)

    async def handle(arrival: Arrival) -> Reply:
        if arrival.path in PUBLIC:
            return await public(arrival)
        return await (guarded if arrival.path.startswith(PREFIX) else missing)(arrival)

    handler: ArrivalHandler = handle
    section = node.config.admin
    admin = HttpConfig(host=section.host, port=section.port, max_connections=200, tls=section.tls)
    return await listen(
        admin,
        handler,
        refuse=node.refuse,
        clock=SYSTEM,
        tasks=node.tasks,
        new_id=node.new_id,
        on_error=failed,
        door="admin",
        tls=show(node, "admin", section.tls),
    )


async def _missing(_: Arrival) -> Reply:
    raise NotFound
