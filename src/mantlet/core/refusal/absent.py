"""What is asked for is not here, or not in this way."""

from mantlet.core.refusal.root import Refusal


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


class MethodNotFound(Refusal):
    """A JSON-RPC method that is not served here (MCP-03)."""

    reason, title, fault = "method_not_found", "Method not found", "caller"


class UpgradeRequired(Refusal):
    """Plain HTTP, or another version of WebSocket, where WebSocket is spoken (RFC 9110 section 15.5.22)."""

    reason, title, fault = "upgrade_required", "WebSocket is spoken here", "caller"


class NotOffered(Refusal):
    """A part of the product that this version does not have."""

    reason, title = "not_offered", "Not offered in this version"
