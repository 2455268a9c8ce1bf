"""What came in is not well formed, or is no message for this door."""

from collections.abc import Sequence
from typing import Any

from mantlet.core.refusal.root import Refusal


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


class EraUnavailable(UnsupportedVersion):
    """The server speaks only the other era of MCP, and crossing is not offered."""

    reason, title = "era_unavailable", "Server speaks another era of MCP"


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
