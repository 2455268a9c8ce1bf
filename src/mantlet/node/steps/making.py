"""The steps of the path, made from the config. Their order is not here but in `path`."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from mantlet import __version__
from mantlet.core.caller import Caller
from mantlet.core.clock import SYSTEM
from mantlet.core.ports import LimitStore, Sealer, Upstream
from mantlet.node.config.model import Config
from mantlet.node.identity.issuers import published
from mantlet.node.path import Steps
from mantlet.node.steps.advertised import telling
from mantlet.node.steps.forward import Forward, straight
from mantlet.node.steps.kills import Kills
from mantlet.node.upstreams.definitions import Definitions
from mantlet.node.upstreams.servers import Server
from mantlet.node.upstreams.services import make_services
from mantlet.policies.addresses.policy import Addresses
from mantlet.policies.aggregate.opening import Bounds as AggregateBounds
from mantlet.policies.aggregate.opening import Ports as AggregatePorts
from mantlet.policies.aggregate.opening import open_aggregate
from mantlet.policies.aggregate.policy import Aggregate
from mantlet.policies.authenticate.current import CurrentCaller
from mantlet.policies.authenticate.policy import Authenticate, Disabled
from mantlet.policies.authenticate.streams import CurrentStreams
from mantlet.policies.authorize.policy import Authorize
from mantlet.policies.delegation.policy import Delegation
from mantlet.policies.filters.policy import Filters
from mantlet.policies.limits.concurrent import ConcurrentCalls
from mantlet.policies.limits.config import LimitsConfig
from mantlet.policies.limits.policy import CallerLimits, CallLimits
from mantlet.policies.mirrored.policy import Mirrored
from mantlet.policies.parse.policy import Parse
from mantlet.policies.parse.repeated import Repeated
from mantlet.policies.record.policy import RecordPolicy
from mantlet.policies.tasks.ids import TaskIds
from mantlet.policies.tasks.policy import Tasks as TasksPolicy
from mantlet.wire.jsonrpc import Bounds

if TYPE_CHECKING:
    from mantlet.policies.approvals.policy import Approvals


def make_aggregate(
    config: Config, servers: list[str], ports: AggregatePorts, may_reach: Callable[[Caller, str], bool]
) -> Aggregate:
    """All servers as one. It holds sessions and streams, so it outlives a reload."""
    mcp = config.mcp.limits
    return open_aggregate(
        servers,
        ports,
        AggregateBounds(
            list_timeout_s=mcp.list_timeout_ms / 1000,
            page_size=mcp.page_size,
            max_streams=mcp.max_streams,
            max_streams_per_caller=mcp.max_streams_per_caller,
            session_idle_s=mcp.session_idle_ms / 1000,
        ),
        may_reach=may_reach,
        task_server=TaskIds(ports.sealer).server_of,
        virtual=config.mcp.virtual,
        name=config.agent.name,
        version=config.agent.version or __version__,
    )


def make_steps(
    config: Config,
    *,
    record: RecordPolicy,
    addresses: Addresses | None,
    authenticate: Authenticate | Disabled,
    streams: CurrentStreams,
    kills: Kills,
    limits: LimitStore,
    upstreams: dict[str, Server],
    services: Mapping[str, Upstream],
    aggregate: Aggregate,
    sealer: Sealer,
    forward: Forward,
    definitions: Definitions,
    filters: Filters | None,
    approvals: "Approvals | None",
) -> Steps:
    """Every step, or None for one that is switched off. Raises `ConfigError` for what only making it finds."""
    is_production = config.environment == "production"
    authorize = Authorize(config.authorization, may_default_allow=not is_production, withheld=kills.targets)
    bounds = Bounds(config.validation.max_depth, config.validation.max_keys)
    call_limits = CallLimits(config.limits, limits, SYSTEM)
    return Steps(
        record=record,
        addresses=addresses,
        published=published(config),
        authenticate=authenticate,
        current_streams=streams,
        current_caller=CurrentCaller(authenticate.is_current),
        caller_limits=CallerLimits(config.limits, limits, SYSTEM) if config.limits.enabled else None,
        concurrent=_concurrent(config.limits),
        parse=Parse(
            upstreams,
            bounds=bounds,
            request_timeout_s=config.mcp.limits.request_timeout_ms / 1000,
            monotonic=SYSTEM.monotonic,
            unknown_methods=config.mcp.unknown_methods == "allow" and config.environment != "production",
            views=[virtual.name for virtual in config.mcp.virtual],
            repeated=Repeated(bounds) if config.cache.enabled else None,
        ),
        aggregate=aggregate,
        tasks=TasksPolicy(TaskIds(sealer)),
        mirrored=Mirrored(),
        call_limits=call_limits if config.limits.enabled and call_limits.is_needed else None,
        authorize=authorize,
        forward=telling(forward) if config.mcp.advertise_load else forward,
        challenge=authenticate.challenge,
        services=make_services(config),
        to_service=straight(services, kills.targets.watch),
        killed_callers=kills.callers,
        killed_targets=kills.targets,
        pins=definitions.pins,
        schemas=definitions.schemas,
        filters=filters,
        approvals=approvals,
        delegation=Delegation(config.authorization.delegation, config.agent.name, limits),
    )


def _concurrent(config: LimitsConfig) -> ConcurrentCalls | None:
    if not config.enabled or config.concurrent is None:
        return None
    return ConcurrentCalls(config.concurrent, SYSTEM)
