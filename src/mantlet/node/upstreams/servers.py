"""What carries calls to each configured server: its own transport, or the way to the process that owns it."""

from contextlib import AsyncExitStack
from functools import partial

from mantlet.keys.seal import NodeSealer
from mantlet.node.config.model import Config
from mantlet.node.config.refusals import is_let
from mantlet.node.housekeeping import log_event
from mantlet.node.upstreams.channels import is_owned, open_server, owner_socket
from mantlet.node.upstreams.endpoints import Around, open_http
from mantlet.node.upstreams.forwarding import Forwarding
from mantlet.node.upstreams.resilience import Resilience
from mantlet.policies.parse.policy import ENDPOINT
from mantlet.upstreams.egress import Guard
from mantlet.upstreams.endpoints import Endpoints
from mantlet.upstreams.relayed.upstream import RelayedUpstream
from mantlet.upstreams.transports.channel.config import ChannelConfig
from mantlet.upstreams.transports.channel.isolated.server import IsolatedServer
from mantlet.upstreams.transports.channel.server import ChannelServer
from mantlet.upstreams.transports.http import HttpServer
from mantlet.upstreams.transports.openapi import OpenApiServer, OpenApiServerConfig
from mantlet.upstreams.transports.peer.config import PeerServerConfig

Server = HttpServer | Endpoints | ChannelServer | IsolatedServer | RelayedUpstream | OpenApiServer
"""What carries calls to one configured server."""


async def open_upstreams(
    config: Config,
    sockets: str,
    sealer: NodeSealer,
    egress: Guard,
    forwarding: Forwarding,
    opened: AsyncExitStack,
    resilience: Resilience,
) -> dict[str, Server]:
    """Every server by its name, closed with `opened`. `sockets` is where the owner of shared channels serves them, or
    empty when this process owns them itself."""
    upstreams: dict[str, Server] = {}
    is_plain_allowed = is_let("plain_upstream", config)
    around = Around.open(opened, egress.resolve, resilience.vitals, is_plain_allowed=is_plain_allowed)
    for server in config.mcp.servers if config.mcp.enabled else ():
        upstream: Server
        if isinstance(server, ChannelConfig) and sockets and is_owned(server):
            upstream = RelayedUpstream(server.name, owner_socket(sockets, server.name))
            opened.push_async_callback(upstream.close)
        elif isinstance(server, ChannelConfig):
            upstream = await open_server(
                server,
                sealer,
                opened,
                is_plain_allowed=is_plain_allowed,
                resolve=egress.resolve,
                input_timeout_s=config.mcp.bridge.input_timeout,
                session_idle_s=config.mcp.limits.session_idle_ms / 1000,
                events=log_event,
            )
        elif isinstance(server, OpenApiServerConfig):
            told = forwarding.of(server.name, server.url, server)
            upstream = OpenApiServer(server, is_plain_allowed=is_plain_allowed, resolve=egress.resolve, identity=told)
            opened.push_async_callback(upstream.close)
        else:
            whole = f"{server.url.rstrip('/')}{ENDPOINT}" if isinstance(server, PeerServerConfig) else server.url
            told = forwarding.of(server.name, whole, server)
            make = partial(
                HttpServer, sealer=sealer, is_plain_allowed=is_plain_allowed, resolve=egress.resolve, identity=told
            )
            upstream = open_http(server, sealer, around, make, resilience.breakers(server))
        upstreams[server.name] = upstream
    return upstreams
