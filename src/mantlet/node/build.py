"""The composition root: the one place that joins rooms. Config in, one handler out, everything closed in reverse.

What is built here serves one process. What several processes of a node share comes in as `Shared`.
"""

import asyncio
import itertools
import random
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import structlog

from mantlet import __version__
from mantlet.core.call import Arrival, Reply
from mantlet.core.clock import SYSTEM
from mantlet.core.policy import ArrivalHandler, Policy
from mantlet.core.ports import LimitStore, Post, State
from mantlet.core.record import Trail
from mantlet.core.refusal import Refusal
from mantlet.core.tasks import Tasks
from mantlet.events.audit.keys import load_or_create
from mantlet.events.audit.writer import Journal, open_journal
from mantlet.events.metrics import Metrics, watch_journal
from mantlet.keys.api_keys import read_pepper
from mantlet.keys.files import read_secret
from mantlet.keys.ring import open_ring
from mantlet.keys.seal import NodeSealer, open_sealer
from mantlet.listeners.messages.carrier import Terms
from mantlet.listeners.tls import Certificates
from mantlet.listeners.tls.served import LOOK_S
from mantlet.node.blocks import open_addresses
from mantlet.node.bridging import bridged
from mantlet.node.certificates import open_certificates, tell
from mantlet.node.channels import is_owned, open_server, owner_socket
from mantlet.node.config.model import Config
from mantlet.node.config.refusals import is_let
from mantlet.node.forward import Forward
from mantlet.node.path import Steps, messages, path
from mantlet.node.published import Published
from mantlet.node.sse import open_sse
from mantlet.policies.addresses.blocks import SYNC_S
from mantlet.policies.addresses.policy import Addresses
from mantlet.policies.aggregate.opening import Bounds as AggregateBounds
from mantlet.policies.aggregate.opening import Ports as AggregatePorts
from mantlet.policies.aggregate.opening import open_aggregate
from mantlet.policies.authenticate.current import CurrentCaller
from mantlet.policies.authenticate.opening import open_authenticate
from mantlet.policies.authenticate.policy import Authenticate, Disabled
from mantlet.policies.authenticate.streams import CHECK_S, CurrentStreams
from mantlet.policies.authorize.policy import Authorize
from mantlet.policies.limits.policy import CallerLimits, CallLimits
from mantlet.policies.limits.status import LimitsAdmin
from mantlet.policies.mirrored.policy import Mirrored
from mantlet.policies.parse.policy import ENDPOINT, Parse
from mantlet.policies.record.policy import RecordPolicy
from mantlet.policies.tasks.ids import TaskIds
from mantlet.policies.tasks.policy import Tasks as TasksPolicy
from mantlet.stores.limits import open_limits
from mantlet.stores.shared import open_shared
from mantlet.stores.sqlite.api_keys import ApiKeys
from mantlet.stores.sqlite.names import SqliteNames
from mantlet.upstreams.relayed.upstream import RelayedUpstream
from mantlet.upstreams.transports.channel.config import ChannelConfig
from mantlet.upstreams.transports.channel.isolated.server import IsolatedServer
from mantlet.upstreams.transports.channel.server import ChannelServer
from mantlet.upstreams.transports.http import HttpServer
from mantlet.upstreams.transports.openapi import OpenApiServer, OpenApiServerConfig
from mantlet.wire import answer
from mantlet.wire.jsonrpc import Bounds

Server = HttpServer | ChannelServer | IsolatedServer | RelayedUpstream | OpenApiServer
"""What carries calls to one configured server."""

FLUSH_S: Final = 5.0
"""How often uses of API keys are written down."""

log: Final = structlog.get_logger("mantlet")


@dataclass(frozen=True, slots=True)
class Shared:
    """What the processes of one node have in common: the limits' store, and the owner of shared channels.

    `sockets` is the directory where the owner serves them; empty when this process owns them itself.
    """

    store_url: str
    workers: int = 1
    sockets: str = ""


@dataclass(frozen=True, slots=True)
class Node:
    """One process of a node, ready to listen."""

    config: Config
    handler: ArrivalHandler
    messages: ArrivalHandler
    """For connections whose caller is known: it raises what it refuses."""
    refuse: Callable[[Trail, Refusal], Any]
    authenticate: Authenticate | Disabled
    certificates: Certificates
    record: RecordPolicy
    addresses: Addresses | None
    journal: Journal
    metrics: Metrics
    limits: LimitStore
    state: State
    post: Post
    caller_limits: Policy[Arrival] | None
    limits_admin: LimitsAdmin
    sealer: NodeSealer
    upstreams: dict[str, Server]
    tasks: Tasks
    new_id: Callable[[], str]
    sse: Terms | None
    public_url: str


