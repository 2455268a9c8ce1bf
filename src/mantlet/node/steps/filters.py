"""The content filters as this node has them: what they count, and where they write what they find in a stream."""

import asyncio
from typing import TYPE_CHECKING, Final

from mantlet.core.clock import SYSTEM
from mantlet.core.ports import Journal
from mantlet.core.record import Trail
from mantlet.core.tasks import Tasks
from mantlet.events.audit.administrative import record_of
from mantlet.events.metrics import Metrics
from mantlet.node.config.model import Config
from mantlet.policies.filters.policy import NOTE, Filters

if TYPE_CHECKING:
    from mantlet.policies.schemas.policy import Schemas

FOUND: Final = "filter.found"
"""The event of findings in an answer that streams: the record of its call is written before its first byte."""


def open_filters(
    config: Config, journal: Journal, metrics: Metrics, tasks: Tasks, schemas: "Schemas | None"
) -> Filters | None:
    """The step, or None where every filter is off."""
    validation = config.validation

    def count(name: str, action: str) -> None:
        metrics.count("mantlet_filter_findings", name, action)

    def tell(trail: Trail, note: str) -> None:
        record = record_of(
            FOUND,
            at_s=SYSTEM.wall(),
            object=trail.object,
            principal=trail.principal,
            tenant=trail.tenant,
            door=trail.door,
            peer=trail.peer,
            request_id=trail.request_id,
            notes={"server": trail.server, "action": trail.action, NOTE: note},
        )

        async def write() -> None:
            await journal.append(record)

        tasks.start(write(), FOUND)

    step = Filters(
        validation.filters,
        validation.filters_for,
        validation.filter_budget,
        count=count,
        tell=tell,
        recheck=None if schemas is None else schemas.recheck,
    )
    if not step.is_needed:
        return None
    tasks.start(asyncio.to_thread(step.warm), "filters.warm")
    return step
