"""When a listener's own certificate is good, and when to say that it soon is not (TLS-05)."""

import math
from datetime import UTC, datetime
from typing import Final, NamedTuple

DAY_S: Final = 86_400.0


class Validity(NamedTuple):
    """From when until when, Unix time."""

    begins_at_s: float
    ends_at_s: float


def why_unfit(validity: Validity, now_s: float) -> str:
    """Why something is not in force at a Unix time, as the end of a sentence; empty when it is."""
    if validity.ends_at_s <= now_s:
        return f"ended {_instant(validity.ends_at_s)}"
    if validity.begins_at_s > now_s:
        return f"begins {_instant(validity.begins_at_s)}"
    return ""


def urgency(validity: Validity, now_s: float) -> int:
    """How soon a certificate must be renewed: 0 there is time, 1 within 30 days, 2 within 7, 3 it has ended.

    One that lives less than 90 days is warned of in its last third and its last tenth: it is renewed that much later.
    """
    life_s, left_s = validity.ends_at_s - validity.begins_at_s, validity.ends_at_s - now_s
    if left_s <= 0:
        return 3
    if left_s <= min(7 * DAY_S, life_s / 10):
        return 2
    return 1 if left_s <= min(30 * DAY_S, life_s / 3) else 0


def days_left(validity: Validity, now_s: float) -> int:
    """Whole days, downward; negative when it has ended."""
    return math.floor((validity.ends_at_s - now_s) / DAY_S)


def _instant(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
