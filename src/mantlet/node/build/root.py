"""The composition root: the one place that joins rooms. Config in, one handler out, everything closed in reverse.

What is built here serves one process. What several processes of a node share comes in as `Shared`.
"""

import itertools
import random
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from mantlet.core.call import Reply
from mantlet.core.caller import Caller
from mantlet.core.clock import SYSTEM
from mantlet.core.record import Trail
from mantlet.core.refusal import Refusal
from mantlet.core.tasks import Tasks
from mantlet.events.audit.keys import load_or_create
from mantlet.events.audit.writer import open_journal
from mantlet.events.metrics import Metrics, watch_journal
from mantlet.keys.seal import open_sealer
from mantlet.listeners.tls.served import LOOK_S
from mantlet.node.build.built import Node
from mantlet.node.build.current import Current, CurrentCallerLimits, CurrentIdentity, Generation
from mantlet.node.build.renewal import Renewal
from mantlet.node.certificates import open_certificates
from mantlet.node.config.model import Config
from mantlet.node.egress import open_egress, open_fetcher, open_strangers_fetcher
from mantlet.node.housekeeping import audit_told, every, failed, log_warning
from mantlet.node.identity.issuers import KnownIssuers
from mantlet.node.identity.opening import open_identity
from mantlet.node.identity.revoked import open_revoked
from mantlet.node.oauth_client.browsers import open_logins, with_pages
from mantlet.node.path import messages, path
from mantlet.node.resources import public_url, resources
from mantlet.node.shared import Shared
from mantlet.node.steps.blocks import open_addresses
from mantlet.node.steps.filters import open_filters
from mantlet.node.steps.forward import Forward
from mantlet.node.steps.gauges import watch_endpoint, watch_places
from mantlet.node.steps.kills import open_kills
from mantlet.node.steps.making import make_aggregate, make_steps
from mantlet.node.steps.sse import open_sse
from mantlet.node.steps.tally import with_tally
from mantlet.node.storage.durable import keep_durable, open_durable
from mantlet.node.storage.store import open_store
from mantlet.node.upstreams.bridging import bridged
from mantlet.node.upstreams.definitions import open_definitions
from mantlet.node.upstreams.drains import SYNC_S as DRAINS_SYNC_S
from mantlet.node.upstreams.drains import open_drains
from mantlet.node.upstreams.forwarding import Forwarding, open_grants
from mantlet.node.upstreams.gauges import watch_endpoints, watch_servers
from mantlet.node.upstreams.resilience import Resilience
from mantlet.node.upstreams.servers import open_upstreams
from mantlet.node.upstreams.services import open_services
from mantlet.policies.addresses.blocks import SYNC_S
from mantlet.policies.aggregate.opening import Ports as AggregatePorts
from mantlet.policies.authenticate.streams import CHECK_S, CurrentStreams
from mantlet.policies.limits.status import LimitsAdmin
from mantlet.policies.record.policy import RecordPolicy
from mantlet.stores.sql.names import NameRows
from mantlet.upstreams.relayed.upstream import RelayedUpstream
from mantlet.wire import answer

if TYPE_CHECKING:  # what is opened where the config asks for it, and is not waited for elsewhere
    from mantlet.node.steps.cache import NodeCache
    from mantlet.policies.approvals.book import Book
    from mantlet.policies.approvals.policy import Approvals


