"""What every filter finds."""

from collections.abc import Callable
from typing import NamedTuple


class Finding(NamedTuple):
    """One place in a text. `rule` is stable and safe to show (`script.tag`); what stands there is not."""

    rule: str
    start: int
    end: int


Find = Callable[[str], list[Finding]]
"""Pure, linear in the length of the text, and never raises. In order of `start`; findings may overlap."""
