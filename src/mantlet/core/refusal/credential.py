"""Who is asking is not known well enough."""

from typing import Any, ClassVar

from mantlet.core.refusal.root import Refusal


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
    error: ClassVar[str] = "invalid_request"
    """As `Unauthenticated.error`."""


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
