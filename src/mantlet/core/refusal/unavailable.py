"""The node, or what is behind it, cannot: now, in time, or as it should."""

import math
from typing import Any, Literal, Self

from mantlet.core.refusal.root import Refusal


class Unavailable(Refusal):
    """Not now: draining, starting, or something needed is gone."""

    reason, title, retryable = "unavailable", "Service unavailable", True

    @property
    def retry_after_s(self) -> float | None:
        """Soon: these states heal by themselves."""
        return 1.0


class AuditUnavailable(Unavailable):
    """The record cannot be written, so the decision cannot be acknowledged (AUD-02)."""

    reason, title = "audit_unavailable", "Audit unavailable"


class StoreUnavailable(Unavailable):
    """The shared store gives no answer, and nothing may stand in for it."""

    reason, title = "store_unavailable", "Store unavailable"


class IssuerUnavailable(Unavailable):
    """An identity provider gives no answer, and without it a token is neither good nor bad (TOK-07, OAUTH-05)."""

    reason, title = "issuer_unavailable", "Identity provider unavailable"


class Overloaded(Unavailable):
    """A bounded queue is full."""

    reason, title = "overloaded", "Overloaded"


class UpstreamUnavailable(Unavailable):
    """The upstream cannot be reached or is restarting; nothing was sent to it."""

    reason, title, fault = "upstream_unavailable", "Upstream unavailable", "upstream"


class BreakerOpen(UpstreamUnavailable):
    """The upstream failed too often, and is left alone for a while (RES-02)."""

    reason, title = "breaker_open", "Circuit breaker open"

    def __init__(self, detail: str = "", *, why: str = "", retry_after_s: float = 1.0) -> None:
        super().__init__(detail or "The server failed too often lately, and is left alone for a while.", why=why)
        self._retry_after_s = retry_after_s

    @property
    def retry_after_s(self) -> float:
        """Whole seconds, never before it is asked again."""
        return max(1, math.ceil(self._retry_after_s))


class BadUpstream(Refusal):
    """The upstream answered with something that may not be passed on, or vanished in mid-call.

    `said` is set where it did answer, and is well: a `no` to this one call (a status from 400 to 499, an answer that is
    too large), or that it is `busy`. A caller can bring that about, so it counts nothing against the server (RES-01),
    and nothing is answered in its place: what stands in for a server is for when it cannot, not for when it will not.
    """

    reason, title, fault = "bad_upstream", "Bad upstream answer", "upstream"
    said: Literal["", "no", "busy"] = ""

    @classmethod
    def answered(cls, why: str, said: Literal["no", "busy"] = "no", *, detail: str = "") -> Self:
        """The refusal for such an answer."""
        refusal = cls(detail, why=why)
        refusal.said = said
        return refusal


class InvalidResult(BadUpstream):
    """A tool's result is not what its output schema promises."""

    reason, title = "invalid_result", "Invalid result"

    def __init__(self, detail: str = "", *, pointer: str = "", keyword: str = "", why: str = "") -> None:
        super().__init__(detail, why=why)
        self.pointer = pointer
        self.keyword = keyword

    @property
    def data(self) -> Any:
        """As of `InvalidArguments`, into `structuredContent`."""
        return {"pointer": self.pointer, "keyword": self.keyword}


class EgressDenied(BadUpstream):
    """The address must not be reached from here (EGR-01)."""

    reason = "egress_denied"
    title = "Address refused"


class DeadlineExceeded(Refusal):
    """The call's deadline passed; the upstream was told to stop (RES-03)."""

    reason, title, fault, retryable = "deadline_exceeded", "Deadline exceeded", "upstream", True
