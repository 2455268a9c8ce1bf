"""The configuration as it would be used: every value, where it came from, secrets masked."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from mantlet.core.secret import Secret
from mantlet.node.config import shape
from mantlet.node.config.load import Loaded
from mantlet.node.config.masking import MASK, masked
from mantlet.node.config.problem import DEFAULT, Origin, Path, dotted
from mantlet.node.config.tree import Node


@dataclass(frozen=True, slots=True)
class Line:
    """One value as it may be shown."""

    key: str
    value: Any
    origin: Origin

    @property
    def text(self) -> str:
        """The value as YAML would have it, on one line."""
        match self.value:
            case None | bool() | list():
                return json.dumps(plain(self.value), ensure_ascii=False)
            case _:
                return str(plain(self.value))


def effective(loaded: Loaded) -> list[Line]:
    """Every value of the configuration, in the model's order. An absent section is one line, saying so."""
    return [
        Line(dotted(shown), masked(value, path), origin_at(loaded.tree, path))
        for path, shown, value in _values(loaded.config, (), ())
    ]


def _values(value: Any, path: Path, shown: Path) -> Iterator[tuple[Path, Path, Any]]:
    """Paths as they are and as they may be shown: mock tokens are secrets that stand as keys."""
    match value:
        case msgspec.Struct():
            for name, member in shape.members(type(value)).items():
                yield from _values(getattr(value, member.field), (*path, name), (*shown, name))
        case Mapping() if value:
            hides_keys = path[-2:] == ("mock", "tokens")
            for index, (name, member) in enumerate(value.items()):
                label = f"{MASK}{index + 1}" if hides_keys else str(name)
                yield from _values(member, (*path, str(name)), (*shown, label))
        case list() | tuple() if any(isinstance(item, msgspec.Struct | Mapping) for item in value):
            for index, item in enumerate(value):
                yield from _values(item, (*path, index), (*shown, index))
        case list() | tuple() | set() | frozenset():
            yield path, shown, [masked(item, path) for item in value]
        case _:
            yield path, shown, value


def origin_at(tree: Node, path: Path) -> Origin:
    """Where a value was written, or the null around it (`jwt: null`); a default when nowhere."""
    node = tree
    for part in path:
        match node.value:
            case dict() if part in node.value:
                node = node.value[str(part)]
            case list() if isinstance(part, int) and part < len(node.value):
                node = node.value[part]
            case None if node.origin is not DEFAULT:
                return node.origin
            case _:
                return DEFAULT
    return node.origin


def plain(value: Any) -> Any:
    """A shown value as JSON can carry it."""
    if isinstance(value, Secret):
        return MASK
    return value if isinstance(value, str | int | float | bool | list | dict | None) else str(value)
