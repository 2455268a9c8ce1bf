import json
from typing import Any

import pytest
from tests.policies.support import Stream, reply, sse

from mantlet.core.call import Reply
from mantlet.core.refusal import BadUpstream
from mantlet.policies.authorize.lists import FilteredLists, filter_message, filter_reply, filter_result


def visible(method: str, name: str) -> bool:
    return not name.startswith("hidden")


def keep(result: bytes) -> bytes:
    return filter_result(result, visible)


def message(result: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "result": result}).encode()


TOOLS = {"tools": [{"name": "a", "x": 1.50}, {"name": "hidden-b"}, {"name": "c"}], "nextCursor": "n"}


@pytest.mark.parametrize(
    ("member", "attribute"),
    [("tools", "name"), ("prompts", "name"), ("resources", "uri"), ("resourceTemplates", "uriTemplate")],
)
def test_items_that_may_not_be_used_are_not_shown(member: str, attribute: str) -> None:
    """AUTHZ-03"""
    result = {member: [{attribute: "a", "name": "hidden?"}, {attribute: "hidden"}], "ttlMs": 5}
    if attribute == "name":
        result[member] = [{"name": "a"}, {"name": "hidden"}]
    shown = json.loads(filter_message(message(result), keep))["result"]
    assert [item[attribute] for item in shown[member]] == ["a"]
    assert shown["ttlMs"] == 5


def test_an_item_without_a_name_is_decided_as_one_with_an_empty_name() -> None:
    asked: list[str] = []
    filter_result(b'{"tools":[{"title":"x"}]}', lambda method, name: bool(asked.append(name)))
    assert asked == [""]


def test_what_is_shown_keeps_its_bytes() -> None:
    assert b'{"name": "a", "x": 1.5}' in filter_message(message(TOOLS), keep)


def test_a_list_with_nothing_to_hide_is_the_same_bytes() -> None:
    body = message({"tools": [{"name": "a"}]})
    assert filter_message(body, keep) is body


def test_a_public_list_is_private_behind_a_filter() -> None:
    """TOOL-04"""
    body = message({"tools": [{"name": "a"}], "cacheScope": "public", "ttlMs": 1})
    assert json.loads(filter_message(body, keep))["result"]["cacheScope"] == "private"
    private = message({"tools": [], "cacheScope": "private"})
    assert filter_message(private, keep) is private


@pytest.mark.parametrize("space", ["", " ", "\n\t "])
def test_spaces_hide_nothing(space: str) -> None:
    body = f'{{{space}"jsonrpc":"2.0","id":1,"result"{space}:{space}{{"tools"{space}:{space}[{{"name":"hidden"}}]}}}}'
    assert json.loads(filter_message(body.encode(), keep))["result"] == {"tools": []}


def test_escapes_hide_nothing() -> None:
    body = rb'{"jsonrpc":"2.0","id":1,"\u0072esult":{"\u0074ools":[{"n\u0061me":"\u0068idden"}]}}'
    assert json.loads(filter_message(body, keep))["result"] == {"tools": []}


@pytest.mark.parametrize(
    "body",
    [b"", b"x", b"[]", b'[{"result":{"tools":[]}}]', b'{"result":{"tools":[}}', b'{"result":{"tools":{}}}',
     b'{"result":{"tools":[1]}}', b'{"result":{"tools":[{"name":5}]}}', b'{"result":{"tools":null}}', b'"\xff"',
     b'{"result":{"tools":[{"name":"\xff"}]}}', b'{"result":{"tools":' + b'[' * 100_000],
)  # fmt: skip
def test_a_list_that_cannot_be_read_is_withheld(body: bytes) -> None:
    """AUTHZ-03"""
    with pytest.raises(BadUpstream):
        filter_message(body, keep)


@pytest.mark.parametrize("status", [200, 201, 203, 206, 299])
def test_every_good_status_is_filtered(status: int) -> None:
    """AUTHZ-03"""
    assert b"hidden" not in filter_reply(reply(TOOLS, status=status), keep).body  # type: ignore[operator]


async def test_a_stream_is_filtered_event_by_event() -> None:
    """AUTHZ-03"""
    answer = {"jsonrpc": "2.0", "id": 1, "result": TOOLS}
    note = b'event: message\nid: 7\ndata: {"jsonrpc":"2.0","method":"notifications/progress"}\n\n'
    whole = b": ping\n\n" + note + sse(answer)
    for size in (1, 7, len(whole)):
        stream = Stream(*(whole[at : at + size] for at in range(0, len(whole), size)))
        filtered = filter_reply(Reply(200, [], stream), keep).body
        passed = b"".join([chunk async for chunk in filtered])  # type: ignore[union-attr]
        assert b"hidden" not in passed
        assert note in passed
        assert b": ping" in passed
        await filtered.aclose()  # type: ignore[union-attr]
        assert stream.is_closed


async def test_a_filtered_stream_that_is_never_begun_still_closes_what_is_behind_it() -> None:
    """MCP-07"""
    stream = Stream(b"")
    await filter_reply(Reply(200, [], stream), keep).body.aclose()  # type: ignore[union-attr]
    assert stream.is_closed


async def test_an_event_that_cannot_be_read_is_withheld() -> None:
    stream = filter_reply(Reply(200, [], Stream(b"data: [1]\n\n")), keep).body
    with pytest.raises(BadUpstream):
        await anext(stream)  # type: ignore[arg-type]


def test_kept_lists_are_told_apart_by_who_asked_and_bounded() -> None:
    lists = FilteredLists(limit_bytes=500)
    result = b'{"tools":[{"name":"a"}]}'
    assert lists.filter("alice", result, lambda m, n: True) == result
    assert lists.filter("bob", result, lambda m, n: False) == b'{"tools":[]}'
    assert lists.filter("alice", result, lambda m, n: False) == result
    for n in range(100):
        lists.filter(n, result, lambda m, n: False)
    assert lists._size_bytes <= 500
    assert lists._size_bytes == sum(len(q) + len(a) for (_, q), a in lists._kept.items())
