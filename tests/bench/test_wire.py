import json

import pytest
from bench.wire import Job, body, head, is_right

CALL = Job(port=1, path="/mcp")
LIST = Job(port=1, path="/mcp", method="tools/list", tools=2)


def _answer(id_: object = 7, text: str = "mine") -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": id_, "result": {"content": [{"type": "text", "text": text}]}}).encode()


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        (_answer(), True),
        (b"event: message\ndata: " + _answer() + b"\n\n", True),
        (b'data: {"jsonrpc":"2.0","method":"notifications/progress"}\n\ndata: ' + _answer() + b"\n\n", True),
        (_answer(id_=8), False),
        (_answer(id_="7"), False),
        (_answer(id_=True), False),
        (_answer(text="another's"), False),
        (b'{"jsonrpc":"2.0","id":7,"error":{"code":1,"message":"no"}}', False),
        (b'{"jsonrpc":"2.0","id":7,"result":{}}', False),
        (b"", False),
        (b"data: \n\n", False),
        (_answer()[:-1], False),
    ],
)
def test_an_answer_counts_only_with_the_id_and_the_text_of_its_call(answer: bytes, right: bool) -> None:
    assert is_right(CALL, 7, "mine", answer) is right


@pytest.mark.parametrize(("tools", "right"), [(2, True), (1, False)])
def test_a_list_counts_only_when_it_is_whole(tools: int, right: bool) -> None:
    answer = json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"tools": [{}] * tools}}).encode()
    assert is_right(LIST, 1, "", answer) is right


@pytest.mark.parametrize("era", ["modern", "legacy"])
def test_a_call_is_a_whole_message_of_its_era(era: str) -> None:
    job = Job(port=1, path="/mcp", era=era)  # type: ignore[arg-type]
    message = json.loads(body(job, 3, "hello"))
    assert message["id"] == 3
    assert message["params"]["arguments"] == {"message": "hello"}
    assert ("_meta" in message["params"]) is (era == "modern")
    start = head(job, "token", "session")
    assert (b"mcp-name: echo" in start) is (era == "modern")
    assert (b"mcp-session-id: session" in start) is (era == "legacy")
    assert b"authorization: Bearer token\r\n" in start
