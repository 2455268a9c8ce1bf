"""How long whoever asked will wait, passed on from node to node, so that no hop works for nobody (RES-03).

A duration and not a time, because two machines' clocks differ. It can only make a deadline earlier.
"""

from typing import Final

from mantlet.core.headers import Headers

HEADER: Final = b"x-request-timeout-ms"
MARGIN_S: Final = 0.05
"""So much earlier the next node shall give up: then its own words reach the caller, not this node's."""
_SHARE: Final = 0.05
_DIGITS: Final = 9


def earlier(headers: Headers, deadline_s: float, now_s: float) -> float:
    """`deadline_s`, or what the caller says if that is before it. What is no number of milliseconds says nothing."""
    said = headers.get(HEADER)
    if said is None or not said.isdigit() or len(said) > _DIGITS:
        return deadline_s
    return min(deadline_s, now_s + int(said) / 1000)


def line(deadline_s: float, now_s: float) -> bytes:
    """The header's line for what is left."""
    left_s = deadline_s - now_s
    return b"%b: %d\r\n" % (HEADER, max(0, int((left_s - min(MARGIN_S, left_s * _SHARE)) * 1000)))
