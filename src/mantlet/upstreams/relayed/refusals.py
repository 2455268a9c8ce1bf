"""Refusals by name, so that what the owner refuses is refused by the worker in the same words. Pure."""

from collections.abc import Mapping
from typing import Final

from mantlet.core.refusal import BadUpstream, MethodNotAllowed, Refusal, UnsupportedVersion
from mantlet.upstreams.relayed.frames import Refused
from mantlet.wire.answer import WIRE

_MADE_OTHERWISE: Final = (UnsupportedVersion, MethodNotAllowed)
BY_NAME: Final[Mapping[str, type[Refusal]]] = {
    kind.__name__: kind for kind in WIRE if kind.__init__ is Refusal.__init__ or issubclass(kind, _MADE_OTHERWISE)
}
"""Those that an upstream may raise. One with more to say than its words goes as its parent."""


def told(number: int, refusal: Refusal) -> Refused:
    """`refusal` as a frame; one of a class that the wire does not know goes as the nearest that it does."""
    name = next((kind.__name__ for kind in type(refusal).__mro__ if kind.__name__ in BY_NAME), Refusal.__name__)
    frame = Refused(number, name, refusal.detail, refusal.why)
    if isinstance(refusal, UnsupportedVersion):
        frame.requested, frame.supported = refusal.requested, tuple(refusal.supported)
    elif isinstance(refusal, MethodNotAllowed):
        frame.requested = refusal.allow
    elif isinstance(refusal, BadUpstream):
        frame.said = refusal.said
    return frame


def heard(frame: Refused) -> Refusal:
    """The refusal that `frame` tells of."""
    kind = BY_NAME.get(frame.reason, Refusal)
    refusal: Refusal
    if issubclass(kind, UnsupportedVersion):
        refusal = kind(frame.requested, frame.supported, frame.detail)
    elif issubclass(kind, MethodNotAllowed):
        refusal = kind(frame.requested, frame.detail)
    else:
        refusal = kind(frame.detail)
        if isinstance(refusal, BadUpstream):
            refusal.said = frame.said
    refusal.why = frame.why
    return refusal
