"""Endpoints of servers, as an operator sees and orders them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from mantlet.core.clock import SYSTEM
from mantlet.core.ports import Journal
from mantlet.core.refusal import InvalidParams, NotFound
from mantlet.events.audit.administrative import note
from mantlet.node.operators.members import Member
from mantlet.node.upstreams.drains import Drains

DRAIN_S: Final = 300.0
"""How long sessions go on at an endpoint, unless the order says otherwise."""
MAX_DRAIN_S: Final = 86_400.0


class EndpointsAdmin:
    """`admin.endpoints.EndpointOrders` over all processes of the node."""

    def __init__(self, drains: Drains, members: Callable[[], Sequence[Member]], journal: Journal) -> None:
        self._drains, self._members, self._journal = drains, members, journal

    async def all(self) -> list[Mapping[str, Any]]:
        """Each endpoint as each worker sees it."""
        return [
            {"worker": number, "server": server["name"], **endpoint}
            for number, member in enumerate(self._members())
            for server in await member.upstreams()
            for endpoint in server.get("endpoints", ())
        ]

    async def drain(self, server: str, endpoint: str, for_s: float | None, by: str) -> Mapping[str, Any]:
        """Let it take no new calls; after `for_s` seconds its sessions are lost."""
        seconds = DRAIN_S if for_s is None else for_s
        if not 0 <= seconds <= MAX_DRAIN_S:  # also what is no number
            raise InvalidParams(f"for is a number of seconds, at most {MAX_DRAIN_S:g}.")
        await self._known(server, endpoint)
        await note(
            self._journal, SYSTEM, "endpoint.drained", object=f"{server} {endpoint}", principal=by,
            notes={"for_s": f"{seconds:g}"},
        )  # fmt: skip
        await self._drains.order(server, endpoint, seconds, by)
        return {"server": server, "endpoint": endpoint, "stops_in_s": seconds}

    async def undrain(self, server: str, endpoint: str, by: str) -> bool:
        """Let it take calls again; whether it was drained."""
        await self._known(server, endpoint)
        await note(self._journal, SYSTEM, "endpoint.undrained", object=f"{server} {endpoint}", principal=by)
        return await self._drains.order(server, endpoint, None, by)

    async def _known(self, server: str, endpoint: str) -> None:
        if not any(row["server"] == server and row["name"] == endpoint for row in await self.all()):
            raise NotFound("No server here has such an endpoint; `mantlet upstreams` names them.")
