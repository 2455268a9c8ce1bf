"""Opening the listeners of a node: calls come in by one, those who run it by another."""

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from mantlet.core.call import Arrival, Reply
from mantlet.core.clock import SYSTEM
from mantlet.core.policy import ArrivalHandler, Policy, chain
from mantlet.core.refusal import NotFound
from mantlet.events.metrics import Metrics
from mantlet.listeners.http import HttpConfig, HttpListener, listen
from mantlet.listeners.http.listener import alpn_of
from mantlet.listeners.messages.carrier import Terms
from mantlet.listeners.tcp.listener import TcpListener
from mantlet.node.built import Node
from mantlet.node.certificates import show
from mantlet.node.current import CurrentDelegation
from mantlet.node.gauges import watch_loop
from mantlet.node.housekeeping import failed
from mantlet.node.leaving import Leaving
from mantlet.node.members import Member
from mantlet.node.message_doors import TCP, WEBSOCKET, open_tcp, open_websocket
from mantlet.node.path import answering
from mantlet.node.reload import Reload
from mantlet.node.restart import Restart
from mantlet.node.services import max_body_bytes

GRACE_S: Final = 20.0
"""How long calls in flight may take to end when the node is told to stop (RES-05)."""
SESSIONS_S: Final = 2.0
"""How long the sessions of connections that were closed with the node may take to end."""


@dataclass(frozen=True, slots=True)
class Doors:
    """The open listeners for calls, by name, and what the conversations at each share."""

    listeners: Mapping[str, HttpListener | TcpListener]
    terms: Sequence[Terms]

    def ports(self) -> dict[str, int]:
        """Where each listens."""
        return {name: listener.port for name, listener in self.listeners.items()}

    def connections(self) -> list[dict[str, Any]]:
        """Who is connected, each with its door."""
        return [
            {"door": name, **asdict(info)}
            for name, listener in self.listeners.items()
            for info in listener.connections()
        ]

    async def drain(self, grace_s: float, linger_s: float = 0.0) -> None:
        """Close all: what is in flight ends within `grace_s`, and the sessions of connections with them.

        Idle connections are kept `linger_s` longer, where another process has taken this one's place.
        """
        for terms in self.terms:
            terms.leave()
        await asyncio.gather(*(listener.drain(grace_s, linger_s) for listener in self.listeners.values()))
        await asyncio.gather(*(terms.ended(SESSIONS_S) for terms in self.terms))


async def open_doors(
    node: Node, *, reuse_port: bool = False, sockets: Mapping[str, socket.socket] = MappingProxyType({})
) -> Doors:
    """Every listener for calls that is switched on; `sockets` are bound ones to listen on, by the door's name."""
    config = node.config
    listeners: dict[str, HttpListener | TcpListener] = {}
    terms: list[Terms] = []
    watch_loop(node.metrics)
    if config.http.enabled:
        listeners["http"] = calls = await open_calls(node, reuse_port=reuse_port, sock=sockets.get("http"))
        node.metrics.gauge("mantlet_http_connections", "Open connections (http)", lambda: calls.connected)
        if node.sse is not None:
            terms.append(node.sse)
    if config.websocket.enabled:
        listeners[WEBSOCKET], its_terms = await open_websocket(node, reuse_port=reuse_port, sock=sockets.get(WEBSOCKET))
        terms.append(its_terms)
    if config.tcp.enabled:
        listeners[TCP], its_terms = await open_tcp(node, reuse_port=reuse_port, sock=sockets.get(TCP))
        terms.append(its_terms)
    return Doors(listeners, terms)


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
        node.current.handle,
        refuse=node.refuse,
        clock=SYSTEM,
        tasks=node.tasks,
        new_id=node.new_id,
        on_error=failed,
        reuse_port=reuse_port,
        sock=sock,
        public_hosts=[public] if public else [],
        tls=show(node, "http", http.tls, alpn=alpn_of(http)),
        max_body_bytes=max_body_bytes(config),
    )


async def open_admin(
    node: Node,
    members: Callable[[], Sequence[Member]],
    *,
    own: Metrics | None = None,
    reload: Reload | None = None,
    restart: Restart | None = None,
    leaving: Leaving | None = None,
) -> HttpListener:
    """The admin listener. What strangers may ask is answered without a record, the rest is recorded like any call."""
    # Here, because a worker has no such door and calls are served before it opens: Starlette and Prometheus take time.
    from mantlet.admin.app import PREFIX, PUBLIC
    from mantlet.admin.bridge import bridge
    from mantlet.node.administration import admin_app

    app = bridge(admin_app(node, members, own=own, reload=reload, restart=restart, leaving=leaving))

    async def act(arrival: Arrival) -> Reply:
        # The first segment only: a client's name would make an action of its own of every client.
        arrival.trail.action = f"{arrival.verb} {PREFIX}{arrival.path.removeprefix(PREFIX).partition('/')[0]}"
        arrival.trail.object = arrival.path.removeprefix(PREFIX).partition("/")[2][:256]
        arrival.trail.rule = "admin"
        return await app(arrival)

    # Whoever acts for an administrator has here, too, no more than the whole chain has (AUTHZ-10).
    steps: list[Policy[Arrival]] = [
        node.record,
        node.authenticate,
        node.kills.callers,
        CurrentDelegation(node.current),
    ]
    guarded = answering(chain(steps, act), node.authenticate.challenge)
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
