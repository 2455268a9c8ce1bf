"""One table from refusals to the wire, a column a dialect.

MCP keeps -32020…-32099 for itself and asks own codes to lie outside -32768…-32000 (2026-07-28, basic/index, "Error
Codes"), so ours are positive and read like the HTTP status. `legacy` is the HTTP status for a legacy client where the
two eras differ: to those 404 means "the session is gone", so a mere unknown method must not say it; and at any other
status than 200 the Python SDK 1.x ends its whole session and shows the number alone. So one slow or broken tool is told
in the body; limits and a node that cannot serve keep their status, which clients and proxies act on.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from mantlet.core import refusal as r
from mantlet.core.call import Reply
from mantlet.core.headers import JSON
from mantlet.core.record import Trail
from mantlet.wire import jsonrpc


@dataclass(frozen=True, slots=True)
class Wire:
    """How one refusal looks: HTTP status, JSON-RPC code, HTTP status for legacy MCP where it differs."""

    http: int
    mcp: int
    legacy: int = 0
    closes: bool = False
    """The connection cannot be trusted to be in step after it."""


WIRE: Final[Mapping[type[r.Refusal], Wire]] = {
    r.Refusal: Wire(500, -32603),
    r.Malformed: Wire(400, -32600, closes=True),
    r.InvalidJson: Wire(400, -32700),
    r.InvalidRequest: Wire(400, -32600),
    r.InvalidParams: Wire(400, -32602, legacy=200),
    r.ResourceNotFound: Wire(400, -32602, legacy=200),
    r.InvalidArguments: Wire(400, -32602, legacy=200),
    r.Filtered: Wire(400, -32602, legacy=200),
    r.HeaderMismatch: Wire(400, -32020),
    r.UnsupportedVersion: Wire(400, -32022),
    r.EraUnavailable: Wire(400, -32022, legacy=200),
    r.UnsupportedMediaType: Wire(415, 4415),
    r.NotAcceptable: Wire(406, 4406),
    r.PayloadTooLarge: Wire(413, 4413, closes=True),
    r.TargetTooLong: Wire(414, 4414, closes=True),
    r.HeadersTooLarge: Wire(431, 4431, closes=True),
    r.ReceiptTimeout: Wire(408, 4408, closes=True),
    r.MisdirectedHost: Wire(421, 4421),
    r.ForbiddenOrigin: Wire(403, 4403),
    r.Unauthenticated: Wire(401, 4401),
    r.InvalidCredential: Wire(401, 4401),
    r.InvalidProof: Wire(401, 4401),
    r.NonceRequired: Wire(401, 4401),
    r.AmbiguousCredentials: Wire(400, 4400),
    r.Denied: Wire(403, 4403),
    r.InsufficientScope: Wire(403, 4403),
    r.Quarantined: Wire(403, 4403),
    r.Killed: Wire(403, 4403),
    r.DelegationRefused: Wire(403, 4403),
    r.ApprovalPending: Wire(403, 4403),
    r.ApprovalDenied: Wire(403, 4403),
    r.ApprovalExpired: Wire(403, 4403),
    r.ConsentRequired: Wire(403, 4403, legacy=200),
    r.UrlElicitationRequired: Wire(403, -32042, legacy=200),
    r.MissingClientCapability: Wire(400, -32021),
    r.Blocked: Wire(403, 4403),
    r.NotFound: Wire(404, 4404),
    r.SessionNotFound: Wire(404, 4404),
    r.MethodNotAllowed: Wire(405, 4405),
    r.UpgradeRequired: Wire(426, 4426, closes=True),
    r.NotOffered: Wire(501, 4501),
    r.MethodNotFound: Wire(404, -32601, legacy=200),
    r.RateLimited: Wire(429, 4429),
    r.GrantRefused: Wire(400, 4400),
    r.ClientRefused: Wire(401, 4401),
    r.Unavailable: Wire(503, 4503),
    r.AuditUnavailable: Wire(503, 4503),
    r.StoreUnavailable: Wire(503, 4503),
    r.IssuerUnavailable: Wire(503, 4503),
    r.Overloaded: Wire(503, 4503),
    r.UpstreamUnavailable: Wire(503, 4503),
    r.BreakerOpen: Wire(503, 4503),
    r.BadUpstream: Wire(502, 4502, legacy=200),
    r.InvalidResult: Wire(502, 4502, legacy=200),
    r.EgressDenied: Wire(502, 4502, legacy=200),
    r.DeadlineExceeded: Wire(504, 4504, legacy=200),
}

PROBLEM_TYPE: Final = "urn:mantlet:problem:"
REQUEST_ID: Final = b"x-request-id"
DPOP_NONCE: Final = b"dpop-nonce"
"""RFC 9449 section 8.1."""
_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
_PROBLEM: Final = (b"content-type", b"application/problem+json")


def refused(refusal: r.Refusal, trail: Trail, *, challenge: str = "") -> Reply:
    """The answer to a refused call: a JSON-RPC error where its id is known, the documented body for a spent limit,
    else problem details (RFC 9457). Each carries the request id and nothing internal (ERR-01)."""
    wire = WIRE[type(refusal)]
    status = status_of(wire, trail)
    headers = [(REQUEST_ID, trail.request_id.encode())]
    if trail.rpc_id is not None:
        body = jsonrpc.error(trail.rpc_id, wire.mcp, refusal.detail, _data(refusal, trail))
        headers.append(JSON)
    elif isinstance(refusal, r.RateLimited):
        body = jsonrpc.encode({**refusal.data, "reason": refusal.reason, "request_id": trail.request_id})
        headers.append(JSON)
    elif isinstance(refusal, r.GrantRefused):
        body = jsonrpc.encode(refusal.data)  # to an OAuth client, in its own words (RFC 6749 section 5.2)
        headers += [JSON, (b"cache-control", b"no-store")]
    else:
        body = _problem(refusal, status, trail)
        headers.append(_PROBLEM)
    headers += _extra(refusal, challenge)
    if wire.closes:
        headers.append((b"connection", b"close"))
    return Reply(status, headers, body, origin="node", holds=refusal.holds)


def rpc_error(refusal: r.Refusal, trail: Trail) -> bytes:
    """The answer to a refused message on a connection that carries nothing but messages."""
    return jsonrpc.error(trail.rpc_id, code_of(refusal), refusal.detail, _data(refusal, trail))


def status_of(wire: Wire, trail: Trail) -> int:
    """The HTTP status of a refusal's answer in the era of the message that is refused."""
    if not wire.legacy or trail.era != "legacy":
        return wire.http
    # Only an answer to a request can say in its body what its status does not: a refused notification is a 400.
    return wire.legacy if trail.rpc_id is not None else 400


