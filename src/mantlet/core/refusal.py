"""Why a call does not go on: a small tree of stable reasons.

A refusal knows its `reason` (the one word in the reply, the audit record and the metric), whose `fault` it is and
whether trying again may help. It knows no status codes: those stand in `wire/answer.py`, a row a refusal.
`detail` is for the one who asked and must hold nothing internal (ERR-01); `why` is for the record only.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Literal

Fault = Literal["caller", "node", "upstream"]


class Refusal(Exception):
    """The root. Raised as itself it means: something here failed, and the answer is no."""

    reason: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"
    fault: ClassVar[Fault] = "node"
    retryable: ClassVar[bool] = False
    holds: bool = False
    """Whether the connection that brought it is made to wait: so are guessers and floods slowed (AUTHN-07)."""

    def __init__(self, detail: str = "", *, why: str = "") -> None:
        super().__init__(detail or why or self.title)
        self.detail = detail or self.title
        self.why = why or detail or self.title

    @property
    def retry_after_s(self) -> float | None:
        """After how many seconds trying again may help; None when nothing is known."""
        return None

    @property
    def data(self) -> Any:
        """`error.data` of a JSON-RPC answer, or None."""
        return None


# --- what came in is not well formed ----------------------------------------------------------------------------


class Malformed(Refusal):
    """The HTTP message is ambiguous or broken; the connection is closed with the answer (HTTP-04)."""

    reason, title, fault = "malformed", "Malformed request", "caller"


class InvalidJson(Malformed):
    """Not JSON as VAL-01 wants it."""

    reason, title = "invalid_json", "Parse error"


class InvalidRequest(Malformed):
    """JSON, but not one JSON-RPC message as the protocol wants it."""

    reason, title = "invalid_request", "Invalid Request"


class InvalidParams(Malformed):
    """A message whose params are not what its method needs."""

    reason, title = "invalid_params", "Invalid params"


class ResourceNotFound(InvalidParams):
    """No server within reach has this resource."""

    reason, title = "resource_not_found", "Resource not found"

    def __init__(self, uri: str = "") -> None:
        super().__init__()
        self.uri = uri

    @property
    def data(self) -> Any:
        """As the specification wants it (2026-07-28, server/resources, "Error Handling")."""
        return {"uri": self.uri}


class InvalidArguments(InvalidParams):
    """A tool's arguments are not what its schema allows (VAL-03). Says where and which rule; never a value."""

    reason, title = "invalid_arguments", "Invalid arguments"

    def __init__(self, detail: str = "", *, pointer: str = "", keyword: str = "", why: str = "") -> None:
        super().__init__(detail, why=why)
        self.pointer = pointer
        self.keyword = keyword

    @property
    def data(self) -> Any:
        """A JSON Pointer (RFC 6901) into the arguments, and the schema's keyword that speaks against it."""
        return {"pointer": self.pointer, "keyword": self.keyword}


class Filtered(InvalidParams):
    """A content filter found what may not pass (VAL-06). Says where and which rule; never what stood there."""

    reason, title = "filtered", "Refused by a content filter"

    def __init__(self, detail: str = "", *, rule: str = "", pointer: str = "") -> None:
        super().__init__(detail, why=f"{rule} {pointer or '/'}")
        self.rule = rule
        self.pointer = pointer

    @property
    def data(self) -> Any:
        """The rule, and a JSON Pointer (RFC 6901) into the message."""
        return {"rule": self.rule, "pointer": self.pointer}


class HeaderMismatch(Malformed):
    """A routing header is missing or says something other than the body (MCP-01)."""

    reason, title = "header_mismatch", "Header mismatch"


class UnsupportedVersion(Malformed):
    """The protocol revision asked for is not served here (MCP-02)."""

    reason, title = "unsupported_version", "Unsupported protocol version"

    def __init__(self, requested: str, supported: Sequence[str], detail: str = "") -> None:
        super().__init__(detail)
        self.requested = requested
        self.supported = list(supported)

    @property
    def data(self) -> Any:
        """As the specification shapes it."""
        return {"supported": self.supported, "requested": self.requested}


class UnsupportedMediaType(Refusal):
    """A body type or coding that is not accepted here (HTTP-07, HTTP-08)."""

    reason, title, fault = "unsupported_media_type", "Unsupported media type", "caller"


class NotAcceptable(Refusal):
    """The client does not accept what this endpoint answers with."""

    reason, title, fault = "not_acceptable", "Not acceptable", "caller"


class PayloadTooLarge(Refusal):
    """The body is larger than the listener or tool allows."""

    reason, title, fault = "payload_too_large", "Payload too large", "caller"


class TargetTooLong(Refusal):
    """The request target is longer than allowed."""

    reason, title, fault = "target_too_long", "Request target too long", "caller"


class HeadersTooLarge(Refusal):
    """Too many or too large header fields."""

    reason, title, fault = "headers_too_large", "Header fields too large", "caller"


class ReceiptTimeout(Refusal):
    """The request was not received whole within its absolute deadline (HTTP-05)."""

    reason, title, fault = "receipt_timeout", "Request timeout", "caller"


class MisdirectedHost(Refusal):
    """`Host` is not one of this listener's names (HTTP-02)."""

    reason, title, fault = "misdirected_host", "Misdirected request", "caller"


class ForbiddenOrigin(Refusal):
    """`Origin` is not on the list (HTTP-03)."""

    reason, title, fault = "forbidden_origin", "Origin not allowed", "caller"


