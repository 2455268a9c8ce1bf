"""A configuration before it is typed: values that know where they were written."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from mantlet.node.config.problem import DEFAULT, Origin, Path

Scalar: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Node:
    """A value and its origin. `keys` are the origins of a mapping's keys, for errors about the key itself.

    `is_text` marks text out of a variable or the command line, which has no type of its own yet: it takes the one of
    the place it stands in, so that a password of digits alone stays text.
    """

    value: "Scalar | dict[str, Node] | list[Node]"
    origin: Origin = DEFAULT
    keys: dict[str, Origin] = field(default_factory=dict, compare=False)
    is_text: bool = False

    @property
    def mapping(self) -> "dict[str, Node]":
        """The members of a mapping; nothing for any other value."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def plain(self) -> Any:
        """The bare value, all the way down."""
        match self.value:
            case dict():
                return {name: member.plain for name, member in self.value.items()}
            case list():
                return [item.plain for item in self.value]
            case _:
                return self.value


EMPTY = Node({})


def node_of(value: Any, origin: Origin) -> Node:
    """A tree from bare values, all written at `origin`."""
    match value:
        case dict():
            members = {str(name): node_of(member, origin) for name, member in value.items()}
            return Node(members, origin, dict.fromkeys(members, origin))
        case list() | tuple():
            return Node([node_of(item, origin) for item in value], origin)
        case _:
            return Node(value, origin)


def merged(low: Node, high: Node) -> Node:
    """`high` over `low`: mappings are joined key by key, anything else (lists too) is replaced whole.

    Lists are not joined, because then nothing written in a later file could take an entry away again.
    """
    if not (isinstance(low.value, dict) and isinstance(high.value, dict)):
        return high
    members = dict(low.value)
    for name, member in high.value.items():
        members[name] = merged(low.value[name], member) if name in low.value else member
    return Node(members, high.origin, {**low.keys, **high.keys})


def at(root: Node, path: Path) -> Node | None:
    """The node at `path`, or None."""
    node = root
    for part in path:
        match node.value:
            case dict() if isinstance(part, str) and part in node.value:
                node = node.value[part]
            case list() if isinstance(part, int) and part < len(node.value):
                node = node.value[part]
            case _:
                return None
    return node


def with_value(root: Node, path: Path, new: Node) -> Node:
    """`root` with `new` at `path`; mappings on the way are made, list items must be there (`IndexError`)."""
    if not path:
        return new
    head, rest = path[0], path[1:]
    if isinstance(head, int):
        if not isinstance(root.value, list):
            raise IndexError(head)
        items = list(root.value)
        items[head] = with_value(items[head], rest, new)
        return replace(root, value=items)
    members = dict(root.mapping)
    members[head] = with_value(members.get(head, Node({}, new.origin)), rest, new)
    return Node(members, root.origin, {**root.keys, head: root.keys.get(head, new.origin)})


def without(root: Node, name: str) -> Node:
    """A mapping without its member `name`."""
    members = {key: member for key, member in root.mapping.items() if key != name}
    return replace(root, value=members)


def mapped(node: Node, change: Callable[[Node, Path], Node], path: Path = ()) -> Node:
    """Every scalar changed by `change`, the shape kept."""
    match node.value:
        case dict():
            members = {name: mapped(member, change, (*path, name)) for name, member in node.value.items()}
            return replace(node, value=members)
        case list():
            return replace(node, value=[mapped(item, change, (*path, i)) for i, item in enumerate(node.value)])
        case _:
            return change(node, path)


def leaves(node: Node, path: Path = ()) -> Iterator[tuple[Path, Node]]:
    """Every scalar, and every empty mapping or list, with its path."""
    if isinstance(node.value, dict) and node.value:
        for name, member in node.value.items():
            yield from leaves(member, (*path, name))
    elif isinstance(node.value, list) and node.value:
        for index, item in enumerate(node.value):
            yield from leaves(item, (*path, index))
    else:
        yield path, node


def is_switched_off(root: Node, path: Path) -> bool:
    """Whether `path` lies in a section that says `enabled: false`: its variables and files need not be there."""
    node: Node | None = root
    for part in path:
        if node is None:
            return False
        switch = node.mapping.get("enabled")
        if switch is not None and (switch.value is False or (switch.is_text and switch.value == "false")):
            return True
        node = at(node, (part,))
    return False
