import json

import pytest

from mantlet.core import refusal as r
from mantlet.core.record import Trail
from mantlet.wire import answer
from mantlet.wire.answer import WIRE


def trail(era: str = "modern", rpc_id: bytes | None = b"1") -> Trail:
    return Trail("req-1", "http", "192.0.2.1", 1.0, era=era, rpc_id=rpc_id)


def subclasses(kind: type) -> set[type]:
    return {kind}.union(
        *(subclasses(inner) for inner in kind.__subclasses__() if inner.__module__.startswith(r.__name__ + "."))
    )


def make(kind: type[r.Refusal]) -> r.Refusal:
    if issubclass(kind, r.UnsupportedVersion):
        return kind("2099-01-01", ["2026-07-28"])
    if issubclass(kind, r.InsufficientScope):
        return kind(["mcp:read"])
    if issubclass(kind, r.MethodNotAllowed):
        return kind("POST")
    if issubclass(kind, r.RateLimited):
        return kind(name="client", limit=5, window_s=60, remaining=0, reset_s=100.5, retry_after_s=0.2, is_global=False)
    return kind()


def test_every_refusal_has_its_row_and_every_row_its_refusal() -> None:
    assert subclasses(r.Refusal) == set(WIRE)


def test_every_reason_is_one_refusals_own() -> None:
    reasons = [kind.reason for kind in WIRE]
    assert len(set(reasons)) == len(reasons)


@pytest.mark.parametrize("kind", WIRE, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("rpc_id", [b"1", None], ids=["request", "no id"])
@pytest.mark.parametrize("era", ["modern", "legacy", ""])
def test_every_refusal_can_be_answered(kind: type[r.Refusal], rpc_id: bytes | None, era: str) -> None:
    """ERR-01: the request id is in each answer, an error code outside the protocol's own range in ours."""
    reply = answer.refused(make(kind), trail(era, rpc_id), challenge='Bearer realm="x"')
    assert isinstance(reply.body, bytes)
    body = json.loads(reply.body)
    assert reply.header(b"x-request-id") == b"req-1"
    assert reply.origin == "node"
    if rpc_id is None:
        assert reply.status >= 400
    else:
        assert body["id"] == 1
        code = body["error"]["code"]
        # Of JSON-RPC; of MCP 2026-07-28 (headers, capabilities, versions) and of 2025-11-25 (URL elicitation).
        assert code > 0 or code in {-32700, -32600, -32601, -32602, -32603, -32020, -32021, -32022, -32042}


@pytest.mark.parametrize("kind", [k for k, wire in WIRE.items() if wire.mcp > 0], ids=lambda kind: kind.__name__)
def test_our_own_codes_read_like_the_status(kind: type[r.Refusal]) -> None:
    assert WIRE[kind].mcp == 4000 + WIRE[kind].http


def test_an_unknown_method_says_404_to_the_modern_era_alone() -> None:
    """MCP-03: to a legacy client 404 means that its session is gone."""
    assert answer.refused(r.MethodNotFound(), trail("modern")).status == 404
    assert answer.refused(r.MethodNotFound(), trail("legacy")).status == 200
    assert answer.refused(r.MethodNotFound(), trail("legacy", None)).status == 400


def test_wrong_params_do_not_cost_a_legacy_client_its_session() -> None:
    """The Python SDK 1.x ends its session on any status but 2xx, as servers of its time never sent one for this."""
    assert answer.refused(r.InvalidParams("no"), trail("legacy")).status == 200
    assert answer.refused(r.InvalidParams("no"), trail("legacy", None)).status == 400
    assert answer.refused(r.InvalidParams("no"), trail("modern")).status == 400


def test_a_legacy_client_is_told_of_the_wrong_era_in_a_body_it_reads() -> None:
    """Our choice: SDKs of that era show a person only the status of a 400. A modern one knows the code (MCP-02)."""
    wrong = r.EraUnavailable("2025-11-25", ["2026-07-28"], "Take a newer client.")
    assert answer.refused(wrong, trail("legacy", b"1")).status == 200
    assert answer.refused(wrong, trail("modern", b"1")).status == 400


def test_a_missing_scope_is_told_with_all_that_are_needed() -> None:
    """AUTHN-04: RFC 6750 section 3.1, all scopes at once; one that is no scope token cannot leave its quotes."""
    refusal = r.InsufficientScope(["mcp:write", "mcp:read", 'x", error="invalid_token'], "rule writers")
    reply = answer.refused(refusal, trail("modern", b"1"), challenge='Bearer realm="x"')
    assert reply.status == 403
    expected = b'Bearer realm="x", error="insufficient_scope", scope="mcp:read mcp:write"'
    assert reply.header(b"www-authenticate") == expected


def test_the_challenge_names_an_error_only_when_something_was_sent() -> None:
    """AUTHN-04"""
    nothing = answer.refused(r.Unauthenticated(), trail(), challenge='Bearer realm="x"')
    bad = answer.refused(r.InvalidCredential("expired"), trail(), challenge='Bearer realm="x"')
    assert nothing.header(b"www-authenticate") == b'Bearer realm="x"'
    assert bad.header(b"www-authenticate") == b'Bearer realm="x", error="invalid_token"'


def test_why_is_for_the_record_only() -> None:
    """ERR-01"""
    for rpc_id in (b"1", None):
        reply = answer.refused(r.BadUpstream(why="canary-3b1d"), trail(rpc_id=rpc_id))
        assert b"canary" not in reply.body  # type: ignore[operator]


def test_a_spent_limit_is_told_in_whole_seconds_never_too_early() -> None:
    """RATE-01"""
    reply = answer.refused(make(r.RateLimited), trail(rpc_id=None))
    assert reply.header(b"retry-after") == b"1"
    assert reply.header(b"x-ratelimit-reset") == b"101"
    body = json.loads(reply.body)  # type: ignore[arg-type]
    assert body["retry_after"] == 1
    assert (body["error"], body["reason"]) == ("Rate limit exceeded", "rate_limited")
    assert body["request_id"] == trail().request_id


def test_an_unexpected_error_is_a_plain_500() -> None:
    """ERR-02"""
    assert answer.unhandled(trail()).status == 500


def test_an_oauth_client_is_answered_in_its_own_words() -> None:
    """TOK-13: RFC 6749 section 5.2, and nothing of why beyond them."""
    reply = answer.refused(r.GrantRefused("invalid_grant", why="spent before"), trail("", None))
    assert isinstance(reply.body, bytes)
    assert (reply.status, json.loads(reply.body)) == (400, {"error": "invalid_grant"})
    assert reply.header(b"cache-control") == b"no-store"
    refused = answer.refused(r.ClientRefused("unknown client"), trail("", None))
    assert isinstance(refused.body, bytes)
    assert (refused.status, json.loads(refused.body)) == (401, {"error": "invalid_client"})
    assert refused.header(b"www-authenticate") == b'Basic realm="mantlet"'
