import json
from typing import Any

import pytest
from tests.policies.support import META, VERSION, arrival

from mantlet.core import refusal as r
from mantlet.core.call import Call
from mantlet.policies.parse.policy import Parse
from mantlet.wire.jsonrpc import Bounds

JSON = (b"content-type", b"application/json")
MODERN = [JSON, (b"mcp-protocol-version", VERSION.encode()), (b"mcp-method", b"tools/call"), (b"mcp-name", b"echo")]
BODY = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo", "arguments": {}, "_meta": META}}


def parse(**options: Any) -> Parse:
    return Parse(["one", "two"], bounds=Bounds(), request_timeout_s=60, monotonic=lambda: 100.0, **options)


async def read(body: object = BODY, fields: Any = MODERN, **options: Any) -> Call:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await parse().read(arrival(body=raw, fields=fields, **options))


async def test_a_call_says_what_the_body_says() -> None:
    """AUTHZ-02, VAL-02: the bytes are those that came."""
    raw = json.dumps(BODY, indent=3).encode()
    call = await read(raw)
    assert (call.method, call.target, call.server, call.era, call.kind) == (
        "tools/call",
        "echo",
        "one",
        "modern",
        "request",
    )
    assert call.body is raw
    assert call.id == b"1"
    assert call.deadline_s == 160.0
    assert (call.trail.action, call.trail.object, call.trail.server) == ("tools/call", "echo", "one")


async def test_the_deadline_is_the_nearer_one() -> None:
    late = arrival(body=json.dumps(BODY).encode(), fields=MODERN)
    late.deadline_s = 110.0
    assert (await parse().read(late)).deadline_s == 110.0


@pytest.mark.parametrize("path", ["/", "/mcp/", "/mcp/three", "/MCP", "/mcp/one/", "/mcp/one/x", "/mcp/../mcp", ""])
async def test_an_unlisted_path_leads_nowhere(path: str) -> None:
    """TOOL-05"""
    with pytest.raises(r.NotFound):
        await read(path=path)


async def test_nobody_gets_in_without_a_caller() -> None:
    """AUTHN-02"""
    with pytest.raises(r.Unauthenticated):
        await read(caller=None)


@pytest.mark.parametrize(
    "content_type",
    [None, b"text/plain", b"application/jsonp", b"application/json; charset=utf-16", b"", b"multipart/x"],
)
async def test_a_body_that_does_not_call_itself_json_is_not_read(content_type: bytes | None) -> None:
    """HTTP-08"""
    fields = [field for field in MODERN if field is not JSON]
    if content_type is not None:
        fields.append((b"content-type", content_type))
    with pytest.raises(r.UnsupportedMediaType):
        await read(fields=fields)


@pytest.mark.parametrize(
    "content_type", [b"application/json; charset=utf-8", b'APPLICATION/JSON;charset="UTF-8"', b"application/json ; a=b"]
)
async def test_json_in_other_spellings(content_type: bytes) -> None:
    assert await read(fields=[(b"content-type", content_type), *MODERN[1:]])


@pytest.mark.parametrize("verb", ["PUT", "PATCH", "HEAD", "OPTIONS", "TRACE", "BREW"])
async def test_other_verbs_are_told_which_there_are(verb: str) -> None:
    with pytest.raises(r.MethodNotAllowed) as refused:
        await read(verb=verb)
    assert refused.value.allow == "POST"
    with pytest.raises(r.MethodNotAllowed) as refused:
        await read(verb=verb, fields=[])
    assert refused.value.allow == "POST, GET, DELETE"


@pytest.mark.parametrize(("verb", "kind"), [("GET", "stream"), ("DELETE", "end")])
async def test_the_legacy_stream_and_the_end_of_a_session(verb: str, kind: str) -> None:
    """MCP-04"""
    call = await read(verb=verb, fields=[(b"mcp-session-id", b"s1"), (b"mcp-protocol-version", b"2025-11-25")])
    assert (call.kind, call.session, call.era, call.method, call.body) == (kind, "s1", "legacy", "", b"")
    with pytest.raises(r.MethodNotAllowed):
        await read(verb=verb)
    with pytest.raises(r.UnsupportedVersion):
        await read(verb=verb, fields=[(b"mcp-protocol-version", b"2099-01-01")])
    with pytest.raises(r.HeaderMismatch):
        await read(verb=verb, fields=[(b"mcp-session-id", b"s1"), (b"mcp-session-id", b"s2")])


async def test_a_session_header_means_nothing_to_the_modern_era() -> None:
    """MCP-04"""
    assert (await read(fields=[*MODERN, (b"mcp-session-id", b"s1")])).session == ""


@pytest.mark.parametrize(
    ("method", "params", "refusal"),
    [
        ("tools/execute", {}, r.MethodNotFound),
        ("server/discover", {}, r.MethodNotFound),
        ("notifications/nothing", {}, r.MethodNotFound),
        ("tools/call", {"name": 5}, r.InvalidParams),
        ("tools/call", {"name": ["exec"]}, r.InvalidParams),
        ("tools/call", {"name": ""}, r.InvalidParams),
        ("tools/call", {}, r.InvalidParams),
        ("resources/read", {"uri": {"a": 1}}, r.InvalidParams),
        ("resources/subscribe", {}, r.InvalidParams),
        ("tasks/get", {"taskId": 1}, r.InvalidParams),
        ("completion/complete", {"ref": {"name": "p"}}, r.InvalidParams),
        ("completion/complete", {"ref": {"type": "ref/prompt", "uri": "a://b"}}, r.InvalidParams),
    ],
)
async def test_a_legacy_call_that_names_nothing_is_not_decided_on(
    method: str, params: dict[str, object], refusal: type[r.Refusal]
) -> None:
    """MCP-03, AUTHZ-02"""
    with pytest.raises(refusal):
        await read({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}, [JSON])


async def test_unknown_methods_pass_only_where_configured() -> None:
    """MCP-03: and then a rule must still name them."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "x/y"}).encode()
    assert (await parse(unknown_methods=True).read(arrival(body=body, fields=[JSON]))).method == "x/y"


async def test_a_refusal_can_be_answered_to_its_id() -> None:
    item = arrival(body=json.dumps({**BODY, "id": "abc"}).encode(), fields=[JSON])
    with pytest.raises(r.HeaderMismatch):
        await parse().read(item)
    assert item.trail.rpc_id == b'"abc"'
