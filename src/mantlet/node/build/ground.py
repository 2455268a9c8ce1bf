"""What all else in a process stands on: the record, figures, the way out, stores, keys. First opened, last closed."""

from contextlib import AsyncExitStack
from dataclasses import dataclass

from mantlet.core.clock import SYSTEM
from mantlet.core.ports import Fetch, LimitStore, Post, State
from mantlet.core.tasks import Tasks
from mantlet.events.audit.keys import load_or_create
from mantlet.events.audit.writer import Journal, open_journal
from mantlet.events.metrics import Metrics, watch_journal
from mantlet.keys.seal import NodeSealer, open_sealer
from mantlet.listeners.tls import Certificates
from mantlet.listeners.tls.served import LOOK_S
from mantlet.node.certificates import open_certificates
from mantlet.node.config.model import Config
from mantlet.node.egress import open_egress, open_fetcher
from mantlet.node.housekeeping import audit_told, every, failed
from mantlet.node.shared import Shared
from mantlet.node.storage.durable import Durable, keep_durable, open_durable
from mantlet.node.storage.store import open_store
from mantlet.upstreams.egress import Guard


@dataclass(frozen=True, slots=True)
class Ground:
    """All of one process. What is opened on it is closed by `opened`."""

    config: Config
    """As the process was started; a reload exchanges it for what a generation decides, not here."""
    shared: Shared
    opened: AsyncExitStack
    tasks: Tasks
    journal: Journal
    metrics: Metrics
    egress: Guard
    fetch: Fetch
    limits: LimitStore
    state: State
    post: Post
    durable: Durable
    certificates: Certificates
    sealer: NodeSealer


async def open_ground(config: Config, shared: Shared, opened: AsyncExitStack) -> Ground:
    """Open it. Raises `ConfigError`, `ValueError` or `OSError`."""
    tasks = Tasks(failed)
    opened.push_async_callback(tasks.close)
    journal = await opened.enter_async_context(
        open_journal(
            config.audit,
            load_or_create(config.audit),
            clock=SYSTEM,
            environment=config.environment,
            report=audit_told,
            is_alone=shared.workers == 1,
        )
    )
    metrics = Metrics(max_series=config.telemetry.max_series, environment=config.environment)
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
    return Ground(
        config=config,
        shared=shared,
        opened=opened,
        tasks=tasks,
        journal=journal,
        metrics=metrics,
        egress=egress,
        fetch=fetch,
        limits=limits,
        state=state,
        post=post,
        durable=durable,
        certificates=certificates,
        sealer=open_sealer(config.database.home / "keys" / "node.key"),
    )
