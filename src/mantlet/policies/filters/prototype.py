"""Names of members that reach an object's prototype in JavaScript (VAL-04; ASVS 15.3.6).

At any depth, in `_meta` too, escaped or not: names are judged as they were decoded. A text that is JSON itself is looked
into by its spelling, and so are paths (`a.__proto__.b`, `a[constructor][prototype]`) in a name.
"""

import re
from typing import Final

from mantlet.policies.filters.finding import Finding

NAMES: Final = frozenset({"__proto__", "constructor", "prototype"})
HINTS: Final = (b"proto", b"constructor", b"\\u")
"""Without one of these in its bytes a body has none of them."""

_STEP: Final = re.compile(r"[.\[\]\"'/]+")
_MAX_NAME: Final = 1_024
_INSIDE: Final = re.compile(r"\\?[\"'](?:__proto__|constructor|prototype)\\{0,3}[\"']\s{0,8}:|[\[.&?]__proto__[\].=\[]")


def is_reaching(name: str) -> bool:
    """Whether a member called `name` reaches a prototype."""
    if name in NAMES:
        return True
    if ("proto" not in name and "constructor" not in name) or len(name) > _MAX_NAME:
        return False
    steps = _STEP.split(name)
    return "__proto__" in steps or ("constructor" in steps and "prototype" in steps)


def find(text: str) -> list[Finding]:
    """Such names in a text that is itself JSON, or a query."""
    if "proto" not in text and "constructor" not in text:
        return []
    return [Finding("prototype.nested", *match.span()) for match in _INSIDE.finditer(text)]
