"""Waiting until both servers answer through the gateway, so that the first copied command is answered at once."""

import asyncio
from typing import Final

from mantlet.core.secret import Secret
from mantlet.ops.demo.plan import Plan
from mantlet.ops.remote import Mcp
from mantlet.ops.remote.http import Address

TOOLS: Final = frozenset({"get_current_time", "convert_time", "add", "write_note", "read_notes"})
"""What both servers offer together. A newer time server may offer more; fewer means that one is not there."""
ATTEMPTS: Final = 60
PAUSE_S: Final = 0.5


async def until_open(plan: Plan) -> None:
    """Return when all tools are listed. Raises `TimeoutError` when they are not after half a minute or so."""
    client = Mcp(Address(plan.url, Secret(plan.admin_key)))
    missing = TOOLS
    for _ in range(ATTEMPTS):
        # The node runs in this very loop, and the operators' client blocks.
        missing = TOOLS - {str(tool.get("name")) for tool in await asyncio.to_thread(client.tools)}
        if not missing:
            return
        await asyncio.sleep(PAUSE_S)
    raise TimeoutError(f"the servers do not offer {', '.join(sorted(missing))}")
