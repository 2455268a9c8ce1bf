"""Calls and results as their tool's schemas want them (VAL-03, VAL-08)."""

import json
from typing import Any

import pytest
from tests.policies.support import Onward, Stream, call, reply, sse

from mantlet.core.call import Reply
from mantlet.core.definition import Definition, DefinitionKey
from mantlet.core.refusal import InvalidArguments, InvalidResult, Quarantined
from mantlet.policies.schemas.policy import Schemas
from mantlet.policies.schemas.tools import SchemaBook
from mantlet.wire.canonical import canonical, digest

INPUT = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
OUTPUT = {"type": "object", "properties": {"degrees": {"type": "integer"}}, "required": ["degrees"]}
RIGHT = {"content": [], "structuredContent": {"degrees": 3, "more": True}}
WRONG = {"content": [], "structuredContent": {"degrees": "secret"}}


def tool(**said: Any) -> Definition:
    text = canonical({"name": "weather", **said})
    return Definition(DefinitionKey("one", "tools", "weather"), text, digest(text))


def schemas(definition: Definition | None, mode: Any = "enforce", **options: Any) -> Schemas:
    return Schemas(SchemaBook(**options), lambda server, name: definition, mode=mode)


def weather(arguments: Any = None, **more: Any) -> Any:
    params = {"name": "weather"} if arguments is None else {"name": "weather", "arguments": arguments}
    return call(params=params, **more)


async def test_arguments_that_fit_pass_untouched() -> None:
    onward = Onward()
    asked = weather({"city": "Ulm"})
    await schemas(tool(inputSchema=INPUT))(asked, onward)
    assert onward.reached == [asked]


@pytest.mark.parametrize(
    ("arguments", "pointer", "keyword"),
    [
        ({"city": 7}, "/city", "type"),
        ({}, "", "required"),
        (None, "", "required"),
        ([], "", "type"),
        ({"city": "Ulm", "secret": 1}, "", "additionalProperties"),
    ],
)
async def test_arguments_that_do_not_fit_go_no_further(arguments: Any, pointer: str, keyword: str) -> None:
    """VAL-03"""
    onward = Onward()
    with pytest.raises(InvalidArguments) as caught:
        await schemas(tool(inputSchema=INPUT))(weather(arguments), onward)
    assert onward.reached == []
    assert caught.value.data == {"pointer": pointer, "keyword": keyword}
    assert "secret" not in str(caught.value) + caught.value.detail + caught.value.why


async def test_unknown_members_pass_where_config_says_so() -> None:
    """VAL-03: "unless allowed"."""
    onward = Onward()
    await schemas(tool(inputSchema=INPUT), refuses_unknown=False)(weather({"city": "Ulm", "x": 1}), onward)
    assert len(onward.reached) == 1


async def test_warn_notes_what_enforce_refuses() -> None:
    asked = weather({"city": 7})
    onward = Onward(reply(WRONG))
    answer = await schemas(tool(inputSchema=INPUT, outputSchema=OUTPUT), "warn")(asked, onward)
    assert answer.status == 200
    assert asked.trail.notes["schema"] == "result /degrees: type"


@pytest.mark.parametrize("definition", [None, tool(inputSchema={"$ref": "http://127.0.0.1:9/x"}), tool(inputSchema=[])])
async def test_without_a_schema_to_decide_by_nothing_passes(definition: Definition | None) -> None:
    """VAL-08, VAL-03: bad schema, tool withheld."""
    onward = Onward()
    with pytest.raises(Quarantined):
        await schemas(definition)(weather({"city": "Ulm"}), onward)
    assert onward.reached == []
    asked = weather({"city": "Ulm"})
    await schemas(definition, "warn")(asked, onward)
    assert "schema" in asked.trail.notes


async def test_other_methods_are_not_looked_at() -> None:
    onward = Onward()
    await schemas(None)(call("prompts/get", {"name": "p"}), onward)
    assert len(onward.reached) == 1


GOOD_RESULTS = [
    RIGHT,
    {"content": [], "isError": True},
    {"isError": True, "structuredContent": {"degrees": "x"}},
    {"resultType": "input_required", "inputRequests": {}},
    {"resultType": "complete", **RIGHT},
    {"task": {"taskId": "1"}},
]
BAD_RESULTS = [
    (WRONG, "/degrees", "type"),
    ({"content": []}, "", "required"),
    ({"resultType": "complete", **WRONG}, "/degrees", "type"),
    ({"isError": False, **WRONG}, "/degrees", "type"),
    ({"content": [], "structuredContent": None}, "", "type"),
    ({"task": {}, **WRONG}, "/degrees", "type"),
]


