"""Names of members that reach an object's prototype in JavaScript (VAL-04; ASVS 15.3.6).

At any depth, in `_meta` too, escaped or not: names are judged as they were decoded. A text that is JSON is looked
into by its spelling, and so are paths (`a.__proto__.b`, `a[constructor][prototype]`) in a name.
"""

import re
from typing import Final

from mantlet.policies.filters.rules import Matcher

NAMES: Final = frozenset({"__proto__", "constructor", "prototype"})
_STEP: Final = re.compile(r"[.\[\]\"'/]+")
_MAX_NAME: Final = 1_024
_is_inside: Final = Matcher(
    r"\\{0,3}[\"'](?:__proto__|constructor|prototype)\\{0,3}[\"']\s{0,8}:|[\[.&?]__proto__[\].=\[]"
).is_in


def is_hinted(body: bytes) -> bool:
    """Whether `body` can hold such a name at all: it stands in it, or something is escaped.

    Four scans in C. `proto` alone would not do: every modern message says `protocolVersion`.
    """
    return b"__proto__" in body or b"constructor" in body or b"prototype" in body or b"\\u" in body


def is_reaching(name: str) -> bool:
    """Whether a member called `name` reaches a prototype."""
    if name in NAMES:
        return True
    if ("__proto__" not in name and "constructor" not in name) or len(name) > _MAX_NAME:
        return False
    steps = _STEP.split(name)
    return "__proto__" in steps or ("constructor" in steps and "prototype" in steps)


def is_nested(text: str) -> bool:
    """Whether a text that is itself JSON, or a query, holds such a name."""
    return ("__proto__" in text or "constructor" in text or "prototype" in text) and _is_inside(text)
