"""What one process of a node can be asked, wherever it is: in this process, or a worker at the end of a channel."""

from collections.abc import Mapping
from typing import Any, Protocol

from mantlet.events.metrics import Snapshot


class Member(Protocol):
    """A process that serves calls."""

    async def ready(self) -> Mapping[str, Any]:
        """`ready` and the state of each part."""
        ...

    async def snapshot(self) -> Snapshot:
        """Its figures."""
        ...

    async def connections(self) -> list[dict[str, Any]]:
        """Its open connections."""
        ...

    async def cache(self) -> dict[str, Any]:
        """What its cache has done."""
        ...

    async def purge_cache(self, what: str) -> bool:
        """Forget a scope of it; whether other nodes were told."""
        ...

    async def upstreams(self) -> list[dict[str, Any]]:
        """Its upstreams' states."""
        ...
