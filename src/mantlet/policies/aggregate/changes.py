"""`list_changed` of many servers as one: a flood of them tells a client no more than the last one does."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

DEBOUNCE_S: Final = 0.1
"""How long after the first change the client is told of it and all that came meanwhile."""

CHANGED: Final[Mapping[str, str]] = {
    "notifications/tools/list_changed": "toolsListChanged",
    "notifications/prompts/list_changed": "promptsListChanged",
    "notifications/resources/list_changed": "resourcesListChanged",
}
"""The notifications, and the member of a subscription's filter that asks for each."""


class Changes:
    """Methods that are due; `tell` gets each once, after a moment."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._due: dict[str, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def note(self, method: str) -> None:
        """Something of this kind has changed."""
        self._due[method] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(DEBOUNCE_S, self._flush)

    def close(self) -> None:
        """Nobody is to be told any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._due.clear()

    def _flush(self) -> None:
        self._timer = None
        due = list(self._due)
        self._due.clear()
        for method in due:
            self._tell(method)
