"""Who is asking is known, and may not: by rules, by operators, or until a human says yes."""

import math
from collections.abc import Iterable
from typing import Any, ClassVar

from mantlet.core.refusal.root import Refusal


class Denied(Refusal):
    """Authenticated, known, and not allowed (AUTHZ-07)."""

    reason, title, fault = "denied", "Denied by policy", "caller"


class InsufficientScope(Denied):
    """A token with more scopes would do (AUTHN-04; RFC 6750 section 3.1).

    `scopes` is all that the operation needs, also what the token has: a client asks for them in one round.
    """

    reason, title = "insufficient_scope", "Insufficient scope"
    error: ClassVar[str] = "insufficient_scope"

    def __init__(self, scopes: Iterable[str], why: str = "") -> None:
        self.scopes = tuple(sorted(set(scopes)))
        super().__init__("The token does not have the scopes that this needs.", why=why)

    @property
    def data(self) -> Any:
        """The scopes, for a client that does not see header fields."""
        return {"scopes": list(self.scopes)}


class Quarantined(Denied):
    """What this definition says was never approved, or is no longer what was (TOOL-01)."""

    reason, title = "quarantined", "In quarantine"


class Killed(Denied):
    """An operator has stopped it: the caller, an agent that acts for it, the tool or the upstream."""

    reason, title = "killed", "Stopped by an operator"

    def __init__(self, kind: str = "caller") -> None:
        super().__init__(f"This {kind} was stopped by an operator.", why=f"kill switch: {kind}")


class DelegationRefused(Denied):
    """Those who act for one another are too many, go round, may not, or have done too much (AUTHZ-10)."""

    reason, title = "delegation_refused", "Delegation refused"


class ApprovalPending(Denied):
    """A human has to say yes first (AUTHZ-09). The same call may come again, and passes once that is done."""

    reason, title, retryable = "approval_pending", "Waits for approval", True

    def __init__(self, approval: str = "", until_s: float = 0.0) -> None:
        super().__init__("This call waits for a human's approval.", why=f"approval {approval}")
        self.approval, self.until_s = approval, until_s

    @property
    def retry_after_s(self) -> float | None:
        """A human takes a while."""
        return 10.0

    @property
    def data(self) -> Any:
        """Which request it is, and until when (Unix time) it may be decided."""
        return {"approval": self.approval, "expires": math.ceil(self.until_s)}


class ApprovalDenied(Denied):
    """A human said no, or the yes was for another call (AUTHZ-09)."""

    reason, title = "approval_denied", "Not approved"

    def __init__(self, approval: str = "", why: str = "") -> None:
        super().__init__("This call was not approved.", why=f"approval {approval}: {why}")
        self.approval = approval

    @property
    def data(self) -> Any:
        """Which request it was."""
        return {"approval": self.approval}


class ApprovalExpired(ApprovalDenied):
    """Nobody said yes in time, or the call came too late for it (AUTHZ-09)."""

    reason, title = "approval_expired", "Approval expired"

    def __init__(self, approval: str = "") -> None:
        super().__init__(approval, "expired")


class ConsentRequired(Denied):
    """The caller has not let this node act for them at an upstream, or no longer does (spec 4.7).

    `url` is where they can; it holds nothing about them and opens nothing by itself. Empty: not known here.
    """

    reason, title, retryable = "consent_required", "Consent required", True

    def __init__(self, server: str = "", url: str = "", *, identity: str = "", why: str = "") -> None:
        where = f" Open {url} in a browser, then try again." if url else ""
        super().__init__(
            f"{server or 'This server'} needs your consent before it can be used.{where}",
            why=why or f"{server}: no grant of the caller",
        )
        self.server, self.url, self.identity = server, url, identity

    @property
    def data(self) -> Any:
        """Where consent is given."""
        return {"server": self.server, **({"url": self.url} if self.url else {})}


class UrlElicitationRequired(ConsentRequired):
    """The same, as legacy MCP says it (2025-11-25, client/elicitation, "URL Elicitation Required Error")."""

    reason = "url_elicitation_required"

    @property
    def data(self) -> Any:
        """The page to open, as an elicitation."""
        page = {"mode": "url", "elicitationId": self.identity, "url": self.url, "message": self.detail}
        return {"elicitations": [page]}


class MissingClientCapability(ConsentRequired):
    """The same, to a modern client that cannot be sent to a page (2026-07-28, basic/index, "Error Codes")."""

    reason, title = "missing_client_capability", "Missing client capability"

    @property
    def data(self) -> Any:
        """What the client would have to declare, and what its user can do all the same."""
        return {"requiredCapabilities": {"elicitation": {"url": {}}}, **super().data}
