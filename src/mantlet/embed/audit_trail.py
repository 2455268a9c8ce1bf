"""The audit trail by itself, for programs that have something to prove."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Literal, Self

from mantlet.core.clock import SYSTEM, Clock
from mantlet.core.record import Verdict
from mantlet.embed.log import log
from mantlet.events.audit.administrative import record_of
from mantlet.events.audit.keys import load_or_create
from mantlet.events.audit.writer import Journal, open_journal
from mantlet.events.config import AuditConfig


class AuditTrail:
    """Records in a chain that shows what was changed, added, taken out or cut off (docs/audit.md).

    `durability`: `write` survives the death of the process, `fsync` the loss of power. Several processes may write one
    trail. `mantlet events verify --path PATH` proves it.

    >>> async with AuditTrail("./var/audit") as trail:
    ...     await trail.record("order.placed", principal="alice", object="order/17")
    """

    def __init__(
        self, path: str | Path, *, durability: Literal["write", "fsync"] = "fsync", clock: Clock = SYSTEM
    ) -> None:
        self._config = AuditConfig(path=str(path), durability=durability)
        self._clock = clock
        self._opened = AsyncExitStack()
        self._journal: Journal | None = None

    async def __aenter__(self) -> Self:
        """Raises `AuditUnavailable`, or `PermissionError` for a key file that others may read."""
        journal = open_journal(self._config, load_or_create(self._config), clock=self._clock, report=_told)
        self._journal = await self._opened.enter_async_context(journal)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._journal = None
        await self._opened.aclose()

    async def record(
        self,
        event: str,
        *,
        principal: str,
        object: str = "",  # noqa: A002 - the member's name in the record
        tenant: str = "",
        verdict: Verdict = "allow",
        reason: str = "",
        notes: Mapping[str, str] | None = None,
    ) -> None:
        """Return when the record is written as durably as asked. What it stands for is done after that, not before.

        Raises `AuditUnavailable` when it cannot be written; what looks like a credential is masked.
        """
        if self._journal is None:
            raise RuntimeError("open the trail first: async with AuditTrail(...)")
        await self._journal.append(
            record_of(
                event,
                at_s=self._clock.wall(),
                object=object,
                principal=principal,
                tenant=tenant,
                door="library",
                verdict=verdict,
                reason=reason,
                notes=notes,
            )
        )


def _told(event: str, said: str) -> None:
    log.warning("%s: %s", event, said)
