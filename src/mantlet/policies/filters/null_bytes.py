"""NUL, which ends a text early for whoever is written in C (CWE-158)."""

import re
from typing import Final

from mantlet.policies.filters.finding import Finding
from mantlet.policies.filters.signs import Signs

_NUL: Final = re.compile(r"\0|%(?:25){0,5}00|%u0000|%c0%80", re.IGNORECASE)


def may(signs: Signs) -> bool:
    """Whether a text with these signs can hold any."""
    return 0 in signs.marks or signs.has("%")


def find(text: str) -> list[Finding]:
    """NULs in `text`, also percent-encoded. Takes `text` as it came."""
    return [Finding("null_bytes.nul", *match.span()) for match in _NUL.finditer(text)]