@pytest.mark.parametrize("result", GOOD_RESULTS)
@pytest.mark.parametrize("streams", [False, True])
async def test_a_result_that_promises_no_more_than_it_holds_passes(result: Any, streams: bool) -> None:
    step = schemas(tool(inputSchema=INPUT, outputSchema=OUTPUT))
    raw = sse({"jsonrpc": "2.0", "id": 1, "result": result})
    given = Reply(200, [], Stream(raw)) if streams else reply(result)
    whole = given.body
    answer = await step(weather({"city": "Ulm"}), Onward(given))
    if streams:
        assert not isinstance(answer.body, bytes)
        assert b"".join([chunk async for chunk in answer.body]) == raw
    else:
        assert answer.body is whole


@pytest.mark.parametrize(("result", "pointer", "keyword"), BAD_RESULTS)
async def test_a_result_that_breaks_its_promise_is_not_passed_on(result: Any, pointer: str, keyword: str) -> None:
    """VAL-03: results against `outputSchema`."""
    step = schemas(tool(inputSchema=INPUT, outputSchema=OUTPUT))
    with pytest.raises(InvalidResult) as caught:
        await step(weather({"city": "Ulm"}), Onward(reply(result)))
    assert caught.value.data == {"pointer": pointer, "keyword": keyword}
    assert "secret" not in str(caught.value) + caught.value.why


@pytest.mark.parametrize("cut", [1, 7, 10_000])
async def test_in_a_stream_the_broken_result_becomes_an_error(cut: int) -> None:
    progress = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": 1}}
    raw = sse(progress, {"jsonrpc": "2.0", "id": 1, "result": WRONG})
    source = Stream(*(raw[at : at + cut] for at in range(0, len(raw), cut)))
    asked = weather({"city": "Ulm"})
    answer = await schemas(tool(inputSchema=INPUT, outputSchema=OUTPUT))(asked, Onward(Reply(200, [], source)))
    assert not isinstance(answer.body, bytes)
    told = b"".join([chunk async for chunk in answer.body])
    assert told.startswith(sse(progress))
    error = json.loads(told[len(sse(progress)) :].partition(b"data: ")[2])["error"]
    assert (error["code"], error["data"]["pointer"], error["data"]["reason"]) == (4502, "/degrees", "invalid_result")
    assert b"secret" not in told
    await answer.body.aclose()  # type: ignore[attr-defined]
    assert source.is_closed


async def test_an_escaped_member_is_read_like_a_plain_one() -> None:
    raw = b'data: {"jsonrpc":"2.0","id":1,"r\\u0065sult":{"structuredContent":{"degrees":"secret"}}}\n\n'
    step = schemas(tool(inputSchema=INPUT, outputSchema=OUTPUT))
    answer = await step(weather({"city": "Ulm"}), Onward(Reply(200, [], Stream(raw))))
    assert not isinstance(answer.body, bytes)
    assert b"secret" not in b"".join([chunk async for chunk in answer.body])


async def test_a_legacy_server_of_an_older_revision_has_no_structured_content() -> None:
    answer = await schemas(tool(inputSchema=INPUT, outputSchema=OUTPUT))(
        weather({"city": "Ulm"}, era="legacy"), Onward(reply({"content": []}))
    )
    assert answer.status == 200


async def test_the_result_of_a_task_is_held_to_its_tools_schema() -> None:
    step = schemas(tool(inputSchema=INPUT, outputSchema=OUTPUT))
    for method, result in (("tasks/result", WRONG), ("tasks/get", {"status": "completed", "result": WRONG})):
        with pytest.raises(InvalidResult):
            await step(call(method, {"taskId": "t"}), Onward(reply(result)))
    working = await step(call("tasks/get", {"taskId": "t"}), Onward(reply({"status": "working"})))
    assert working.status == 200


async def test_compiled_schemas_are_bounded() -> None:
    book = SchemaBook(max_tools=2)
    made = [tool(inputSchema={"maxProperties": number}) for number in range(3)]
    first = book.of(made[0])
    assert book.of(made[0]) is first
    book.of(made[1])
    book.of(made[2])
    assert book.of(made[0]) is not first
