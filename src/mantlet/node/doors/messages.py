"""The doors for bare messages: what they share with each other and with HTTP."""

import socket
from typing import Final
from urllib.parse import urlsplit

import msgspec

from mantlet.core.call import Arrival
from mantlet.core.caller import Caller
from mantlet.core.clock import SYSTEM
from mantlet.core.policy import ArrivalHandler, chain
from mantlet.listeners.http import HttpListener, listen
from mantlet.listeners.messages.carrier import Terms
from mantlet.listeners.tcp import listener as tcp
from mantlet.listeners.tcp.door import opened
from mantlet.listeners.tcp.listener import TcpListener
from mantlet.listeners.websocket.door import WebSocketDoor
from mantlet.listeners.websocket.tickets import Tickets
from mantlet.node.build.built import Node
from mantlet.node.doors.certificates import show
from mantlet.node.housekeeping import every, failed
from mantlet.node.path import answering
from mantlet.node.resources import resources
from mantlet.policies.authenticate.policy import note
from mantlet.policies.authenticate.streams import CHECK_S

TCP: Final = "tcp"
WEBSOCKET: Final = "websocket"


def terms_of(node: Node, door: str, *, request_timeout_s: float, max_in_flight: int, max_refused: int,
             max_per_caller: int = 1, is_tls: bool = False) -> Terms:  # fmt: skip
    """What all conversations of one door share; whose credential lapses is disconnected."""
    terms = Terms(
        handler=node.current.messages,
        refuse=node.refuse,
        clock=SYSTEM,
        tasks=node.tasks,
        new_id=node.new_id,
        on_error=failed,
        door=door,
        request_timeout_s=request_timeout_s,
        max_in_flight=max_in_flight,
        max_refused=max_refused,
        max_per_caller=max_per_caller,
        is_tls=is_tls,
    )
    node.tasks.start(every(CHECK_S, lambda: terms.check(node.is_current)), f"{door}.check")
    node.metrics.gauge(f"mantlet_{door}_connections", f"Open connections ({door})", lambda: len(terms.open))
    node.metrics.gauge(
        f"mantlet_{door}_dropped_messages",
        f"Messages of servers that belonged to no request of their connection ({door})",
        lambda: terms.dropped,
    )
    return terms


async def open_websocket(
    node: Node, *, reuse_port: bool = False, sock: socket.socket | None = None
) -> tuple[HttpListener, Terms]:
    """The WebSocket listener: the strict HTTP reader, with opening handshakes and tickets behind it."""
    config = node.config.websocket
    per_address = min(config.per_address_connections, node.config.limits.connections.per_address)
    http = msgspec.structs.replace(config.http, per_address_connections=per_address)
    terms = terms_of(
        node,
        WEBSOCKET,
        request_timeout_s=config.message_timeout,
        max_in_flight=config.max_in_flight,
        max_refused=config.max_refused,
        max_per_caller=config.per_caller_connections,
        is_tls=config.tls.is_on,
    )
    door = WebSocketDoor(
        config,
        terms,
        Tickets(node.state, node.sealer, SYSTEM.wall, config.ticket_lifetime),
        resources(node.config),
        identify=node.authenticate.identify,
        holds=node.holds,
        note=_note,
    )
    steps = [step for step in (node.record, node.addresses, door.authenticate, node.caller_limits) if step is not None]
    public = urlsplit(node.config.agent.url or "").netloc
    listener = await listen(
        http,
        answering(chain(steps, door.handle), node.authenticate.challenge),
        refuse=node.refuse,
        clock=SYSTEM,
        tasks=node.tasks,
        new_id=node.new_id,
        on_error=failed,
        door=WEBSOCKET,
        reuse_port=reuse_port,
        sock=sock,
        public_hosts=[public] if public else [],
        tls=show(node, WEBSOCKET, http.tls),
        unanswered=node.record.unanswered,
    )
    return listener, terms


async def open_tcp(
    node: Node, *, reuse_port: bool = False, sock: socket.socket | None = None
) -> tuple[TcpListener, Terms]:
    """The TCP listener."""
    per_address = min(node.config.tcp.per_address_connections, node.config.limits.connections.per_address)
    config = msgspec.structs.replace(node.config.tcp, per_address_connections=per_address)
    terms = terms_of(
        node,
        TCP,
        request_timeout_s=config.message_timeout,
        max_in_flight=config.max_in_flight,
        max_refused=config.max_refused,
        max_per_caller=config.per_caller_connections,
        is_tls=config.tls.is_on,
    )
    listener = tcp.listen(
        config,
        terms,
        opening(node),
        resources(node.config),
        on_error=failed,
        reuse_port=reuse_port,
        sock=sock,
        tls=show(node, TCP, config.tls, alpn=()),
    )
    return listener, terms


def opening(node: Node) -> ArrivalHandler:
    """The way in for a connection that says who it is in a message of its own; it raises what it refuses."""
    steps = [step for step in (node.record, node.addresses, node.authenticate, node.caller_limits) if step is not None]
    return chain(steps, opened)


def _note(arrival: Arrival, caller: Caller) -> None:
    note(arrival.trail, caller)
