"""Whether a tool's schema may be compiled: decided on its shape alone, before any library sees it (VAL-03, VAL-07).

The validator follows every path through a schema and remembers nothing: a kilobyte of `anyOf` over two equal `$ref`s,
twenty deep, takes it a minute and a half. Hence the count of paths. References that lead round in place, or round by
two ways for the same member, are refused; what is left has as many paths as the weights say, and no place of an
instance is looked at more often than that.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from mantlet.policies.schemas.graph import Edge, Graph
from mantlet.policies.schemas.unusable import Unusable

MAX_PATHS: Final = 2_000
MAX_WAYS: Final = 20_000
"""Steps taken to find out whether references lead round: a bound on the time of this file itself."""


class Shape(NamedTuple):
    """How much work a schema can make: subschemas that may look at one place, and patterns that may read one text."""

    paths: int
    patterns: int


def check(schema: Mapping[str, Any]) -> Shape:
    """Its shape; raises `Unusable` for what is too large, leads outside, or may take time out of proportion."""
    graph = Graph(schema)
    part_of = _parts(graph.edges)
    _check_rounds(graph.edges, part_of)
    return Shape(_count_paths(graph.edges, part_of), graph.patterns)


def _parts(edges: list[list[Edge]]) -> list[int]:
    """Which strongly connected part each node is of (Tarjan); a part's number is above those that it leads to."""
    count = len(edges)
    index, low, part = [-1] * count, [0] * count, [-1] * count
    stack: list[int] = []
    seen = parts = 0
    work: list[tuple[int, int]] = [(0, 0)]
    while work:
        node, at = work.pop()
        if at == 0:
            index[node] = low[node] = seen
            seen += 1
            stack.append(node)
        elif part[child := edges[node][at - 1][1]] < 0:
            low[node] = min(low[node], low[child])
        while at < len(edges[node]):
            child = edges[node][at][1]
            at += 1
            if index[child] < 0:
                work += [(node, at), (child, 0)]
                break
            if part[child] < 0:
                low[node] = min(low[node], index[child])
        else:
            if low[node] == index[node]:
                while True:
                    member = stack.pop()
                    part[member] = parts
                    if member == node:
                        break
                parts += 1
    return part


def _check_rounds(edges: list[list[Edge]], part_of: list[int]) -> None:
    """In place nothing may lead round; from one place to one member below it, one way at most may lead round."""
    ways = 0
    for start in range(len(edges)):
        part, todo = part_of[start], [start]
        names: set[tuple[str, str]] = set()
        kinds: set[str] = set()
        while todo:
            for (kind, name), child in edges[todo.pop()]:
                if part_of[child] != part:
                    continue
                ways += 1
                if kind == "":
                    if child == start or ways > MAX_WAYS:
                        raise Unusable("its references lead round in place")
                    todo.append(child)
                    continue
                label = (kind, name)
                if label in names or (kind, "") in names or (name == "" and kind in kinds):
                    raise Unusable("its references lead round by more than one way")
                names.add(label)
                kinds.add(kind)


def _count_paths(edges: list[list[Edge]], part_of: list[int]) -> int:
    weights: list[int] = [0] * (max(part_of) + 1)
    for node in sorted(range(len(edges)), key=part_of.__getitem__):
        mine = part_of[node]
        weights[mine] += 1 + sum(weights[part_of[child]] for _, child in edges[node] if part_of[child] != mine)
        if weights[mine] > MAX_PATHS:
            raise Unusable(f"there are more than {MAX_PATHS} ways through it")
    return weights[part_of[0]]
