"""Which transport opens which channel, and which process of a node opens it.

A transport whose servers are talked to message by message is a `Connect` (`upstreams/transports/channel/channel.py`)
and a line in `CONNECTS`.
"""

import os
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

from mantlet.core.ports import Sealer
from mantlet.upstreams.client import Resolve
from mantlet.upstreams.transports.channel.channel import Connect
from mantlet.upstreams.transports.channel.config import ChannelConfig
from mantlet.upstreams.transports.channel.isolated.server import IsolatedServer
from mantlet.upstreams.transports.channel.server import ChannelServer
from mantlet.upstreams.transports.channel.stderr import Events
from mantlet.upstreams.transports.python.config import PythonServerConfig
from mantlet.upstreams.transports.python.connector import PythonConnector
from mantlet.upstreams.transports.sse.config import SseServerConfig
from mantlet.upstreams.transports.sse.connector import SseConnector
from mantlet.upstreams.transports.stdio.child import Program
from mantlet.upstreams.transports.stdio.config import StdioServerConfig
from mantlet.upstreams.transports.tcp.config import TcpServerConfig
from mantlet.upstreams.transports.tcp.connector import TcpConnector
from mantlet.upstreams.transports.websocket.config import WebSocketServerConfig
from mantlet.upstreams.transports.websocket.connector import WebSocketConnector

CONNECTS: Final[Mapping[type[ChannelConfig], Callable[[Any, bool, Resolve], Connect]]] = {
    StdioServerConfig: lambda config, _, __: Program(config, os.environ),
    WebSocketServerConfig: lambda config, is_plain, resolve: WebSocketConnector(
        config, is_plain_allowed=is_plain, resolve=resolve
    ),
    TcpServerConfig: lambda config, is_plain, resolve: TcpConnector(config, is_plain_allowed=is_plain, resolve=resolve),
    SseServerConfig: lambda config, is_plain, resolve: SseConnector(config, is_plain_allowed=is_plain, resolve=resolve),
    PythonServerConfig: lambda config, _, __: PythonConnector(config),
}
"""What opens channels to a server, from its config, whether it may be reached without TLS (TLS-04), and the egress
guard (EGR-01)."""


def connect_to(config: ChannelConfig, opened: AsyncExitStack, *, is_plain_allowed: bool, resolve: Resolve) -> Connect:
    """What opens a channel to this server. `opened` closes what its channels share.

    Raises `ValueError` or `OSError` for a config that cannot be used.
    """
    connect = CONNECTS[type(config)](config, is_plain_allowed, resolve)
    if isinstance(connect, SseConnector):
        opened.push_async_callback(connect.close)
    return connect


async def open_server(
    config: ChannelConfig,
    sealer: Sealer,
    opened: AsyncExitStack,
    *,
    is_plain_allowed: bool,
    resolve: Resolve,
    input_timeout_s: float,
    session_idle_s: float,
    events: Events,
) -> ChannelServer | IsolatedServer:
    """The server with channels of its own, started; `opened` closes it. Raises as `connect_to`."""
    connect = connect_to(config, opened, is_plain_allowed=is_plain_allowed, resolve=resolve)
    server: ChannelServer | IsolatedServer
    if config.isolation == "session":
        server = IsolatedServer(config, sealer, connect, events=events, input_timeout_s=input_timeout_s)
    else:
        server = ChannelServer(config, sealer, connect, session_idle_s=session_idle_s, events=events)
    await server.start()
    opened.push_async_callback(server.close)
    return server


def is_owned(config: ChannelConfig) -> bool:
    """Whether one process of a node opens this server's channels for all.

    A child is started once for a node, not once for each worker; and what a legacy session did on one worker
    (subscribe, call, end) must hold on all. It costs some 20 µs a call. Code that runs in the node itself stays out of
    the supervisor, whose end would be the node's.
    """
    return config.isolation == "session" or not isinstance(config, PythonServerConfig)


def owner_socket(sockets: str, server: str) -> str:
    """Where the owner of a server's channels serves its siblings."""
    return str(Path(sockets) / f"{server}.sock")
