"""What every filter finds."""

from typing import NamedTuple


class Finding(NamedTuple):
    """One place in a text. `rule` is stable and safe to show (`script.tag`); what stands there is not."""

    rule: str
    start: int
    end: int