@asynccontextmanager
async def build(config: Config, shared: Shared) -> AsyncIterator[Node]:
    """Open everything that `config` names, and close it in reverse.

    Raises `ConfigError`, `ValueError` or `OSError` for what only opening can find.
    """
    environment = config.environment
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
        metrics = Metrics(environment=environment)
        watch_journal(metrics, journal)
        limits = await opened.enter_async_context(
            open_limits(
                shared.store_url,
                clock=SYSTEM,
                chance=random.random,
                on_error=failed,
                on_failure=config.limits.on_store_failure,
                sharers=shared.workers * config.limits.nodes,
                on_change=lambda state, why: log.warning("limits.store", state=state, why=why),
            )
        )
        state, post = await opened.enter_async_context(
            open_shared(shared.store_url, clock=SYSTEM, chance=random.random, on_error=failed)
        )
        names = SqliteNames(config.database.path)
        opened.callback(names.close)
        authenticate = _authenticate(config, opened, tasks)
        certificates = open_certificates(config, metrics)
        tasks.start(every(LOOK_S, certificates.look), "tls.look")
        sealer = open_sealer(config.database.path.parent / "keys" / "node.key")
        upstreams = await _upstreams(config, shared, sealer, opened)
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
        streams = CurrentStreams(authenticate.is_current, config.limits.connections.streams_per_caller)
        tasks.start(every(CHECK_S, streams.check), "streams.check")
        mcp = config.mcp.limits
        relayed = {name: upstream for name, upstream in upstreams.items() if isinstance(upstream, RelayedUpstream)}
        joined = relayed | bridged(  # what is relayed has the bridge at its owner: one session a caller, on any worker
            config.mcp.bridge,
            {name: upstream for name, upstream in upstreams.items() if name not in relayed},
            sealer,
            state,
            post,
            opened,
            is_alone=shared.workers == 1 and shared.store_url.startswith(("memory:", "embedded:")),
            on_error=failed,
        )
        forward = Forward(joined, mcp.max_concurrent_requests, mcp.max_queued_requests, SYSTEM.monotonic)
        metrics.gauge("mantlet_calls_under_way", "Calls at upstreams", lambda: forward.under_way)
        metrics.gauge("mantlet_calls_waiting", "Calls that wait for a place at an upstream", lambda: forward.waiting)
        aggregated = AggregatePorts(
            names=names,
            sealer=sealer,
            state=state,
            post=post,
            clock=SYSTEM,
            chance=random.random,
            tasks=tasks,
            report=log_warning,
        )
        steps = _steps(config, record, addresses, authenticate, streams, limits, upstreams, aggregated, forward)
        new_id, refuse = request_ids(), partial(_refuse, record)
        sse = open_sse(
            config,
            steps,
            resources(config),
            refuse=refuse,
            tasks=tasks,
            new_id=new_id,
            on_error=failed,
            sealer=sealer,
            post=post,
        )
        yield Node(
            config=config,
            handler=path(steps, sse),
            messages=messages(steps),
            refuse=refuse,
            authenticate=authenticate,
            certificates=certificates,
            record=record,
            addresses=addresses,
            journal=journal,
            metrics=metrics,
            limits=limits,
            state=state,
            post=post,
            caller_limits=steps.caller_limits,
            limits_admin=LimitsAdmin(config.limits, limits, SYSTEM),
            sealer=sealer,
            upstreams=upstreams,
            tasks=tasks,
            new_id=new_id,
            sse=None if sse is None else sse.terms,
            public_url=public_url(config),
        )


def public_url(config: Config) -> str:
    """Where clients find this node: `agent.url`, or in its absence the listener's own address."""
    if config.agent.url:
        return config.agent.url.rstrip("/")
    scheme = "https" if config.http.tls.is_on else "http"
    host = f"[{config.http.host}]" if ":" in config.http.host else config.http.host
    return f"{scheme}://{host}:{config.http.port}"


def resources(config: Config) -> list[str]:
    """The paths that are resources of their own, each with its metadata (RFC 9728); that of all servers first."""
    mcp = config.mcp
    names = [each.name for each in (*mcp.servers, *mcp.virtual)] if mcp.enabled else []
    return [ENDPOINT, *(f"{ENDPOINT}/{name}" for name in names)]


def request_ids() -> Callable[[], str]:
    """Ids that no other process or run gives: a random beginning, then a count."""
    start, count = secrets.token_hex(6), itertools.count(1)
    return lambda: f"{start}-{next(count):x}"


def audit_told(event: str, said: str) -> None:
    """What the journal reports, into the log: its failure is an error, its return is not."""
    (log.error if event == "audit.failed" else log.warning)(event, said=said)


def failed(error: BaseException, trail: Trail | None = None) -> None:
    """What nobody expected and nobody awaits."""
    log.error("unexpected", error=type(error).__name__, said=str(error)[:500], request_id=trail and trail.request_id)