@asynccontextmanager
async def build(config: Config, shared: Shared) -> AsyncIterator[Node]:
    """Open everything that `config` names, and close it in reverse.

    Raises `ConfigError`, `ValueError` or `OSError` for what only opening can find.
    """
    environment = config.environment
    current = Current()
    identity = CurrentIdentity(current)
    caller_limits = CurrentCallerLimits(current)
    async with AsyncExitStack() as opened:
        tasks = Tasks(failed)
        opened.push_async_callback(tasks.close)
        journal = await opened.enter_async_context(
            open_journal(
                config.audit,
                load_or_create(config.audit),
                clock=SYSTEM,
                environment=environment,
                report=audit_told,
                is_alone=shared.workers == 1,
            )
        )
        metrics = Metrics(max_series=config.telemetry.max_series, environment=environment)
        watch_journal(metrics, journal)
        egress = open_egress(config, journal, metrics, tasks)
        opened.push_async_callback(egress.close)
        fetch = open_fetcher(config, egress)
        opened.push_async_callback(fetch.close)
        sharers = shared.workers * config.limits.nodes
        limits, state, post = await opened.enter_async_context(
            open_store(config, shared.store_url, sharers, journal, metrics, tasks)
        )
        durable = await opened.enter_async_context(open_durable(config))
        keep_durable(durable, metrics, tasks)
        certificates = open_certificates(config, metrics)
        tasks.start(every(LOOK_S, certificates.look), "tls.look")
        sealer = open_sealer(config.database.home / "keys" / "node.key")
        grants = open_grants(config, egress, state, durable.database, journal, tasks, opened)
        forwarding = Forwarding(config, egress, opened, grants)
        resilience = Resilience(journal, metrics, tasks)
        upstreams = await open_upstreams(config, shared.sockets, sealer, egress, forwarding, opened, resilience)
        services = open_services(config, tasks, egress.resolve, forwarding, opened, resilience)
        guarded = resilience.around_all(config.mcp.servers, upstreams)
        serving = resilience.around_all(config.http_upstreams, services)
        addresses = open_addresses(config, state, journal, metrics, tasks)
        if addresses is not None:
            tasks.start(every(SYNC_S, addresses.blocks.sync), "blocks.sync")
        record = RecordPolicy(
            journal,
            metrics,
            SYSTEM,
            environment=environment,
            must_record=config.audit.must_record_in(environment),
            watch=None if addresses is None else addresses.watch,
        )
        kills = await open_kills(durable, state, metrics, tasks)
        revoked = await open_revoked(durable, state, metrics, tasks)
        is_current = kills.callers.guarding(identity.is_current)
        streams = CurrentStreams(is_current, config.limits.connections.streams_per_caller)
        tasks.start(every(CHECK_S, streams.check), "streams.check")
        mcp = config.mcp.limits
        relayed = {name: guarded[name] for name, upstream in upstreams.items() if isinstance(upstream, RelayedUpstream)}
        joined = relayed | bridged(  # what is relayed has the bridge at its owner: one session a caller, on any worker
            config.mcp.bridge,
            {name: upstream for name, upstream in guarded.items() if name not in relayed},
            sealer,
            state,
            post,
            opened,
            is_alone=shared.workers == 1 and shared.store_url.startswith(("memory:", "embedded:")),
            session_idle_s=config.mcp.limits.session_idle_ms / 1000,
            metrics=metrics,
            on_error=failed,
        )
        forward = Forward(
            joined,
            mcp.max_concurrent_requests,
            mcp.max_queued_requests,
            SYSTEM.monotonic,
            kills.targets.watch,
            adaptive=mcp.adaptive,
            priorities=mcp.priorities,
            recheck=kills.refuse,
        )
        watch_places(metrics, forward)
        aggregated = AggregatePorts(
            names=NameRows(durable.database),
            sealer=sealer,
            state=state,
            post=post,
            clock=SYSTEM,
            chance=random.random,
            tasks=tasks,
            report=log_warning,
        )
        definitions = await open_definitions(config, forward, journal, metrics, tasks, durable)
        cache: NodeCache | None = None
        if config.cache.enabled and config.mcp.servers:  # of a node with workers, only they have any
            from mantlet.node.steps.cache import open_cache

            cache = await open_cache(config, shared, upstreams, definitions, metrics, opened)
        resilience.take(definitions)
        book: Book | None = None
        approvals: Approvals | None = None
        if config.authorization.approvals is not None:
            from mantlet.node.steps.approvals import make_approvals, open_book

            book = open_book(config, state, sealer)
            approvals = make_approvals(
                config,
                book,
                fetch=fetch,
                journal=journal,
                metrics=metrics,
                tasks=tasks,
                definitions=definitions,
                recheck=kills.recheck(is_current, current.allows),
            )
        new_id, refuse = request_ids(), partial(_refuse, record)
        sse = open_sse(
            config,
            current.messages,
            resources(config),
            limits=caller_limits,
            refuse=refuse,
            tasks=tasks,
            new_id=new_id,
            on_error=failed,
            sealer=sealer,
            post=post,
        )
        aggregate = make_aggregate(config, list(upstreams), aggregated, current.may_reach)

        issuers, fallback = KnownIssuers(metrics, tasks), resilience.fallback(config)
        if cache is not None and fallback is not None:
            cache.cache.forgotten = fallback.forget

        async def make(config: Config, number: int, tasks: Tasks, opened: AsyncExitStack) -> Generation:
            guard = open_egress(config, journal, metrics, tasks)  # it knows the issuers of this configuration
            opened.push_async_callback(guard.close)
            authenticate = open_identity(
                config, opened, tasks, guard, journal, state, issuers, revoked, durable.api_keys
            )
            steps = make_steps(
                config,
                record,
                addresses,
                authenticate,
                streams,
                kills,
                limits,
                upstreams,
                serving,
                aggregate,
                sealer,
                forward,
                definitions,
                open_filters(config, journal, metrics, tasks, definitions.schemas),
                approvals,
            )
            logins = open_logins(config, authenticate, guard, state, opened)
            if config.auth.server is not None:
                from mantlet.node.identity.authorization_server import ServerPorts, open_authorization_server

                strangers = open_strangers_fetcher(config, guard, opened)
                ports = ServerPorts(state, sealer, limits, strangers, durable.database)
                server = open_authorization_server(config, authenticate, revoked, steps.caller_limits, ports, logins)
                steps = replace(steps, authorization_server=server)
            steps = with_pages(steps, authenticate, sealer, grants, logins)
            if cache is not None:
                steps = replace(steps, cache=cache.step(config))
            if fallback is not None:
                steps = replace(steps, fallback=fallback)
            judge = None if addresses is None else addresses.refused
            steps = with_tally(steps, authenticate, judge, journal, metrics, tasks, opened)
            admin = LimitsAdmin(config.limits, limits, SYSTEM)
            return Generation(number, config, steps, authenticate, admin, path(steps, sse), messages(steps))

        def taken(_: Generation) -> None:
            """What flows is held to the new configuration at once (AUTHZ-06)."""
            kills.targets.end_unless(current.allows)
            streams.check()

        renewal = Renewal(current, make, tasks, taken)
        opened.push_async_callback(renewal.close)
        await renewal.prepare(config)
        renewal.commit()
        metrics.gauge(
            "mantlet_config_generation",
            "Which configuration is in force, counted from 1",
            lambda: current.generation.number,
            "max",
        )
        watch_servers(metrics, upstreams)
        watch_endpoints(metrics, [*upstreams.values(), *services.values()])
        drains = await open_drains(config, durable, state, [*upstreams.values(), *services.values()])
        if drains.has_any:
            tasks.start(every(DRAINS_SYNC_S, drains.sync), "drains.sync")
        watch_endpoint(metrics, aggregate)
        opened.push_async_callback(tasks.close)  # first of all: nothing reads a database that is closed meanwhile
        yield Node(
            config=config,
            current=current,
            renewal=renewal,
            refuse=refuse,
            authenticate=identity,
            certificates=certificates,
            record=record,
            addresses=addresses,
            journal=journal,
            metrics=metrics,
            limits=limits,
            state=state,
            post=post,
            egress=egress,
            fetch=fetch,
            caller_limits=caller_limits,
            sealer=sealer,
            upstreams=upstreams,
            services=services,
            drains=drains,
            reached=[*guarded.values(), *serving.values()],
            kills=kills,
            approvals=book,
            cache=cache,
            fallback=fallback,
            is_current=is_current,
            holds=partial(_holds, identity, is_current),
            pins=definitions.pins,
            settle_pins=definitions.settle,
            durable=durable,
            tasks=tasks,
            new_id=new_id,
            sse=None if sse is None else sse.terms,
            public_url=public_url(config),
        )


def request_ids() -> Callable[[], str]:
    """Ids that no other process or run gives: a random beginning, then a count."""
    start, count = secrets.token_hex(6), itertools.count(1)
    return lambda: f"{start}-{next(count):x}"


async def _holds(identity: CurrentIdentity, is_current: Callable[[Caller], bool], caller: Caller) -> bool:
    await identity.recall(caller)
    return is_current(caller)


async def _refuse(record: RecordPolicy, trail: Trail, refusal: Refusal) -> Reply:
    try:
        await record.refused(trail, refusal)
    except Refusal as unable:
        return answer.refused(unable, trail)
    return answer.refused(refusal, trail)
