"""Every text in a JSON value, names of members included, as one text: what is in none of them is looked for once.

Ten thousand small strings would cost each filter ten thousand looks; joined they cost one. What joins them is the edge
that patterns know, so that nothing is found across two strings.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mantlet.policies.filters.decoded import Undecodable, decoded, is_encoded
from mantlet.policies.filters.rules import EDGE

_STAND_IN: Final = "\x03"
"""For an edge inside a string: the same to every filter."""
MAX_TEXTS: Final = 20_000
"""Strings in one message. What has more is not looked at in time (VAL-07)."""
MIN_NUMBER: Final = 100_000_000
"""Whole numbers from here on are read as text too: a card number need not be a string."""
_BASE64: Final = bytes(range(48, 58)) + bytes(range(65, 91)) + bytes(range(97, 123)) + b"+/=-_"
BINARY: Final = frozenset({"data", "blob"})
"""Members that hold base64 in MCP: images, audio, blobs. Where they hold nothing but that, there is no text in them."""

Place = tuple[Any, str | int]
"""Where something stands: the place it stands in, and its name or number there."""


@dataclass(slots=True)
class Texts:
    """The parts and, for each, where it came from; a name's place is that of its value, marked in `names`."""

    parts: list[str]
    places: list[Place]
    names: set[int]
    joined: str = ""
    """All parts, each between two edges."""
    _plain: list[str] | None = field(default=None)

    def __post_init__(self) -> None:
        joined = EDGE.join(self.parts)
        if joined.count(EDGE) >= max(1, len(self.parts)):
            self.parts = [part.replace(EDGE, _STAND_IN) for part in self.parts]
            joined = EDGE.join(self.parts)
        self.joined = f"{EDGE}{joined}{EDGE}"

    def plain(self) -> list[str]:
        """The parts with their encodings taken off; the same list where none has any. Raises `Undecodable`."""
        if self._plain is None:
            self._plain = self.parts
            if is_encoded(self.joined):
                self._plain = [decoded(part).replace(EDGE, _STAND_IN) for part in self.parts]
        return self._plain

    @property
    def plain_joined(self) -> str:
        """The same as `joined`."""
        plain = self.plain()
        return self.joined if plain is self.parts else f"{EDGE}{EDGE.join(plain)}{EDGE}"


def collect(value: Any, root: Place | None = None, skipped: Collection[str] = ()) -> Texts:
    """The texts in `value`, which stands at `root`. `skipped` are members of it that are left out, names and all."""
    parts: list[str] = []
    places: list[Place] = []
    names: list[int] = []

    def take(item: Any, place: Place) -> None:
        kind = type(item)
        if kind is str:
            parts.append(item)
            places.append(place)
        elif kind is dict or kind is list:
            pending.append((item, place))
        elif kind is int and item >= MIN_NUMBER:
            parts.append(str(item))
            places.append(place)

    pending: list[tuple[Any, Place | None]] = []
    if type(value) is str:
        take(value, root or (None, ""))
    elif type(value) is dict or type(value) is list:
        pending.append((value, root))
    for container, here in pending:  # grows while it is walked
        if type(container) is list:
            for number, item in enumerate(container):
                take(item, (here, number))
            continue
        for name, item in container.items():
            if here is root and name in skipped:
                continue
            place = (here, name)
            names.append(len(parts))
            parts.append(name)
            places.append(place)
            if name not in BINARY or type(item) is not str or not _is_binary(item):
                take(item, place)
    return Texts(parts, places, set(names))


def path_of(place: Place | None) -> list[str | int]:
    """The names and numbers that lead to `place`, outermost first."""
    path: list[str | int] = []
    while place is not None:
        place, step = place
        path.append(step)
    path.reverse()
    return path


def replaced(value: Any, path: list[str | int], new: Any) -> Any:
    """`value` with `new` at `path`; containers on the way are copied, all others shared."""
    if not path:
        return new
    step, rest = path[0], path[1:]
    if isinstance(value, Mapping):
        return {**value, step: replaced(value[step], rest, new)}
    copy = list(value)
    copy[step] = replaced(copy[step], rest, new)  # type: ignore[index]
    return copy


def _is_binary(text: str) -> bool:
    return text.isascii() and not text.encode().translate(None, _BASE64)


__all__ = ["MAX_TEXTS", "Place", "Texts", "Undecodable", "collect", "path_of", "replaced"]