def _steps(
    config: Config,
    record: RecordPolicy,
    addresses: Addresses | None,
    authenticate: Authenticate | Disabled,
    streams: CurrentStreams,
    limits: LimitStore,
    upstreams: dict[str, Server],
    aggregated: AggregatePorts,
    forward: Forward,
) -> Steps:
    authorize = Authorize(config.authorization, may_default_allow=config.environment != "production")
    call_limits = CallLimits(config.limits, limits, SYSTEM)
    issuer = config.auth.jwt.issuer or ""
    mcp = config.mcp.limits
    task_ids = TaskIds(aggregated.sealer)
    return Steps(
        record=record,
        addresses=addresses,
        published=Published(
            public_url(config),
            resources(config),
            [issuer] if config.auth.jwt.has_key and issuer.startswith("https://") else [],
        ),
        authenticate=authenticate,
        current_streams=streams,
        current_caller=CurrentCaller(authenticate.is_current),
        caller_limits=CallerLimits(config.limits, limits, SYSTEM) if config.limits.enabled else None,
        parse=Parse(
            upstreams,
            bounds=Bounds(config.validation.max_depth, config.validation.max_keys),
            request_timeout_s=config.mcp.limits.request_timeout_ms / 1000,
            monotonic=SYSTEM.monotonic,
            unknown_methods=config.mcp.unknown_methods == "allow" and config.environment != "production",
            views=[virtual.name for virtual in config.mcp.virtual],
        ),
        aggregate=open_aggregate(
            list(upstreams),
            aggregated,
            AggregateBounds(
                list_timeout_s=mcp.list_timeout_ms / 1000,
                page_size=mcp.page_size,
                max_streams=mcp.max_streams,
                max_streams_per_caller=mcp.max_streams_per_caller,
            ),
            may_reach=authorize.may_reach,
            task_server=task_ids.server_of,
            virtual=config.mcp.virtual,
            name=config.agent.name,
            version=config.agent.version or __version__,
        ),
        tasks=TasksPolicy(task_ids),
        mirrored=Mirrored(),
        call_limits=call_limits if config.limits.enabled and call_limits.is_needed else None,
        authorize=authorize,
        forward=forward,
        challenge=authenticate.challenge,
    )


def _authenticate(config: Config, opened: AsyncExitStack, tasks: Tasks) -> Authenticate | Disabled:
    jwt = config.auth.jwt
    store = ApiKeys(config.database.path, SYSTEM.monotonic)
    opened.callback(store.close)
    tasks.start(every(FLUSH_S, partial(asyncio.to_thread, store.flush)), "api_keys.flush")
    ring = open_ring(algorithms=jwt.algorithms, secret=jwt.secret, key_file=jwt.key_file, jwks_file=jwt.jwks_file)
    authenticate = open_authenticate(
        config.auth,
        environment=config.environment,
        clock=SYSTEM,
        pepper=read_pepper(config.database.pepper_path),
        read_secret=read_secret,
        keys=ring if jwt.has_key else None,
        store=store,
        public_url=public_url(config),
        published=resources(config),
        tell=tell,
    )
    tasks.start(every(LOOK_S, authenticate.look), "authenticate.look")
    return authenticate


async def _upstreams(config: Config, shared: Shared, sealer: NodeSealer, opened: AsyncExitStack) -> dict[str, Server]:
    upstreams: dict[str, Server] = {}
    is_plain_allowed = is_let("plain_upstream", config)
    for server in config.mcp.servers if config.mcp.enabled else ():
        upstream: Server
        if isinstance(server, ChannelConfig) and shared.sockets and is_owned(server):
            upstream = RelayedUpstream(server.name, owner_socket(shared.sockets, server.name))
            opened.push_async_callback(upstream.close)
        elif isinstance(server, ChannelConfig):
            upstream = await open_server(
                server,
                sealer,
                opened,
                is_plain_allowed=is_plain_allowed,
                input_timeout_s=config.mcp.bridge.input_timeout,
                events=log_event,
            )
        elif isinstance(server, OpenApiServerConfig):
            upstream = OpenApiServer(server, is_plain_allowed=is_plain_allowed)
            opened.push_async_callback(upstream.close)
        else:
            upstream = HttpServer(server, sealer, is_plain_allowed=is_plain_allowed)
            opened.push_async_callback(upstream.close)
        upstreams[server.name] = upstream
    return upstreams


async def _refuse(record: RecordPolicy, trail: Trail, refusal: Refusal) -> Reply:
    try:
        await record.refused(trail, refusal)
    except Refusal as unable:
        return answer.refused(unable, trail)
    return answer.refused(refusal, trail)


async def every(interval_s: float, work: Callable[[], Any]) -> None:
    """Do `work` every `interval_s`, whatever becomes of it."""
    while True:
        await asyncio.sleep(interval_s)
        try:
            result = work()
            if asyncio.iscoroutine(result):
                await result
        except Refusal as refusal:
            log.warning("housekeeping", why=refusal.why)
        except Exception as error:  # a task root: the watch over streams must not end with its first surprise
            failed(error)


def log_warning(event: str, fields: Any) -> None:
    """What somebody should look at, into the log."""
    log.warning(event, **fields)


def log_event(event: str, fields: Any) -> None:
    """What an upstream reports, into the log."""
    log.info(event, **fields)
