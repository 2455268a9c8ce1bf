"""This process, as the node's operators ask it."""

from typing import Any

from mantlet.events.metrics import Snapshot
from mantlet.node.build.built import Node
from mantlet.node.doors.opening import Doors


class LocalMember:
    """This process."""

    def __init__(self, node: Node, doors: Doors) -> None:
        self._node = node
        self._doors = doors

    async def ready(self) -> dict[str, Any]:
        """Calls are taken while the audit can be written; what is behind the node does not decide (RES-06)."""
        limits = getattr(self._node.limits, "state", "local")
        return {
            "ready": self._node.journal.is_able
            or not self._node.config.audit.must_record_in(self._node.config.environment),
            "audit": "able" if self._node.journal.is_able else "unable",
            "limits": str(limits),
            "store": getattr(self._node.limits, "why", ""),
            "doors": self._doors.ports(),
            **({} if self._node.cache is None else {"cache": self._node.cache.state}),
            **({"endpoints": told} if (told := self._node.drains.usable()) else {}),
        }

    async def snapshot(self) -> Snapshot:
        """Its figures."""
        return self._node.metrics.snapshot()

    async def connections(self) -> list[dict[str, Any]]:
        """Its open connections."""
        return self._doors.connections()

    async def cache(self) -> dict[str, Any]:
        """What its cache has done."""
        return {} if self._node.cache is None else await self._node.cache.stats()

    async def purge_cache(self, what: str) -> bool:
        """Forget a scope of it; whether other nodes were told."""
        if self._node.fallback is not None:
            self._node.fallback.forget(what)
        return self._node.cache is None or await self._node.cache.purge(what)

    async def upstreams(self) -> list[dict[str, Any]]:
        """Its upstreams' states."""
        return [dict(await upstream.health()) for upstream in self._node.reached]
