"""Who asked for something unknown a moment ago is not worth asking all servers again for the next such thing."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from mantlet.core.caller import Caller

RECENT_S: Final = 2.0
"""How long a name that appears at a server may be unknown here to who has just asked for another; a list shows it."""
MAX_REMEMBERED: Final = 10_000


class Recent:
    """When the lists of a kind were last looked at for a caller, because of a name that nobody knew."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._looked: dict[str, OrderedDict[tuple[str, str, str], float]] = {}

    def changed(self, method: str) -> None:
        """A server says so with this `list_changed`: what was unknown may be known now."""
        self._looked.pop(method.split("/")[1], None)

    def has(self, kind: str, caller: Caller) -> bool:
        """Whether that was a moment ago."""
        looked = self._looked.get(kind)
        looked_s = None if looked is None else looked.get(caller.key)
        return looked_s is not None and self._monotonic() - looked_s < RECENT_S

    def note(self, kind: str, caller: Caller) -> None:
        """They were looked at now."""
        looked = self._looked.setdefault(kind, OrderedDict())
        looked[caller.key] = self._monotonic()
        looked.move_to_end(caller.key)
        if len(looked) > MAX_REMEMBERED:
            looked.popitem(last=False)
