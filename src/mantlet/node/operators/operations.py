"""`admin.Operations` over all processes of the node."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mantlet import __version__
from mantlet.events.exposition import render
from mantlet.events.metrics import Metrics, merge
from mantlet.node.config.model import Config
from mantlet.node.operators.members import Member
from mantlet.node.running.leaving import Leaving


class NodeOperations:
    """Asks every member and puts the answers together; a member that is gone is missing from them, and counted.

    `own` are the figures of the process that asks, when it is no member itself.
    """

    def __init__(
        self,
        config: Config,
        members: Callable[[], Sequence[Member]],
        own: Metrics | None = None,
        leaving: Leaving | None = None,
    ) -> None:
        self._config = config
        self._members = members
        self._own, self._leaving = own, leaving
        self._began_s = time.monotonic()

    async def readiness(self) -> tuple[bool, Mapping[str, Any]]:
        """Ready when a member is, and the node is not about to leave; each member's parts."""
        parts = [await member.ready() for member in self._members()]
        stays = self._leaving is None or not self._leaving.is_announced
        return stays and any(part.get("ready") for part in parts), {f"worker {n}": part for n, part in enumerate(parts)}

    async def metrics(self) -> bytes:
        """Prometheus text of all members together."""
        own = [] if self._own is None else [self._own.snapshot()]
        return render(merge([*own, *[await member.snapshot() for member in self._members()]]))

    async def status(self) -> Mapping[str, Any]:
        """What is running."""
        return {
            "name": self._config.agent.name,
            "version": __version__,
            "environment": self._config.environment,
            "accepted_risks": list(self._config.accept_risks),
            "workers": len(self._members()),
            "uptime_s": round(time.monotonic() - self._began_s, 1),
            "pid": os.getpid(),
        }

    async def connections(self) -> list[Mapping[str, Any]]:
        """Open connections, each with its worker."""
        return [
            {"worker": number, **connection}
            for number, member in enumerate(self._members())
            for connection in await member.connections()
        ]

    async def upstreams(self) -> list[Mapping[str, Any]]:
        """States as each worker sees them."""
        return [
            {"worker": number, **upstream}
            for number, member in enumerate(self._members())
            for upstream in await member.upstreams()
        ]
