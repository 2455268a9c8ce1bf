"""What a call's end says of its server. Pure.

What the caller caused, what this side refused before anything was sent, and what a server tells of those behind it say
nothing against the server itself: a dependent's breaker does not open because of its dependency's refusals.
"""

from typing import Any, Final

import msgspec

from mantlet.core.call import Call, Reply
from mantlet.core.refusal import (
    BadUpstream,
    BreakerOpen,
    DeadlineExceeded,
    EgressDenied,
    Refusal,
    UpstreamUnavailable,
)
from mantlet.wire.deadline import HEADER

BUSY: Final = frozenset({502, 503, 504})
BEHIND: Final = frozenset(kind.reason for kind in (BreakerOpen, UpstreamUnavailable, BadUpstream, DeadlineExceeded))
"""The reasons by which another node says that not itself but a server of its own has failed."""
HURRY: Final = 10.0
"""Times the patience. Nodes before this one tell what is left of theirs, which is far more where nobody hurries."""
MAX_REFUSAL_BYTES: Final = 65_536
"""What is longer is no refusal of a node's."""

_FAILURES: Final = (UpstreamUnavailable, BadUpstream, DeadlineExceeded)
_OWN: Final = (BreakerOpen, EgressDenied)
_IDENTITY: Final = "identity: "
"""How the reasons of `upstreams.identity` begin: an issuer failed, and the server was not asked."""


def is_failure(call: Call, refusal: Refusal, elapsed_s: float, patience_s: float) -> bool:
    """Whether what `call` ended with after `elapsed_s` counts against the server."""
    if not isinstance(refusal, _FAILURES) or isinstance(refusal, _OWN) or refusal.why.startswith(_IDENTITY):
        return False
    if is_answer(refusal):
        return False
    return not isinstance(refusal, DeadlineExceeded) or elapsed_s >= patience_for(call, patience_s)


def patience_for(call: Call, patience_s: float) -> float:
    """How long the server must have had before a deadline that passed speaks against it: longer where the caller has
    set one itself, or a caller in a hurry would have slow tools' server left alone for all (RES-01)."""
    return patience_s * HURRY if HEADER in call.arrival.headers else patience_s


def is_answer(refusal: BaseException) -> bool:
    """Whether the server answered, and only what it said could not be passed on."""
    return isinstance(refusal, BadUpstream) and refusal.said != ""


def is_failed_reply(reply: Reply) -> bool:
    """Whether the server, or a proxy before it, answered that it cannot serve."""
    return reply.status in BUSY and not is_of_those_behind(reply)


def is_of_those_behind(reply: Reply) -> bool:
    """Whether a node behind this one refused because of a server of its own."""
    body = reply.body
    if not isinstance(body, bytes) or len(body) > MAX_REFUSAL_BYTES or b'"reason"' not in body:
        return False
    try:
        said = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return _reason(said) in BEHIND


def _reason(said: Any) -> Any:
    """`error.data.reason` of a JSON-RPC error, or `reason` of problem details."""
    if type(said) is not dict:
        return None
    error = said.get("error")
    data = error.get("data") if type(error) is dict else said
    reason = data.get("reason") if type(data) is dict else None
    return reason if type(reason) is str else None
