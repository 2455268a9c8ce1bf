"""From a dotted or underscored name to a place in the model: `http.port`, `MANTLET_HTTP__PORT`, `mcp.servers.0.url`."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from mantlet.node.config import shape
from mantlet.node.config.problem import Path, nearest
from mantlet.node.config.shape import Annotation


@dataclass(frozen=True, slots=True)
class Found:
    """A place in the model, or the word at which the search ended with the nearest known one."""

    path: Path = ()
    unknown: str = ""
    nearest: str = ""


def find(words: Sequence[str], annotation: Annotation) -> Found:
    """Follow `words` through the model.

    Keys of sections are found in any case, since variables are written in capitals; words inside free mappings (`env`)
    stay as they are, numbers pick a list's item.
    """
    path: Path = ()
    for word in words:
        step, annotation = _step(word, annotation)
        if step is None:
            names = [name for section in shape.structs_in(annotation) for name in _names(section)]
            return Found(path, word, nearest(word, names))
        path = (*path, step)
    return Found(path)


def _step(word: str, annotation: Annotation) -> tuple[str | int | None, Annotation]:
    if shape.is_any(annotation):
        return (int(word) if word.isdigit() else word), annotation
    item = shape.item_of(annotation)
    if item is not None and word.isdigit():
        return int(word), item
    folded = word.lower()
    for section in shape.structs_in(annotation):
        known = shape.members(section)
        if folded in known:
            return folded, known[folded].annotation
        if folded in _names(section):
            return folded, str
    value = shape.value_of(annotation)
    return (None, annotation) if value is None else (word, value)


def _names(section: type[msgspec.Struct]) -> list[str]:
    """A section's keys, and the `*_file` twin of each secret."""
    return [*shape.members(section), *shape.file_twins(section)]
