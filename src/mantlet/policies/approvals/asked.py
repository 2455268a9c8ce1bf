"""What is asked for, what was decided, and how it stands. Pure."""

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from mantlet.core.call import Call
from mantlet.core.caller import Caller
from mantlet.wire.canonical import canonical, digest

MAX_ARGUMENT_CHARACTERS: Final = 32_768
"""Nobody reads more before saying yes; a call with more cannot be approved."""

State = Literal["pending", "approved", "denied", "expired", "used"]

# What a client varies from one attempt to the next, and no server acts on. All else of `_meta` is bound: a member that
# only looks like the protocol's own would be a change that nobody approved.
_PROTOCOL: Final = "io.modelcontextprotocol/"
_VARYING: Final = frozenset(
    {"progressToken", "traceparent", "tracestate", "baggage"}
    | {_PROTOCOL + name for name in ("protocolVersion", "clientInfo", "clientCapabilities", "logLevel")}
)


class Request(msgspec.Struct, frozen=True):
    """One call that somebody wants to make. `params` is the canonical JSON of all that was sent."""

    id: str
    digest: str
    tenant: str
    issuer: str
    subject: str
    act: tuple[str, ...]
    server: str
    tool: str
    params: str
    definition: str
    """The hash of the tool's definition as it is pinned; empty where definitions are not."""
    asked_s: float
    until_s: float
    request_id: str
    peer: str

    @property
    def caller(self) -> str:
        """As the audit names it."""
        return f"{self.tenant}/{self.issuer}/{self.subject}"


class Decision(msgspec.Struct, frozen=True):
    """What a human said, and until when a yes is good."""

    allows: bool
    by: str
    at_s: float
    until_s: float
    note: str = ""


def request_of(call: Call, definition: str, *, new_id: str, now_s: float, timeout_s: float) -> Request:
    """The request for `call`. Raises `ValueError` when there is more than a human would read."""
    caller = call.caller
    params = canonical(_bound(call.params))
    if len(params) > MAX_ARGUMENT_CHARACTERS:
        raise ValueError(f"{len(params)} characters of arguments")
    what = [caller.tenant, caller.issuer, caller.subject, list(caller.act), call.server, call.target, definition]
    return Request(
        id=new_id,
        digest=digest(canonical([*what, params])),
        tenant=caller.tenant,
        issuer=caller.issuer,
        subject=caller.subject,
        act=caller.act,
        server=call.server,
        tool=call.target,
        params=params,
        definition=definition,
        asked_s=now_s,
        until_s=now_s + timeout_s,
        request_id=call.trail.request_id,
        peer=call.arrival.peer,
    )


def standing(request: Request, decision: Decision | None, is_used: bool, now_s: float) -> State:
    """How `request` stands at `now_s`."""
    if is_used:
        return "used"
    if decision is None:
        return "pending" if now_s < request.until_s else "expired"
    if not decision.allows:
        return "denied"
    return "approved" if now_s < decision.until_s else "expired"


def is_own(request: Request, approver: Caller) -> bool:
    """Whether `approver` is who asks, by whatever credential, or acts in the chain that does."""
    if approver.tenant != request.tenant:
        return False
    asking, approving = _people(request.subject, *request.act), _people(approver.subject, *approver.act)
    return not asking.isdisjoint(approving)


def _people(*names: str) -> set[str]:
    """`names`, and for one that another node forwards (`ISSUER#alice`) the one it is known by there."""
    return {*names, *(own for name in names if (own := name.partition("#")[2]))}


def _bound(params: Mapping[str, Any]) -> dict[str, Any]:
    bound = dict(params)
    meta = bound.pop("_meta", None)
    if type(meta) is dict:
        meta = {key: value for key, value in meta.items() if key not in _VARYING}
    if meta:
        bound["_meta"] = meta
    return bound
