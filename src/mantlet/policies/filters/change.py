"""Taking out what was found: the rest of the value stays as it was."""

from collections.abc import Iterable
from typing import Any

from mantlet.policies.filters.catalogue import PROTOTYPE
from mantlet.policies.filters.scan import Hit
from mantlet.policies.filters.texts import path_of, replaced


def without(value: Any, hits: Iterable[Hit], depth: int = 0) -> Any:
    """`value` with each finding replaced by a word that names its rule, and members that must not be left out.

    `depth`: how many steps of the findings' paths lead to `value` itself.
    """
    by_path: dict[tuple[str | int, ...], list[Hit]] = {}
    for hit in hits:
        by_path.setdefault(tuple(path_of(hit.place)[depth:]), []).append(hit)
    removed = [path for path, group in by_path.items() if any(hit.is_name for hit in group)]
    for path, group in by_path.items():
        if path in removed:
            continue
        value = replaced(value, list(path), _cut(_at(value, path), group))
    for path in sorted(removed, key=len, reverse=True):  # the innermost first: the outer ones take it with them
        holder = _at(value, path[:-1])
        value = replaced(value, list(path[:-1]), {name: item for name, item in holder.items() if name != path[-1]})
    return value


def _cut(text: Any, hits: list[Hit]) -> str:
    if type(text) is not str or any(hit.start < 0 or hit.filter == PROTOTYPE for hit in hits):
        return _word(hits[0])
    parts: list[str] = []
    at = 0
    for hit in sorted(hits, key=lambda each: (each.start, -each.end)):
        if hit.start >= at:
            parts += [text[at : hit.start], _word(hit)]
            at = hit.end
        elif hit.end > at:
            at = hit.end  # it reaches out of the one before
    parts.append(text[at:])
    return "".join(parts)


def _word(hit: Hit) -> str:
    return f"[removed: {hit.rule}]"


def _at(value: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        value = value[step]
    return value