def unhandled(trail: Trail) -> Reply:
    """The one answer to an error nobody expected (ERR-02)."""
    return refused(r.Refusal(), trail)


def code_of(refusal: r.Refusal) -> int:
    """The JSON-RPC code of a refusal."""
    return WIRE[type(refusal)].mcp


def _data(refusal: r.Refusal, trail: Trail) -> object:
    own = refusal.data
    # The specification fixes the data of its own codes; ours add the reason and the request id.
    if isinstance(refusal, r.UnsupportedVersion):
        return own
    return {**(own or {}), "reason": refusal.reason, "request_id": trail.request_id}


def _problem(refusal: r.Refusal, status: int, trail: Trail) -> bytes:
    problem: dict[str, object] = {
        "type": PROBLEM_TYPE + refusal.reason,
        "title": refusal.title,
        "status": status,
        "detail": refusal.detail,
        "reason": refusal.reason,
        "request_id": trail.request_id,
    }
    if WIRE[type(refusal)].mcp < 0:
        # An extension member (RFC 9457 section 3.2): a JSON-RPC client finds the code that its protocol names.
        problem |= {"jsonrpc": "2.0", "error": {"code": WIRE[type(refusal)].mcp, "message": refusal.detail}}
    return jsonrpc.encode(problem)


def _extra(refusal: r.Refusal, challenge: str) -> list[tuple[bytes, bytes]]:
    headers: list[tuple[bytes, bytes]] = []
    if challenge and isinstance(refusal, (r.Unauthenticated, r.AmbiguousCredentials, r.InsufficientScope)):
        headers.append((b"www-authenticate", _challenge(refusal, challenge)))
    if isinstance(refusal, r.NonceRequired):
        headers += [(DPOP_NONCE, refusal.nonce.encode()), (b"cache-control", b"no-store")]
    if isinstance(refusal, r.ClientRefused):
        headers.append((b"www-authenticate", b'Basic realm="mantlet"'))
    if isinstance(refusal, r.MethodNotAllowed):
        headers.append((b"allow", refusal.allow.encode()))
    if isinstance(refusal, r.UpgradeRequired):
        headers += [(b"upgrade", b"websocket"), (b"sec-websocket-version", b"13")]
    if (after := refusal.retry_after_s) is not None:
        headers.append((b"retry-after", b"%d" % after))
    if isinstance(refusal, r.RateLimited):
        headers += limit_headers(
            name=refusal.name,
            limit=refusal.limit,
            window_s=refusal.window_s,
            remaining=refusal.remaining,
            reset_s=refusal.reset_s,
            reset_in_s=int(refusal.retry_after_s),
        )
    return headers


def _challenge(refusal: r.Unauthenticated | r.AmbiguousCredentials | r.InsufficientScope, challenge: str) -> bytes:
    error = f', error="{refusal.error}"' if refusal.error else ""
    if isinstance(refusal, r.InsufficientScope):
        # `scope-token` (RFC 6749 section 3.3): a name from a rule that is none must not break out of its quotes.
        scopes = " ".join(scope for scope in refusal.scopes if _SCOPE.fullmatch(scope))
        challenge = challenge.partition(", scope=")[0]  # it stands last there, and is for those without a token
        error += f', scope="{scopes}"' if scopes else ""
    return f"{challenge}{error}".encode()


def limit_headers(
    *, name: str, limit: int, window_s: float, remaining: int, reset_s: float, reset_in_s: int
) -> list[tuple[bytes, bytes]]:
    """`X-RateLimit-*` and the structured fields of draft-ietf-httpapi-ratelimit-headers-11."""
    allowed, policy, start = _limit_words(name, limit, window_s)
    return [
        allowed,
        (b"x-ratelimit-remaining", b"%d" % remaining),
        (b"x-ratelimit-reset", b"%d" % math.ceil(reset_s)),
        policy,
        (b"ratelimit", b"%b;r=%d;t=%d" % (start, remaining, reset_in_s)),
    ]


@lru_cache(maxsize=256)  # limits come from the configuration
def _limit_words(name: str, limit: int, window_s: float) -> tuple[tuple[bytes, bytes], tuple[bytes, bytes], bytes]:
    start = f'"{name}"'.encode()
    policy = b"%b;q=%d;w=%b" % (start, limit, f"{window_s:g}".encode())
    return (b"x-ratelimit-limit", b"%d" % limit), (b"ratelimit-policy", policy), start
