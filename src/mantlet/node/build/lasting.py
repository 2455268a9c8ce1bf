"""What outlives a reload: whatever holds something (streams, sessions, places, switches) and is asked by the steps of
whichever configuration is in force."""

import itertools
import random
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from mantlet.core.call import Call, Reply
from mantlet.core.caller import Caller
from mantlet.core.clock import SYSTEM
from mantlet.core.ports import Consents
from mantlet.core.record import Trail
from mantlet.core.refusal import Refusal
from mantlet.listeners.sse import SseClients
from mantlet.node.build.current import Current, CurrentCallerLimits, CurrentIdentity
from mantlet.node.build.ground import Ground
from mantlet.node.build.reached import Reached
from mantlet.node.housekeeping import every, failed, log_warning
from mantlet.node.identity.issuers import KnownIssuers
from mantlet.node.identity.revoked import open_revoked
from mantlet.node.resources import resources
from mantlet.node.steps.blocks import open_addresses
from mantlet.node.steps.forward import Forward
from mantlet.node.steps.gauges import watch_endpoint, watch_places
from mantlet.node.steps.kills import Kills, open_kills
from mantlet.node.steps.making import make_aggregate
from mantlet.node.steps.sse import open_sse
from mantlet.node.upstreams.definitions import Definitions, open_definitions
from mantlet.policies.addresses.policy import Addresses
from mantlet.policies.aggregate.opening import Ports as AggregatePorts
from mantlet.policies.aggregate.policy import Aggregate
from mantlet.policies.authenticate.revoked import Revoked
from mantlet.policies.authenticate.streams import CHECK_S, CurrentStreams
from mantlet.policies.record.policy import RecordPolicy
from mantlet.stores.sql.names import NameRows
from mantlet.wire import answer

if TYPE_CHECKING:  # what is opened where the config asks for it, and is not waited for elsewhere
    from mantlet.node.steps.cache import NodeCache
    from mantlet.policies.approvals.book import Book
    from mantlet.policies.approvals.policy import Approvals
    from mantlet.upstreams.fallback.step import Fallback


@dataclass(frozen=True, slots=True)
class Lasting:
    """All of one process."""

    current: Current
    identity: CurrentIdentity
    caller_limits: CurrentCallerLimits
    record: RecordPolicy
    refuse: Callable[[Trail, Refusal], Awaitable[Reply]]
    new_id: Callable[[], str]
    addresses: Addresses | None
    kills: Kills
    revoked: Revoked
    is_current: Callable[[Caller], bool]
    """Whether a caller's credential holds and nobody has stopped it."""
    streams: CurrentStreams
    issuers: KnownIssuers
    aggregate: Aggregate
    sse: SseClients | None
    forward: Forward
    definitions: Definitions
    cache: "NodeCache | None"
    fallback: "Fallback | None"
    book: "Book | None"
    approvals: "Approvals | None"

    async def holds(self, caller: Caller) -> bool:
        """`is_current` of a caller whom another process recognised. Raises `StoreUnavailable`."""
        await self.identity.recall(caller)
        return self.is_current(caller)


