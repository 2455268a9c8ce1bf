"""The servers and services that calls reach, in layers: the transport, what guards it, the bridge between eras."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mantlet.core.ports import Upstream
from mantlet.node.build.ground import Ground
from mantlet.node.housekeeping import failed
from mantlet.node.upstreams.bridging import bridged
from mantlet.node.upstreams.drains import Drains, open_drains
from mantlet.node.upstreams.forwarding import Forwarding, open_grants
from mantlet.node.upstreams.gauges import watch_endpoints, watch_servers
from mantlet.node.upstreams.resilience import Resilience
from mantlet.node.upstreams.servers import Server, open_upstreams
from mantlet.node.upstreams.services import Service, open_services
from mantlet.upstreams.relayed.upstream import RelayedUpstream

if TYPE_CHECKING:
    from mantlet.node.oauth_client.grants import UserGrants


@dataclass(frozen=True, slots=True)
class Reached:
    """All of one process."""

    grants: "UserGrants | None"
    resilience: Resilience
    servers: dict[str, Server]
    """The transports alone."""
    services: dict[str, Service]
    guarded: Mapping[str, Upstream]
    """Servers with breaker, retries and hedging."""
    guarded_services: Mapping[str, Upstream]
    drains: Drains
    bridged: Mapping[str, Upstream]
    """Servers as clients of either era call them."""


async def open_reached(ground: Ground) -> Reached:
    """Open all that the configuration names. Raises `ConfigError`, `ValueError` or `OSError`."""
    config, opened, egress, metrics = ground.config, ground.opened, ground.egress, ground.metrics
    grants = open_grants(config, egress, ground.state, ground.durable.database, ground.journal, ground.tasks, opened)
    forwarding = Forwarding(config, egress, opened, grants)
    resilience = Resilience(ground.journal, metrics, ground.tasks)
    sockets = ground.shared.sockets
    servers = await open_upstreams(config, sockets, ground.sealer, egress, forwarding, opened, resilience)
    services = open_services(config, ground.tasks, egress.resolve, forwarding, opened, resilience)
    watch_servers(metrics, servers)
    all_of_them = [*servers.values(), *services.values()]
    watch_endpoints(metrics, all_of_them)
    guarded = resilience.around_all(config.mcp.servers, servers)
    return Reached(
        grants=grants,
        resilience=resilience,
        servers=servers,
        services=services,
        guarded=guarded,
        guarded_services=resilience.around_all(config.http_upstreams, services),
        drains=await open_drains(config, ground.durable, ground.state, ground.tasks, all_of_them),
        bridged=_joined(ground, servers, guarded),
    )


def _joined(ground: Ground, servers: Mapping[str, Server], guarded: Mapping[str, Upstream]) -> dict[str, Upstream]:
    """What is relayed has the bridge at its owner: one session a caller, on any worker."""
    relayed = {name: guarded[name] for name, server in servers.items() if isinstance(server, RelayedUpstream)}
    mcp, shared = ground.config.mcp, ground.shared
    return relayed | bridged(
        mcp.bridge,
        {name: server for name, server in guarded.items() if name not in relayed},
        ground.sealer,
        ground.state,
        ground.post,
        ground.opened,
        is_alone=shared.workers == 1 and shared.store_url.startswith(("memory:", "embedded:")),
        session_idle_s=mcp.limits.session_idle_ms / 1000,
        metrics=ground.metrics,
        on_error=failed,
    )
