"""What one server answered to a list method, read once for all callers to whom it answers the same bytes.

Reading, naming and writing a list of a hundred tools costs 4 ms, and servers' lists seldom change. What is remembered
is keyed by the exact result that came down the path, so by the caller's rights too (AUTHZ-03): nothing can be stale.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import msgspec

from mantlet.core.refusal import BadUpstream
from mantlet.policies.aggregate.memory import Memory
from mantlet.policies.aggregate.names import Owned
from mantlet.wire.mcp.methods import LISTS
from mantlet.wire.mcp.replies import is_method_not_found, message_of


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """One answer: equal bytes are one object, so that what is made of them can be found by it."""

    items: Sequence[Mapping[str, Any]]
    cursor: str | None
    size: int


@dataclass(frozen=True, slots=True)
class Listing:
    """All pages of one server."""

    pages: tuple[Page, ...] = ()
    is_cut: bool = False
    """It had no end."""

    @property
    def items(self) -> list[Mapping[str, Any]]:
        """In the server's order."""
        return [item for page in self.pages for item in page.items]


class Item(NamedTuple):
    """One item as it is shown: whose it is, its name or URI here, and its JSON."""

    owned: Owned
    name: str
    raw: bytes


class _Envelope(msgspec.Struct):
    result: msgspec.Raw = msgspec.Raw()


_ENVELOPE: Final = msgspec.json.Decoder(_Envelope)


def _result_in(answer: bytes) -> bytes:
    """What of it is the same each time: all but the id. Of an answer that cannot be read nothing is."""
    try:
        return bytes(_ENVELOPE.decode(answer).result) or answer
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return answer


class PageReader:
    """Reads answers to list methods."""

    def __init__(self) -> None:
        self._memory: Memory[Page] = Memory()

    def read(self, server: str, method: str, answer: bytes) -> Page | None:
        """The page in `answer`; None when the server has no such list. Raises `BadUpstream`."""
        key = (method, _result_in(answer))
        page = self._memory.get(key)
        if page is not None:
            return page
        message = message_of(answer)
        result = message.get("result")
        if type(result) is not dict:
            if is_method_not_found(message):
                # A server without prompts has an empty list of them, not a broken one.
                return None
            raise BadUpstream(why=f"{server}: {method} was answered with an error")
        items, cursor = result.get(LISTS[method]), result.get("nextCursor")
        page = Page(
            items=[item for item in items if type(item) is dict] if type(items) is list else [],
            cursor=cursor if type(cursor) is str else None,
            size=len(answer),
        )
        self._memory.put(key, page, len(answer))
        return page
