"""Opening the listeners of a node for calls."""

import asyncio
import socket
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from mantlet.core.clock import SYSTEM
from mantlet.listeners.http import HttpListener, listen
from mantlet.listeners.http.listener import alpn_of
from mantlet.listeners.messages.carrier import Terms
from mantlet.listeners.tcp.listener import TcpListener
from mantlet.node.build.built import Node
from mantlet.node.doors.certificates import show
from mantlet.node.doors.gauges import watch_door, watch_loop
from mantlet.node.doors.messages import TCP, WEBSOCKET, open_tcp, open_websocket
from mantlet.node.housekeeping import failed
from mantlet.node.upstreams.services import max_body_bytes

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
    for name, listener in listeners.items():
        watch_door(node.metrics, name, listener)
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
        told=node.current.told,
        unanswered=node.record.unanswered,
    )
