"""Every text in a JSON value, names of members included, as one text: what is looked for once is not looked for in each.

Ten thousand small strings would cost each filter ten thousand calls; joined they cost one. What joins them is a control
character that belongs to no filter's pattern, so that nothing is found across two strings.
"""

from bisect import bisect_right
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

SEPARATOR: Final = "\x02"
_STAND_IN: Final = "\x03"
"""For a separator inside a string: the same to every filter."""
MIN_NUMBER: Final = 100_000_000
"""Whole numbers from here on are read as text too: a card number need not be a string."""
_BASE64: Final = bytes(range(48, 58)) + bytes(range(65, 91)) + bytes(range(97, 123)) + b"+/=-_"
BINARY: Final = frozenset({"data", "blob"})
"""Members that hold base64 in MCP: images, audio, blobs. Where they hold nothing but that, there is no text in them."""

Place = tuple[Any, str | int]
"""Where something stands: the place it stands in, and its name or number there."""


@dataclass(slots=True)
class Texts:
    """`joined` and, for each part of it, where it came from; a name's place is that of its value, marked in `names`."""

    joined: str
    parts: list[str]
    places: list[Place]
    names: set[int]
    _starts: list[int] | None = None

    def part_at(self, position: int) -> int:
        """The number of the part at `position` of `joined`."""
        return bisect_right(self.starts, position) - 1

    @property
    def starts(self) -> list[int]:
        """Where each part begins."""
        if self._starts is None:
            at, starts = 0, []
            for part in self.parts:
                starts.append(at)
                at += len(part) + 1
            self._starts = starts
        return self._starts


def collect(value: Any, root: Place | None = None, skipped: Collection[str] = ()) -> Texts:
    """The texts in `value`. `skipped` are members of the outermost object that are left out, names and all."""
    parts: list[str] = []
    places: list[Place] = []
    names: list[int] = []
    pending: list[tuple[Any, Place | None]] = [(value, root)]
    for container, here in pending:  # grows while it is walked
        if type(container) is dict:
            for name, item in container.items():
                if name in skipped and here is root:
                    continue
                place = (here, name)
                names.append(len(parts))
                parts.append(name)
                places.append(place)
                kind = type(item)
                if kind is str:
                    if name not in BINARY or not _is_binary(item):
                        parts.append(item)
                        places.append(place)
                elif kind is dict or kind is list:
                    pending.append((item, place))
                elif kind is int and item >= MIN_NUMBER:
                    parts.append(str(item))
                    places.append(place)
        elif type(container) is list:
            for number, item in enumerate(container):
                kind = type(item)
                if kind is str:
                    parts.append(item)
                    places.append((here, number))
                elif kind is dict or kind is list:
                    pending.append((item, (here, number)))
                elif kind is int and item >= MIN_NUMBER:
                    parts.append(str(item))
                    places.append((here, number))
        elif type(container) is str:
            parts.append(container)
            places.append(here or (None, ""))
    joined = SEPARATOR.join(parts)
    if joined.count(SEPARATOR) >= max(1, len(parts)):
        joined = SEPARATOR.join([part.replace(SEPARATOR, _STAND_IN) for part in parts])
    return Texts(joined, parts, places, set(names))


def path_of(place: Place | None) -> list[str | int]:
    """The names and numbers that lead to `place`, outermost first."""
    path: list[str | int] = []
    while place is not None:
        place, step = place
        path.append(step)
    path.reverse()
    return path


def _is_binary(text: str) -> bool:
    return text.isascii() and not text.encode().translate(None, _BASE64)


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
