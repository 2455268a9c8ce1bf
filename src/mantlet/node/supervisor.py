"""A node of several processes: this one owns what they share, starts them, and starts again what dies."""

import asyncio

from mantlet.node.config.model import Config


async def supervise(config: Config, accepted: list[str], stop: asyncio.Event) -> int:
    """Serve with `http.workers` workers until `stop`."""
    raise ValueError("http.workers: more than one is not built yet")
