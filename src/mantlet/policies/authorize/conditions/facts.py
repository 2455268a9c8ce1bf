"""What a condition may look at: of one call, or of what could be called."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mantlet.core.caller import Caller

MAX_ITEMS: Final = 1_000
MAX_CHARACTERS: Final = 65_536
"""Of the arguments that a condition names. They are copied for it, and walked; a call with more is a condition that
fails, which denies."""
_SMALL_BYTES: Final = 1_024
"""A body too short to hold more than either."""


class Unknown(Exception):
    """This is not known here: the call is not there yet."""


class TooMuch(Exception):
    """More arguments than a condition is shown."""


@dataclass(slots=True)
class Facts:
    """`arguments` and `address` are None where they are not known.

    With `is_outline` the question is not whether this call may go on but whether some call may.
    """

    caller: Caller
    server: str
    method: str
    target: str
    at_s: float
    address: str | None = None
    arguments: Mapping[str, Any] | None = None
    size_bytes: int = _SMALL_BYTES + 1
    """Of the body that the arguments stand in."""
    is_outline: bool = False

    def value(self, variable: str, members: frozenset[str] | None) -> Any:
        """What `variable` is, or of it what the condition names. Raises `Unknown`, `TooMuch`."""
        match variable:
            case "args":
                return self._arguments(members)
            case "caller":
                return _caller(self.caller, members)
            case "time":
                return _time(self.at_s, members)
            case "server":
                return self.server
            case "tool":
                return self.target if self.method == "tools/call" else ""
            case "method":
                return self.method
            case "target":
                return self.target
            case "address":
                if self.address is None:
                    raise Unknown
                return self.address
        raise AssertionError(variable)  # `words.read` lets nothing else pass

    def _arguments(self, members: frozenset[str] | None) -> Mapping[str, Any]:
        if self.arguments is None:
            raise Unknown
        given = self.arguments
        if members is not None:
            given = {name: given[name] for name in members if name in given}
        if self.size_bytes > _SMALL_BYTES:
            _weigh(given)
        return given


def _weigh(given: Any) -> None:
    items, characters = 1, 0
    waiting = [given]
    while waiting:
        value = waiting.pop()
        if type(value) is str:
            characters += len(value)
        elif type(value) is list:
            items += len(value)
            if items <= MAX_ITEMS:
                waiting += value
        elif type(value) is dict:
            items += len(value)
            characters += sum(map(len, value))
            if items <= MAX_ITEMS:
                waiting += value.values()
        if items > MAX_ITEMS or characters > MAX_CHARACTERS:
            raise TooMuch


def _caller(caller: Caller, members: frozenset[str] | None) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for name in _CALLER if members is None else members:
        value = getattr(caller, name)
        told[name] = sorted(value) if type(value) is frozenset else value
    return told


_CALLER: Final = ("subject", "issuer", "tenant", "kind", "roles", "scopes", "method", "act")


def _time(at_s: float, members: frozenset[str] | None) -> dict[str, Any]:
    now = datetime.datetime.fromtimestamp(at_s, datetime.UTC)
    told: dict[str, Any] = {"hour": now.hour, "minute": now.minute, "weekday": now.isoweekday()}
    if members is None or "timestamp" in members:
        told["timestamp"] = now
    return told
