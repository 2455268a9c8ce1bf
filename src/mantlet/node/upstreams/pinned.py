"""What servers say of their tools, held to what was approved and to its schemas."""

import random
from collections.abc import Awaitable, Callable, Mapping

from mantlet.core.clock import SYSTEM
from mantlet.core.definition import Definition
from mantlet.core.policy import CallHandler
from mantlet.core.ports import Journal
from mantlet.core.refusal import StoreUnavailable
from mantlet.core.tasks import Tasks
from mantlet.events.audit.administrative import note
from mantlet.events.metrics import Metrics
from mantlet.node.config.model import Config
from mantlet.node.housekeeping import every, log
from mantlet.node.storage.durable import Durable
from mantlet.policies.pins.asking import Asking
from mantlet.policies.pins.book import Book
from mantlet.policies.pins.listening import Listening
from mantlet.policies.pins.lock import LockFile
from mantlet.policies.pins.policy import SYNC_S, Pins
from mantlet.policies.pins.shown import Shown
from mantlet.policies.schemas.policy import Schemas
from mantlet.policies.schemas.tools import SchemaBook
from mantlet.stores.sql.pins import PinRows
from mantlet.upstreams.identity import NODE


async def open_pinned(
    config: Config, forward: CallHandler, journal: Journal, metrics: Metrics, tasks: Tasks, durable: Durable
) -> tuple[Pins, Schemas | None, Callable[[], Awaitable[None]]]:
    """What is on of `mcp.pins` and `validation.schemas`, and what returns once all that was decided is written.

    Raises `ConfigError` for a lock file that cannot be read, and `StoreUnavailable`.
    """
    pins = config.mcp.pins
    mode = pins.mode_in(config.environment)
    checks = config.validation.schemas or ("off" if mode == "off" else "enforce")

    def tell(event: str, about: str, notes: Mapping[str, str]) -> None:
        tasks.start(note(journal, SYSTEM, event, object=about, notes=notes), event)
        log.warning(event, object=about, **notes)

    store = PinRows(durable.database, durable.changes)
    await durable.changes.look()
    store.wanted = lambda: tasks.start(_written(store), "pins.write")
    book = Book(
        mode,
        store,
        LockFile(pins.file) if mode == "approve" else None,
        [server.name for server in config.mcp.servers],
        wall=SYSTEM.wall,
        tell=tell,
    )
    schemas = SchemaBook(refuses_unknown=config.validation.unknown_properties == "refuse")
    timeout_s = config.mcp.limits.list_timeout_ms / 1000
    step = Pins(
        Shown(book, schemas.why_unusable if checks == "enforce" else _always_usable),
        Asking(forward, timeout_s, SYSTEM.monotonic),
        refresh_s=pins.refresh,
        wait_s=timeout_s,
        monotonic=SYSTEM.monotonic,
        listening=_listening(config, forward, tasks) if pins.listen else None,
    )
    tasks.start(every(SYNC_S, step.sync), "pins.sync")
    tasks.start(every(SYNC_S, durable.quiet(store.settle)), "pins.settle")  # what could not be written a moment ago
    metrics.gauge(  # every process knows all of them
        "mantlet_definitions_quarantined", "Definitions in quarantine", lambda: len(book.table.held), "max"
    )
    return step, None if checks == "off" else Schemas(schemas, step.definition_of, mode=checks), store.settle


async def _written(store: PinRows) -> None:
    try:
        await store.settle()
    except StoreUnavailable as refusal:
        log.warning("pins.write", why=refusal.why)


def _listening(config: Config, forward: CallHandler, tasks: Tasks) -> Listening:
    # Where each session has a program or connection of its own, a listener would have one that nobody else uses.
    servers = [each.name for each in config.mcp.servers if getattr(each, "isolation", None) != "session"]
    return Listening(forward, servers, NODE, SYSTEM, tasks, random.random)


def _always_usable(_: Definition) -> str:
    return ""
