"""Waiting for what another process does, where there is no event to wait for."""

import asyncio
from collections.abc import Callable
from inspect import isawaitable
from typing import Any


async def until(condition: Callable[[], Any], within_s: float = 30.0) -> None:
    """Ask `condition`, which may be asked in turns, until it holds."""
    async with asyncio.timeout(within_s):
        while True:
            found = condition()
            if await found if isawaitable(found) else found:
                return
            await asyncio.sleep(0.005)
