"""Refusals that are told together, in a running node."""

from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from functools import partial

from mantlet.core.clock import SYSTEM
from mantlet.core.ports import Journal
from mantlet.core.refusal import AuditUnavailable
from mantlet.core.tasks import Tasks
from mantlet.events.metrics import Metrics
from mantlet.node.housekeeping import every
from mantlet.node.path import Steps
from mantlet.policies.authenticate.policy import Authenticate, Disabled
from mantlet.policies.record.tally import SECOND_S, Judge, Tally


def with_tally(
    steps: Steps,
    authenticate: Authenticate | Disabled,
    refused: Judge | None,
    journal: Journal,
    metrics: Metrics,
    tasks: Tasks,
    opened: AsyncExitStack,
) -> Steps:
    """`steps` with a tally before them; `refused` is what the addresses say, where they are watched."""
    judges = [judge for judge in (refused, getattr(authenticate, "slowed", None)) if judge is not None]
    if not judges:
        return steps
    tally = Tally(judges, journal, SYSTEM, metrics)

    async def close() -> None:
        with suppress(AuditUnavailable):  # the node ends: nobody is left to tell it later
            await tally.write(is_last=True)

    opened.push_async_callback(close)
    tasks.start(every(SECOND_S, partial(tally.write)), "refusals.tally")
    return replace(steps, tally=tally)