# --- who and whether ---------------------------------------------------------------------------------------------


class Unauthenticated(Refusal):
    """No credential at all."""

    reason, title, fault = "unauthenticated", "Authentication required", "caller"
    error: ClassVar[str] = ""
    """The `error` parameter of the challenge (RFC 6750 section 3.1); none when nothing was sent."""


class InvalidCredential(Unauthenticated):
    """A credential that is of a known kind, and bad. All look alike from outside."""

    reason, title, error = "invalid_credential", "Invalid credential", "invalid_token"

    def __init__(self, why: str = "") -> None:
        super().__init__("The credential is missing, malformed, expired, revoked or not for this service.", why=why)


class InvalidProof(InvalidCredential):
    """The proof that stands beside a sender-constrained token is missing or bad (RFC 9449 section 7.1; TOK-11)."""

    reason, title, error = "invalid_proof", "Invalid DPoP proof", "invalid_dpop_proof"


class NonceRequired(InvalidProof):
    """The proof is by the right key, and lacks a nonce of ours that holds; `nonce` is one (RFC 9449 section 9)."""

    reason, title, error = "nonce_required", "DPoP nonce required", "use_dpop_nonce"

    def __init__(self, nonce: str = "", why: str = "") -> None:
        super().__init__(why)
        self.nonce = nonce


class AmbiguousCredentials(Refusal):
    """Two credentials in one request, or one in a place where none may stand (AUTHN-02, AUTHN-03)."""

    reason, title, fault = "ambiguous_credentials", "Ambiguous credentials", "caller"


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


class Blocked(Refusal):
    """The address is blocked."""

    reason, title, fault = "blocked", "Address blocked", "caller"
    holds = True


class NotFound(Refusal):
    """Unknown, or another's: the two look the same (AUTHZ-04)."""

    reason, title, fault = "not_found", "Not found", "caller"


class SessionNotFound(NotFound):
    """No such legacy session, or another caller's (MCP-04)."""

    reason, title = "session_not_found", "Session not found"


class MethodNotAllowed(Refusal):
    """An HTTP method that this route does not take."""

    reason, title, fault = "method_not_allowed", "Method not allowed", "caller"

    def __init__(self, allow: str, detail: str = "") -> None:
        super().__init__(detail)
        self.allow = allow


class UpgradeRequired(Refusal):
    """Plain HTTP, or another version of WebSocket, where WebSocket is spoken (RFC 9110 section 15.5.22)."""

    reason, title, fault = "upgrade_required", "WebSocket is spoken here", "caller"


class NotOffered(Refusal):
    """A part of the product that this version does not have."""

    reason, title = "not_offered", "Not offered in this version"


class MethodNotFound(Refusal):
    """A JSON-RPC method that is not served here (MCP-03)."""

    reason, title, fault = "method_not_found", "Method not found", "caller"


class RateLimited(Refusal):
    """More than a limit allows. `limit` and `remaining` are of the limit that refused; `reset_s` is Unix time."""

    reason, title, fault, retryable = "rate_limited", "Rate limit exceeded", "caller", True

    def __init__(
        self,
        *,
        name: str,
        limit: int,
        window_s: float,
        remaining: int,
        reset_s: float,
        retry_after_s: float,
        is_global: bool,
        holds: bool = False,
    ) -> None:
        super().__init__(why=f"limit {name}: {limit} per {window_s:g} s")
        self.name = name
        self.limit = limit
        self.window_s = window_s
        self.remaining = remaining
        self.reset_s = reset_s
        self.is_global = is_global
        self.holds = holds
        self._retry_after_s = retry_after_s

    @property
    def retry_after_s(self) -> float:
        """Whole seconds, never earlier than the reset (RATE-01)."""
        return max(1, math.ceil(self._retry_after_s))

    @property
    def data(self) -> Any:
        """The body that the product documents for a spent limit."""
        return {
            "error": self.title,
            "limit": self.limit,
            "remaining": self.remaining,
            "reset": math.ceil(self.reset_s),
            "retry_after": int(self.retry_after_s),
            "global_limit_hit": self.is_global,
        }


class GrantRefused(Refusal):
    """The node's own authorization server gives nothing; `error` is its word for it (RFC 6749 section 5.2)."""

    reason, title, fault = "grant_refused", "Grant refused", "caller"

    def __init__(self, error: str = "invalid_request", detail: str = "", *, why: str = "") -> None:
        super().__init__(detail, why=f"{error}: {why or detail}")
        self.error = error

    @property
    def data(self) -> Any:
        """The body of the answer, in the words of OAuth."""
        described = {"error_description": self.detail} if self.detail != self.title else {}
        return {"error": self.error, **described}


class ClientRefused(GrantRefused):
    """The client did not prove who it is, and may try again with HTTP Basic."""

    reason, title = "client_refused", "Client authentication failed"

    def __init__(self, why: str = "") -> None:
        super().__init__("invalid_client", why=why)


# --- the node or what is behind it --------------------------------------------------------------------------------


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
    """The upstream answered with something that may not be passed on, or vanished in mid-call."""

    reason, title, fault = "bad_upstream", "Bad upstream answer", "upstream"


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


class EraUnavailable(UnsupportedVersion):
    """The server speaks only the other era of MCP, and crossing is not offered."""

    reason, title = "era_unavailable", "Server speaks another era of MCP"
