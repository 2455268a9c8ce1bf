"""`admin.Operations` over all processes of the node."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from ipaddress import ip_address
from typing import Any

from mantlet import __version__
from mantlet.core.ports import LimitKey
from mantlet.core.refusal import NotFound
from mantlet.events.exposition import render
from mantlet.events.metrics import Metrics, merge
from mantlet.node.config.model import Config
from mantlet.node.operators.blocks import BlocksAdmin
from mantlet.node.operators.members import Member
from mantlet.node.running.leaving import Leaving
from mantlet.policies.limits.client import PRINCIPAL, network_of
from mantlet.policies.limits.status import LimitsAdmin


class NodeOperations:
    """Asks every member and puts the answers together; a member that is gone is missing from them, and counted.

    `own` are the figures of the process that asks, when it is no member itself.
    """

    def __init__(
        self,
        config: Config,
        limits: Callable[[], LimitsAdmin],
        blocks: BlocksAdmin,
        members: Callable[[], Sequence[Member]],
        own: Metrics | None = None,
        leaving: Leaving | None = None,
    ) -> None:
        self._config = config
        self._limits = limits
        self._blocks = blocks
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

    async def limit_status(self, client: str) -> Mapping[str, Any]:
        """A client's windows."""
        return {"windows": [asdict(status) for status in await self._limits().status(client_key(client))]}

    async def limit_reset(self, client: str) -> int:
        """Forget a client's windows."""
        return await self._limits().reset(client_key(client))

    async def blocks(self) -> list[Mapping[str, Any]]:
        """Addresses that are blocked."""
        return await self._blocks.all()

    async def block(self, address: str, for_s: float | None, by: str) -> Mapping[str, Any]:
        """Block an address."""
        return await self._blocks.block(address, for_s, by)

    async def unblock(self, address: str, by: str) -> bool:
        """Let an address in again."""
        return await self._blocks.unblock(address, by)


def client_key(client: str) -> LimitKey:
    """The key of a client as the audit names it: `tenant/issuer/subject`, or an address. Raises `NotFound`.

    An issuer that is a URL has slashes of its own: the subject then begins behind the last one.
    """
    tenant, slash, rest = client.partition("/")
    if not slash and _is_address(tenant):
        return network_of(tenant)
    issuer, slash, subject = rest.rpartition("/") if "://" in rest else rest.partition("/")
    if slash:
        return (PRINCIPAL, tenant, issuer, subject)
    raise NotFound("A client is TENANT/ISSUER/SUBJECT, as the audit names it, or an address.")


def _is_address(text: str) -> bool:
    """Whether it is one. A subject by itself is not: the windows of that name would be nobody's, and always full."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
