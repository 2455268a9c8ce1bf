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


OK, SECRET = '{"name":"a"}', '{"name":"hidden"}'
SECRET_LIST = f'{{"tools":[{SECRET}]}}'
TWO_READINGS = {
    "two arrays": f'{{"result":{{"tools":[{OK},{SECRET}],"tools":[]}}}}',
    "two arrays, escaped": f'{{"result":{{"tools":[{OK},{SECRET}],"t\\u006fols":[]}}}}',
    "two results": f'{{"result":{SECRET_LIST},"result":{{"tools":[{OK}]}}}}',
    "two results, escaped": f'{{"result":{SECRET_LIST},"\\u0072esult":{{"tools":[]}}}}',
    "a result and none": f'{{"result":{SECRET_LIST},"result":null}}',
    "the same result elsewhere": f'{{"error":{{"tools":[]}},"result":{SECRET_LIST},"result":{{"tools":[]}}}}',
    "the same result twice": '{"result":{"tools":[]},"result":{"tools":[]}}',
    "two names": '{"result":{"tools":[{"name":"hidden","name":"a"}]}}',
    "two names, escaped": '{"result":{"tools":[{"n\\u0061me":"hidden","name":"a"}]}}',
    "two members within an item": '{"result":{"tools":[{"name":"a","_meta":{"x":1,"x":2}}]}}',
    "a result in capitals": f'{{"Result":{SECRET_LIST},"result":{{"tools":[]}}}}',
    "a list in capitals": f'{{"result":{{"Tools":[{SECRET}],"tools":[]}}}}',
    "a name in capitals": '{"result":{"tools":[{"name":"a","Name":"hidden"}]}}',
    "a list in other letters": f'{{"result":{{"tool\u017f":[{SECRET}]}}}}',
}


@pytest.mark.parametrize("text", TWO_READINGS.values(), ids=TWO_READINGS)
async def test_a_list_that_two_clients_could_read_differently_is_withheld(text: str) -> None:
    """AUTHZ-03, VAL-02"""
    body = text.replace('{"', '{"jsonrpc":"2.0","id":1,"', 1).encode()
    lists = FilteredLists()
    for _ in range(2):  # what is kept must not help
        with pytest.raises(BadUpstream):
            filter_reply(Reply(200, [], body), lambda result: lists.filter("alice", result, visible))
        stream = filter_reply(Reply(200, [], Stream(b"data: " + body + b"\n\n")), keep).body
        with pytest.raises(BadUpstream):
            await anext(stream)  # type: ignore[arg-type]


def test_a_result_whose_bytes_stand_elsewhere_too_is_read_as_it_is() -> None:
    body = b'{"jsonrpc":"2.0","id":"{}","result":{}}'
    assert filter_message(body, keep) is body


def test_a_long_and_deep_list_is_no_reason_to_withhold_it() -> None:
    schema: Any = {}
    for _ in range(80):
        schema = {"not": schema, "description": "a: b \u00e9 \n"}
    body = message({"tools": [{"name": f"t{n}", "inputSchema": schema} for n in range(200)]})
    assert filter_message(body, keep) is body


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
