"""A schema as places and the ways between them, for `bounds` to walk. Only what leads to a subschema counts."""

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote

from mantlet.policies.schemas.unusable import Unusable

MAX_DEPTH: Final = 32
MAX_NODES: Final = 2_000
MAX_REFS: Final = 256
MAX_PATTERN_CHARACTERS: Final = 512

_IN_PLACE: Final = ("not", "if", "then", "else")
_IN_PLACE_LISTS: Final = ("allOf", "anyOf", "oneOf")
_IN_PLACE_MAPS: Final = ("dependentSchemas", "dependencies")
_ITEMS: Final = ("items", "contains", "unevaluatedItems", "additionalItems")
_MEMBERS: Final = ("additionalProperties", "unevaluatedProperties")
_HERE: Final = ("", "")

Label = tuple[str, str]
"""Where a way leads: `("", "")` stays in place; else what kind of inner value, and its name if it has one."""
Edge = tuple[Label, int]


class Graph:
    """Raises `Unusable` for a schema that has no bounded graph: too large or deep, or with references out of it."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self.root = root
        self.edges: list[list[Edge]] = []
        self._numbers: dict[int, int] = {}
        self.patterns = 0
        self._refs = 0
        self._anchors: dict[str, Any] = {}
        self._walk(root)
        self._number(root)
        todo = [root]
        while todo:
            node = todo.pop()
            mine = self.edges[self._numbers[id(node)]]
            for label, child in self._leads(node):
                is_new = id(child) not in self._numbers
                mine.append((label, self._number(child)))
                if is_new:
                    todo.append(child)

    def _walk(self, root: Any) -> None:
        """Bounds that hold for all of the text, whatever is a schema in it."""
        todo: list[tuple[Any, int]] = [(root, 1)]
        while todo:
            value, depth = todo.pop()
            if depth > MAX_DEPTH:
                raise Unusable(f"it is nested deeper than {MAX_DEPTH} levels")
            if type(value) is dict:
                for name in ("$dynamicRef", "$recursiveRef"):
                    if type(value.get(name)) is str:
                        raise Unusable(f"{name} is not followed here")
                if type(value.get("$id")) is str and value is not root:
                    raise Unusable("a subschema has an $id of its own")
                named = value.get("patternProperties")
                for pattern in (value.get("pattern"), *(named if type(named) is dict else ())):
                    if type(pattern) is str:
                        self.patterns += 1
                        if len(pattern) > MAX_PATTERN_CHARACTERS:
                            raise Unusable(f"a pattern is longer than {MAX_PATTERN_CHARACTERS} characters")
                if type(anchor := value.get("$anchor")) is str:
                    self._anchors[anchor] = value
                todo += [(inner, depth + 1) for inner in value.values()]
            elif type(value) is list:
                todo += [(inner, depth + 1) for inner in value]

    def _number(self, node: Any) -> int:
        if (known := self._numbers.get(id(node))) is not None:
            return known
        if len(self.edges) >= MAX_NODES:
            raise Unusable(f"it has more than {MAX_NODES} subschemas")
        self.edges.append([])
        self._numbers[id(node)] = len(self.edges) - 1
        return len(self.edges) - 1

    def _leads(self, node: Mapping[str, Any]) -> Iterator[tuple[Label, Mapping[str, Any]]]:
        for label, child in _children(node):
            if type(child) is dict:
                yield label, child
            elif type(child) is not bool:
                raise Unusable("a subschema is neither an object nor a boolean")
        if (ref := node.get("$ref")) is not None:
            self._refs += 1
            if self._refs > MAX_REFS:
                raise Unusable(f"it has more than {MAX_REFS} references")
            target = self._resolve(ref)
            if type(target) is dict:
                yield _HERE, target

    def _resolve(self, ref: Any) -> Any:
        if type(ref) is not str or not ref.startswith("#"):
            raise Unusable("a $ref leads out of the schema")
        if not ref.startswith("#/"):
            target: Any = self.root if ref == "#" else self._anchors.get(ref[1:])
        else:
            target = at_pointer(self.root, unquote(ref[1:]))
        if type(target) is not dict and type(target) is not bool:
            raise Unusable("a $ref leads nowhere")
        return target


def at_pointer(value: Any, pointer: str) -> Any:
    """What a JSON Pointer (RFC 6901) leads to; None when it leads nowhere."""
    for escaped in pointer.split("/")[1:]:
        step = escaped.replace("~1", "/").replace("~0", "~")
        if type(value) is dict and step in value:
            value = value[step]
        elif type(value) is list and step.isdecimal() and len(step) < 6 and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def _children(node: Mapping[str, Any]) -> Iterator[tuple[Label, Any]]:
    for name in _IN_PLACE:
        if name in node:
            yield _HERE, node[name]
    for name in _IN_PLACE_LISTS:
        if type(inner := node.get(name)) is list:
            yield from ((_HERE, one) for one in inner)
    for name in _IN_PLACE_MAPS:
        if type(inner := node.get(name)) is dict:
            yield from ((_HERE, one) for one in inner.values() if type(one) is not list)
    for name in _ITEMS:
        if name in node and type(node[name]) is not list:
            yield ("item", ""), node[name]
    for name in ("prefixItems", "items"):
        if type(inner := node.get(name)) is list:  # the second as drafts before 2020-12 spell the first
            yield from ((("item", ""), one) for one in inner)
    for name in _MEMBERS:
        if name in node:
            yield ("member", ""), node[name]
    if type(inner := node.get("patternProperties")) is dict:
        yield from ((("member", ""), one) for one in inner.values())
    if type(inner := node.get("properties")) is dict:
        yield from ((("member", name), one) for name, one in inner.items())
    if "propertyNames" in node:
        yield ("name", ""), node["propertyNames"]