async def open_lasting(ground: Ground, reached: Reached) -> Lasting:
    """Open all that the configuration asks for. Raises `ConfigError`, `ValueError` or `OSError`."""
    config, tasks, metrics = ground.config, ground.tasks, ground.metrics
    current = Current()
    identity, caller_limits = CurrentIdentity(current), CurrentCallerLimits(current)
    addresses = open_addresses(config, ground.state, ground.journal, metrics, tasks)
    record = RecordPolicy(
        ground.journal,
        metrics,
        SYSTEM,
        environment=config.environment,
        must_record=config.audit.must_record_in(config.environment),
        watch=None if addresses is None else addresses.watch,
    )
    new_id, refuse = request_ids(), partial(_refuse, record)

    kills = await open_kills(ground.durable, ground.state, metrics, tasks)
    is_current = kills.callers.guarding(identity.is_current)
    streams = CurrentStreams(is_current, config.limits.connections.streams_per_caller)
    tasks.start(every(CHECK_S, streams.check), "streams.check")

    forward = _forward(ground, reached, kills)
    definitions = await open_definitions(config, forward, ground.journal, metrics, tasks, ground.durable)
    reached.resilience.take(definitions)
    consents = {} if reached.grants is None else reached.grants.books
    cache = await _cache(ground, reached, definitions, consents)
    fallback = reached.resilience.fallback(config, consents)
    if cache is not None and fallback is not None:
        cache.cache.forgotten = fallback.forget
    book, approvals = _approvals(ground, definitions, kills.recheck(is_current, current.allows))
    return Lasting(
        current=current,
        identity=identity,
        caller_limits=caller_limits,
        record=record,
        refuse=refuse,
        new_id=new_id,
        addresses=addresses,
        kills=kills,
        revoked=await open_revoked(ground.durable, ground.state, metrics, tasks),
        is_current=is_current,
        streams=streams,
        issuers=KnownIssuers(metrics, tasks),
        aggregate=_aggregate(ground, reached, current),
        sse=open_sse(
            config,
            current.messages,
            resources(config),
            limits=caller_limits,
            refuse=refuse,
            tasks=tasks,
            new_id=new_id,
            on_error=failed,
            sealer=ground.sealer,
            post=ground.post,
        ),
        forward=forward,
        definitions=definitions,
        cache=cache,
        fallback=fallback,
        book=book,
        approvals=approvals,
    )


def _forward(ground: Ground, reached: Reached, kills: Kills) -> Forward:
    limits = ground.config.mcp.limits
    forward = Forward(
        reached.bridged,
        limits.max_concurrent_requests,
        limits.max_queued_requests,
        SYSTEM.monotonic,
        kills.targets.watch,
        adaptive=limits.adaptive,
        priorities=limits.priorities,
        recheck=kills.refuse,
    )
    watch_places(ground.metrics, forward)
    return forward


def _aggregate(ground: Ground, reached: Reached, current: Current) -> Aggregate:
    ports = AggregatePorts(
        names=NameRows(ground.durable.database),
        sealer=ground.sealer,
        state=ground.state,
        post=ground.post,
        clock=SYSTEM,
        chance=random.random,
        tasks=ground.tasks,
        report=log_warning,
    )
    aggregate = make_aggregate(ground.config, list(reached.servers), ports, current.may_reach)
    watch_endpoint(ground.metrics, aggregate)
    return aggregate


async def _cache(
    ground: Ground, reached: Reached, definitions: Definitions, consents: Mapping[str, Consents]
) -> "NodeCache | None":
    if not ground.config.cache.enabled or not ground.config.mcp.servers:  # of a node with workers, only they have any
        return None
    from mantlet.node.steps.cache import open_cache

    return await open_cache(
        ground.config, ground.shared, reached.servers, definitions, ground.metrics, ground.opened, consents
    )


def _approvals(
    ground: Ground, definitions: Definitions, recheck: Callable[[Call], None]
) -> "tuple[Book | None, Approvals | None]":
    if ground.config.authorization.approvals is None:
        return None, None
    from mantlet.node.steps.approvals import make_approvals, open_book

    book = open_book(ground.config, ground.state, ground.sealer)
    return book, make_approvals(
        ground.config,
        book,
        fetch=ground.fetch,
        journal=ground.journal,
        metrics=ground.metrics,
        tasks=ground.tasks,
        definitions=definitions,
        recheck=recheck,
    )


def request_ids() -> Callable[[], str]:
    """Ids that no other process or run gives: a random beginning, then a count."""
    start, count = secrets.token_hex(6), itertools.count(1)
    return lambda: f"{start}-{next(count):x}"


async def _refuse(record: RecordPolicy, trail: Trail, refusal: Refusal) -> Reply:
    try:
        await record.refused(trail, refusal)
    except Refusal as unable:
        return answer.refused(unable, trail)
    return answer.refused(refusal, trail)
