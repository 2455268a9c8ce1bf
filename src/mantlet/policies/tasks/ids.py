"""The id under which a caller knows a task: sealed, so that it says whose it is and where, and to nobody else.

A server behind the node sees one client for all callers, so it cannot tell whose task an id is. A foreign id therefore
never reaches it: to anyone but the caller it was given to, it opens no more than a made-up one.
"""

from dataclasses import dataclass
from typing import Final

import msgspec

from mantlet.core.caller import Caller
from mantlet.core.ports import Sealer
from mantlet.wire import jsonrpc

MAX_CHARACTERS: Final = 4_096
MAX_OWN_CHARACTERS: Final = 1_024
"""A server's own id may have so many; a longer one is not passed on."""

_DECODER: Final = msgspec.json.Decoder(tuple[str, str, str])


@dataclass(frozen=True, slots=True)
class Task:
    """Where a task is: its server, the tool whose call it is, and the id it has there."""

    server: str
    tool: str
    own: str


class TaskIds:
    """Gives ids and reads them."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def give(self, task: Task, caller: Caller) -> str:
        """The id that `caller` gets. Another one each time: whoever has given one repeats that."""
        plain = msgspec.json.encode((task.server, task.tool, task.own))
        return self._sealer.seal(plain, _context(caller))

    def read(self, text: str, caller: Caller) -> Task | None:
        """The task, or None for anything that was not given to `caller`."""
        plain = self._sealer.open(text, _context(caller)) if len(text) <= MAX_CHARACTERS else None
        return None if plain is None else Task(*_DECODER.decode(plain))

    def server_of(self, text: str, caller: Caller) -> str | None:
        """Where `caller`'s task is."""
        task = self.read(text, caller)
        return None if task is None else task.server


def _context(caller: Caller) -> bytes:
    return jsonrpc.encode(["mcp/task", *caller.key])
