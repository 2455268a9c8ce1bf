"""The store as this node has it: limits with what stands in for them, and shared state.

How it is doing is told to the log, the metrics, the audit trail and health.
"""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from mantlet.core.clock import SYSTEM
from mantlet.core.ports import Journal, LimitStore, Post
from mantlet.core.ports import State as SharedState
from mantlet.core.refusal import Refusal
from mantlet.core.tasks import Tasks
from mantlet.events.audit.administrative import note
from mantlet.events.metrics import Metrics
from mantlet.node.config.model import Config
from mantlet.node.housekeeping import every, failed, log
from mantlet.stores.failover import FailoverLimits, State
from mantlet.stores.limits import open_limits
from mantlet.stores.shared import open_shared
from mantlet.stores.valkey.waits import Waits

LOOK_S: Final = 1.0
"""How long a store that is gone can go unnoticed by a node that nobody calls."""
_LEVELS: Final[dict[State, int]] = {"shared": 0, "recovering": 1, "degraded": 2}


@asynccontextmanager
async def open_store(
    config: Config, url: str, sharers: int, journal: Journal, metrics: Metrics, tasks: Tasks
) -> AsyncIterator[tuple[LimitStore, SharedState, Post]]:
    """What is at `url` (the configured store, or an embedded one), open until the block ends.

    One that is not there, or does not let us in, is no error: limits go on as `limits.on_store_failure` says.
    """
    telling = _Telling(journal, metrics, tasks, config.limits.on_store_failure)
    access, waits = config.store.access, Waits(SYSTEM.monotonic)
    async with (
        open_limits(
            url,
            access,
            clock=SYSTEM,
            chance=random.random,
            on_error=failed,
            on_failure=config.limits.on_store_failure,
            sharers=sharers,
            leases=config.limits.leases,
            slow_s=config.store.slow_after,
            on_change=telling,
            waits=waits,
        ) as limits,
        open_shared(url, access, clock=SYSTEM, chance=random.random, on_error=failed) as (state, post),
    ):
        if isinstance(limits, FailoverLimits):
            telling.watch(limits)
            watch_waits(metrics, waits, "limits")
        yield limits, state, post


def watch_waits(metrics: Metrics, waits: Waits, use: str) -> None:
    """Show them. Divided, their rates are how long an answer of the store takes."""
    metrics.gauge("mantlet_store_answers", "Answers of the shared store, since the start",
                  lambda: waits.answers, labels={"use": use})  # fmt: skip
    metrics.gauge("mantlet_store_wait_seconds", "Time spent waiting for them, since the start",
                  lambda: waits.seconds, labels={"use": use})  # fmt: skip


class _Telling:
    """Tells of every change of the store's state, everywhere where somebody looks."""

    def __init__(self, journal: Journal, metrics: Metrics, tasks: Tasks, on_failure: str) -> None:
        self._journal, self._metrics, self._tasks, self._on_failure = journal, metrics, tasks, on_failure
        self._failures = 0
        self._state: State = "shared"
        self._has_said = False

    def __call__(self, state: State, why: str) -> None:
        """On the loop."""
        log.warning("limits.store", state=state, why=why, on_failure=self._on_failure)
        before, self._state = self._state, state
        if state == before:
            return  # another reason for the same, which the trail has
        if state == "degraded":
            self._failures += 1
        self._tasks.start(self._record(state, why), "store.changed")

    def watch(self, limits: FailoverLimits) -> None:
        """Begin to look, and show what is seen."""

        def look() -> None:
            limits.look()
            self._look_at_sharers(limits)

        self._tasks.start(every(LOOK_S, look), "store.look")
        self._metrics.gauge(
            "mantlet_store_state",
            "Limits by the shared store: 0 exact across nodes, 1 recovering, 2 degraded",
            lambda: _LEVELS[limits.state],
            "max",
        )
        self._metrics.gauge(
            "mantlet_store_sharers",
            "Processes between which limits are shared out while the store is gone; 0 before any decides",
            lambda: limits.sharers if limits.is_taking else 0,
            "max",
        )
        self._metrics.gauge("mantlet_store_failures", "Times that the store went away", lambda: self._failures)

    def _look_at_sharers(self, limits: FailoverLimits) -> None:
        if limits.are_more and not self._has_said:
            self._has_said = True
            log.warning(
                "limits.sharers",
                counted=limits.sharers,
                said="more processes share the limits than limits.nodes x http.workers; shares are made by the count",
            )

    async def _record(self, state: State, why: str) -> None:
        try:
            await note(
                self._journal,
                SYSTEM,
                f"store.{state}",
                object="limits",
                notes={"why": why[:500], "on_failure": self._on_failure},
            )
        except Refusal as refusal:  # the failing journal tells of itself
            log.warning("limits.store", unrecorded=refusal.why)
