import json
from typing import Any

import pytest
from tests.policies.support import Onward, Stream, call, reply, sse

from mantlet.core.call import Reply
from mantlet.core.refusal import HeaderMismatch
from mantlet.policies.mirrored.annotations import Annotations
from mantlet.policies.mirrored.policy import Mirrored

REGION = {"name": "query", "inputSchema": {"properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}}
PLAIN = {"name": "query", "inputSchema": {"properties": {"region": {"type": "string"}}}}
EU = [(b"mcp-param-region", b"eu")]
US = [(b"mcp-param-region", b"us")]


def query(fields: Any = (), *, server: str = "one", era: Any = "modern", **arguments: Any) -> Any:
    return call("tools/call", {"name": "query", "arguments": arguments}, server=server, era=era, fields=fields)


async def learnt(*tools: dict[str, Any], server: str = "one") -> Mirrored:
    policy = Mirrored()
    await policy(call("tools/list", server=server), Onward(reply({"tools": list(tools)})))
    return policy


async def test_a_contradiction_is_refused_before_any_server_sees_it() -> None:
    """MCP-01"""
    policy, onward = await learnt(REGION), Onward()
    for item in (query(US, region="eu"), query(region="eu"), query(EU), query(EU * 2, region="eu")):
        with pytest.raises(HeaderMismatch):
            await policy(item, onward)
    assert onward.reached == []
    await policy(query(EU, region="eu"), onward)
    await policy(query(), onward)
    assert len(onward.reached) == 2


async def test_what_nobody_listed_is_left_to_its_server() -> None:
    onward = Onward()
    await Mirrored()(query(US, region="eu"), onward)
    await (await learnt(REGION, server="two"))(query(US, region="eu"), onward)
    assert len(onward.reached) == 2


async def test_a_tool_that_lost_its_annotation_is_checked_no_more() -> None:
    policy, onward = await learnt(REGION), Onward()
    await policy(call("tools/list"), Onward(reply({"tools": [PLAIN]})))
    await policy(query(US, region="eu"), onward)
    assert len(onward.reached) == 1


@pytest.mark.parametrize("size", [1, 50, 10_000])
async def test_a_list_that_comes_as_a_stream_is_learnt_and_passes_unchanged(size: int) -> None:
    whole = b": hi\n\n" + sse({"jsonrpc": "2.0", "id": 1, "result": {"tools": [REGION]}})
    stream = Stream(*(whole[at : at + size] for at in range(0, len(whole), size)))
    policy = Mirrored()
    answer = await policy(call("tools/list"), Onward(Reply(200, [], stream)))
    assert b"".join([chunk async for chunk in answer.body]) == whole  # type: ignore[union-attr]
    await answer.body.aclose()  # type: ignore[union-attr]
    assert stream.is_closed
    with pytest.raises(HeaderMismatch):
        await policy(query(US, region="eu"), Onward())


@pytest.mark.parametrize(
    "body",
    [b"", b"x", b"[]", b'{"result":5,"x-mcp-header":1}', b'{"result":{"tools":[{"name":5,"a":"x-mcp-header"}]}}',
     b'{"error":{"data":"x-mcp-header"}}', b'{"x-mcp-header":"\xff"}',
     b'{"x-mcp-header":' + b"[" * 100_000],
)  # fmt: skip
async def test_what_is_no_list_teaches_nothing(body: bytes) -> None:
    policy, onward = Mirrored(), Onward()
    await policy(call("tools/list"), Onward(Reply(200, [], body)))
    await policy(query(US, region="eu"), onward)
    assert len(onward.reached) == 1


def test_what_is_learnt_is_bounded() -> None:
    annotations = Annotations(max_tools=2)
    for n in range(5):
        annotations.learn("one", json.dumps({"result": {"tools": [{**REGION, "name": f"t{n}"}]}}).encode())
    assert [annotations.of("one", f"t{n}") is not None for n in range(5)] == [False, False, False, True, True]
    many = {f"p{n}": {"type": "string", "x-mcp-header": f"P{n}"} for n in range(33)}
    annotations.learn(
        "one", json.dumps({"result": {"tools": [{"name": "t4", "inputSchema": {"properties": many}}]}}).encode()
    )
    assert annotations.of("one", "t4") is None


TYPED = {
    "name": "query",
    "inputSchema": {
        "properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "dry": {"type": "boolean", "x-mcp-header": "Dry"},
            "where": {"properties": {"row": {"type": "integer", "x-mcp-header": "Row"}}},
        }
    },
}


@pytest.mark.parametrize("era", ["legacy", "message"])
@pytest.mark.parametrize(
    ("arguments", "added"),
    [
        ({"region": "eu"}, [(b"mcp-param-region", b"eu")]),
        ({"region": "Zürich "}, [(b"mcp-param-region", b"=?base64?WsO8cmljaCA=?=")]),
        ({"region": "a\r\nx: y"}, [(b"mcp-param-region", b"=?base64?YQ0KeDogeQ==?=")]),
        ({"dry": True, "where": {"row": 42.0}}, [(b"mcp-param-dry", b"true"), (b"mcp-param-row", b"42")]),
        ({"region": None, "dry": [], "where": 5}, []),
        ({}, []),
    ],
)
async def test_who_has_no_headers_gets_them_from_the_arguments(era: str, arguments: dict[str, Any], added: Any) -> None:
    """MCP-01: and what such a client sends under their names says nothing."""
    policy, onward = await learnt(TYPED), Onward()
    item = query([*US, (b"accept", b"x")], era="legacy" if era == "legacy" else "modern", **arguments)
    item.arrival.is_message = era == "message"
    await policy(item, onward)
    sent = onward.reached[0]
    assert sorted(sent.arrival.headers) == [(b"accept", b"x"), *added]
    assert sent.body == item.body
    if item.era == "modern" and added:
        sent.arrival.is_message = False
        await policy(sent, onward)  # what is added is what would have been asked for
