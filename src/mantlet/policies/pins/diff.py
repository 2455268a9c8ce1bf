"""The difference between two definitions as a person must see it: everything that a model would read, hidden or not.

Pure. Each value is a line `/place: text`, a text of several lines several; what cannot be seen is written out.
"""

import difflib
import json
import unicodedata
from collections.abc import Iterator
from typing import Any, Final

from mantlet.core.definition import Definition

MAX_LINES: Final = 2_000
"""Shown of one difference; a definition with more is not one that anybody reads."""
_HIDDEN: Final = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"})
_FILLERS: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u2800\u3164\uffa0")
"""Letters, marks and symbols that are drawn as nothing."""


def difference(before: Definition | None, after: Definition) -> list[str]:
    """Lines with ` `, `-` or `+` before each; all are `+` where there is nothing to compare with."""
    old = [] if before is None else list(visible_lines(before))
    lines = [line for line in difflib.ndiff(old, list(visible_lines(after))) if not line.startswith("?")]
    if len(lines) > MAX_LINES:
        return [*lines[:MAX_LINES], f"  … and {len(lines) - MAX_LINES} lines more"]
    return lines


def visible_lines(definition: Definition) -> Iterator[str]:
    """A definition in lines."""
    return _lines("", json.loads(definition.text))


def visible(text: str) -> str:
    """`text` with every character that is not seen written as `<U+200B>`; tags also as the letter that they hide."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_spelt(char) if _is_hidden(char) else char for char in text)


def _is_hidden(char: str) -> bool:
    is_selector = "\ufe00" <= char <= "\ufe0f" or "\U000e0100" <= char <= "\U000e01ef"
    return char in _FILLERS or is_selector or unicodedata.category(char) in _HIDDEN or (char != " " and char.isspace())


def _spelt(char: str) -> str:
    if "\U000e0020" <= char <= "\U000e007e":
        return f"<U+{ord(char):04X} {chr(ord(char) - 0xE0000)}>"
    return f"<U+{ord(char):04X}>"


def _lines(place: str, value: Any) -> Iterator[str]:
    if type(value) is dict and value:
        for name in sorted(value):
            yield from _lines(f"{place}/{visible(name)}", value[name])
    elif type(value) is list and value:
        for number, inner in enumerate(value):
            yield from _lines(f"{place}/{number}", inner)
    elif type(value) is str:
        for line in value.split("\n"):
            yield f"{place}: {visible(line)}"
    else:
        yield f"{place}: {json.dumps(value)}"
