"""Pages of a merged list (2026-07-28, server/utilities/pagination).

A cursor says where the next page begins: at which server, and how many of its items were shown. Nothing is kept for
it, any worker reads it, and it always points further than the page before: a list that changes between two pages may
show an item twice or miss one, as lists do, but it ends. It is sealed for its caller, list and view: elsewhere it is
invalid.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from mantlet.core.call import Call
from mantlet.core.ports import Sealer
from mantlet.core.refusal import InvalidParams
from mantlet.policies.aggregate.listing import Item
from mantlet.wire import jsonrpc

MAX_CHARACTERS: Final = 1_024
Position = tuple[str, int]
"""A server's name, and how many of its items lie before."""

_DECODER: Final = msgspec.json.Decoder(tuple[str, int])


class Pages:
    """Cuts lists, and gives and reads cursors."""

    def __init__(self, sealer: Sealer, size: int) -> None:
        self._sealer = sealer
        self._size = size

    def position(self, call: Call) -> Position | None:
        """Where the page that `call` asks for begins; None for the first. Raises `InvalidParams`."""
        cursor = call.params.get("cursor")
        if cursor is None:
            return None
        plain = None
        if type(cursor) is str and len(cursor) <= MAX_CHARACTERS:
            plain = self._sealer.open(cursor, _context(call))
        if plain is None:
            raise InvalidParams("The cursor is not one of this list.")
        return _DECODER.decode(plain)  # sealed by us: of this shape

    def cut(self, call: Call, items: Sequence[Item], position: Position | None) -> tuple[list[bytes], str]:
        """The page that begins at `position`, and the cursor of the next one, or an empty text."""
        first = 0
        if position is not None:
            server, shown = position
            mine = [number for number, item in enumerate(items) if item.owned.server == server]
            # A server that has fewer items now is done with; the next one's begin behind it.
            first = mine[0] + min(shown, len(mine)) if mine else 0
        last = first + self._size
        page = [item.raw for item in items[first:last]]
        if last >= len(items):
            return page, ""
        server = items[last].owned.server
        before = sum(1 for item in items[:last] if item.owned.server == server)
        return page, self._sealer.seal(msgspec.json.encode((server, before)), _context(call))


def from_position(servers: Sequence[str], position: Position | None) -> Sequence[str]:
    """The servers whose items lie at or behind `position`: the others need not be asked again."""
    if position is None:
        return servers
    # One that the caller no longer reaches, or that is configured no more, has no place: its list is over.
    return servers[servers.index(position[0]) :] if position[0] in servers else ()


def _context(call: Call) -> bytes:
    return jsonrpc.encode(["/mcp/cursor", call.view, call.method, *call.caller.key])
