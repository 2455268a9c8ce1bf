"""What a server wants to know, as requests to a legacy client."""

import json
from typing import Any

import msgspec
import pytest

from mantlet.core.refusal import BadUpstream
from mantlet.wire.mcp.bridge import to_modern_inputs as inputs
from mantlet.wire.mcp.bridge.to_modern_inputs import Raw

FORM = {"method": "elicitation/create", "params": {"message": "?", "requestedSchema": {"type": "object"}}}
PAGE = {"method": "elicitation/create", "params": {"mode": "url", "message": "!", "url": "https://example.com"}}
SAMPLE = {"method": "sampling/createMessage", "params": {"messages": [], "maxTokens": 1}}
WITH_TOOLS = {"method": "sampling/createMessage", "params": {"messages": [], "maxTokens": 1, "tools": []}}
ROOTS = {"method": "roots/list"}


def raw(**requests: Any) -> dict[str, Raw]:
    return {key: Raw(msgspec.json.encode(value)) for key, value in requests.items()}


@pytest.mark.parametrize(
    ("request_", "capabilities", "lacking"),
    [
        (FORM, {"elicitation": {}}, {}),
        (FORM, {"elicitation": {"form": {}}}, {}),
        (FORM, {"elicitation": {"url": {}}}, {"elicitation": {"form": {}}}),
        (FORM, {}, {"elicitation": {"form": {}}}),
        (FORM, {"elicitation": True}, {"elicitation": {"form": {}}}),
        (PAGE, {"elicitation": {}}, {"elicitation": {"url": {}}}),
        (PAGE, {"elicitation": {"url": {}}}, {}),
        (SAMPLE, {"sampling": {}}, {}),
        (SAMPLE, {}, {"sampling": {}}),
        (WITH_TOOLS, {"sampling": {}}, {"sampling": {"tools": {}}}),
        (WITH_TOOLS, {"sampling": {"tools": {}}}, {}),
        (ROOTS, {"roots": {}}, {}),
        (ROOTS, {"elicitation": {}}, {"roots": {}}),
    ],
)
def test_what_the_client_did_not_declare(request_: Any, capabilities: Any, lacking: Any) -> None:
    assert inputs.missing(inputs.questions(raw(k=request_)), capabilities) == lacking


def test_questions_become_requests_under_our_ids() -> None:
    asked = inputs.questions(raw(a=FORM, b=PAGE, c=ROOTS, d=SAMPLE))
    told = [json.loads(inputs.request(question, f"i{n}")) for n, question in enumerate(asked)]
    assert told == [
        {"jsonrpc": "2.0", "id": "i0", **FORM},
        # Older clients want an id for a page, and newer servers give none.
        {
            "jsonrpc": "2.0",
            "id": "i1",
            "method": "elicitation/create",
            "params": {**PAGE["params"], "elicitationId": "i1"},
        },
        {"jsonrpc": "2.0", "id": "i2", **ROOTS},
        {"jsonrpc": "2.0", "id": "i3", **SAMPLE},
    ]


@pytest.mark.parametrize(
    "requests",
    [
        {"k": {"method": "tools/call"}},
        {"k": {"method": 7}},
        {"k": []},
        {"k": {"params": {}}},
        {"k": {"method": "roots/list", "params": []}},
        {f"k{n}": ROOTS for n in range(inputs.MAX_REQUESTS + 1)},
    ],
)
def test_what_no_server_may_ask(requests: Any) -> None:
    with pytest.raises(BadUpstream):
        inputs.questions(raw(**requests))


@pytest.mark.parametrize(
    ("body", "result", "error"),
    [
        (b'{"jsonrpc":"2.0","id":"i","result":{ "action":"decline" }}', b'{ "action":"decline" }', None),
        (b'{"jsonrpc":"2.0","id":"i","error":{"code":-1,"message":"no"}}', None, b'{"code":-1,"message":"no"}'),
        (b'{"jsonrpc":"2.0","id":"i","result":[]}', None, None),
        (b'{"jsonrpc":"2.0","id":"i","result":null}', None, None),
        (b"{", None, None),
    ],
)
def test_what_a_client_answers(body: bytes, result: bytes | None, error: bytes | None) -> None:
    said, refused = inputs.response(body)
    assert (said and bytes(said), refused and bytes(refused)) == (result, error)


def test_a_retry_says_only_what_there_is() -> None:
    """basic/patterns/mrtr: without a state there must be none in the retry."""
    assert inputs.retry_members({}, Raw(b'"s"')) == {"requestState": b'"s"'}
    assert inputs.retry_members({"k": Raw(b"{}")}, None) == {"inputResponses": b'{"k":{}}'}


def test_a_question_is_withdrawn_by_its_id() -> None:
    assert json.loads(inputs.withdrawn("i", "why")) == {
        "jsonrpc": "2.0",
        "method": "notifications/cancelled",
        "params": {"requestId": "i", "reason": "why"},
    }
