"""A message that came before is recognised, and read as it would be read anew (VAL-02, MCP-02)."""

import json
from typing import Any

import pytest
from tests.policies.parse.test_policy import BODY, MODERN
from tests.policies.support import META, arrival

from mantlet.core import refusal as r
from mantlet.core.call import Call
from mantlet.policies.parse import repeated
from mantlet.policies.parse.policy import Parse
from mantlet.policies.parse.repeated import MAX_BYTES, Repeated
from mantlet.wire.jsonrpc import Bounds


class Reader:
    """A step that recognises, and one that does not."""

    def __init__(self) -> None:
        self.known = Repeated(Bounds())
        options: dict[str, Any] = {"bounds": Bounds(), "request_timeout_s": 60, "monotonic": lambda: 100.0}
        self.step, self.plain = Parse(["one"], repeated=self.known, **options), Parse(["one"], **options)

    async def read(self, body: bytes, fields: Any = MODERN) -> Call:
        return await self.step.read(arrival(body=body, fields=fields))

    async def keep(self, body: bytes, fields: Any = MODERN) -> Call:
        call = await self.read(body, fields)
        assert call.said is not None
        call.said.keeper.keep(call)
        return call

    async def anew(self, body: bytes, fields: Any = MODERN) -> Call:
        return await self.plain.read(arrival(body=body, fields=fields))


def compact(body: object) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


ORDERS = [
    ("jsonrpc", "id", "method", "params"),
    ("method", "params", "jsonrpc", "id"),
    ("id", "params", "method", "jsonrpc"),
]


@pytest.mark.parametrize("order", ORDERS, ids=" ".join)
@pytest.mark.parametrize("spaces", [(",", ":"), (", ", ": ")])
@pytest.mark.parametrize("other", [2, 0, 999_999_999_999_999, "a-1", "x.y:z_0"])
async def test_what_is_recognised_is_what_would_be_read(order: Any, spaces: Any, other: Any) -> None:
    """VAL-02: the same in all its parts, with its own id and its own bytes."""
    reader = Reader()
    first, second = (
        json.dumps({name: {**BODY, "id": identity}[name] for name in order}, separators=spaces).encode()
        for identity in (1, other)
    )
    kept = await reader.keep(first)
    call, anew = await reader.read(second), await reader.anew(second)
    assert call.said is kept.said
    assert call.params is kept.params
    for name in ("kind", "era", "server", "method", "target", "params", "body", "id", "session", "message", "view"):
        assert getattr(call, name) == getattr(anew, name), name
    for name in ("action", "object", "server", "era", "rpc_id"):
        assert getattr(call.trail, name) == getattr(anew.trail, name), name


@pytest.mark.parametrize(
    "body",
    [
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{},"_meta":META,"x":1}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"q":1},"_meta":META}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{},"_meta":META}} ',
        b'{"jsonrpc":"2.0","id": 1,"method":"tools/call","params":{"name":"echo","arguments":{},"_meta":META}}',
    ],
)
async def test_whatever_else_differs_is_another_message(body: bytes) -> None:
    reader = Reader()
    kept = await reader.keep(compact(BODY))
    call = await reader.read(body.replace(b"META", compact(META)))
    assert call.said is not kept.said


ID_LIKE = [
    {"params": {"arguments": {"id": 1}}, "id": 1, "jsonrpc": "2.0", "method": "tools/call"},
    {"params": {"arguments": {"x": '"id":1'}}, "id": 1, "jsonrpc": "2.0", "method": "tools/call"},
    {"params": {"arguments": {"x": [{"id": 1}]}}, "jsonrpc": "2.0", "method": "tools/call", "id": 1},
]


@pytest.mark.parametrize("body", ID_LIKE, ids=["argument", "text", "nested"])
async def test_only_the_messages_own_id_is_cut_out(body: dict[str, Any]) -> None:
    """VAL-02: an argument of the same name is not taken for it, even where both say the same."""
    reader = Reader()
    first = compact({**body, "params": {**BODY["params"], **body["params"]}})  # type: ignore[dict-item]
    await reader.keep(first)
    other = first.replace(b'"id":1', b'"id":2', 1)
    try:
        anew = await reader.anew(other)
    except r.Refusal:
        pytest.fail("it is well-formed")
    call = await reader.read(other)
    assert (call.id, call.params, call.message) == (anew.id, anew.params, anew.message)


@pytest.mark.parametrize(
    "raw_id", [b"007", b"-1", b"1.0", b"1e2", b"null", b'"\\u0041"', b'"a b"', b"9" * 20, b"true", b"[1]"]
)
async def test_an_id_in_another_form_is_read_by_the_reader(raw_id: bytes) -> None:
    """MCP-03: what is no id is refused, however often its message came before."""
    reader = Reader()
    first = compact(BODY)
    await reader.keep(first)
    other = first.replace(b'"id":1', b'"id":' + raw_id)
    outcomes = []
    for read in (reader.read, reader.anew):
        try:
            outcomes.append((await read(other)).id)
        except r.Refusal as refusal:
            outcomes.append(type(refusal))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize(
    ("name", "value"),
    [(b"mcp-name", b"other"), (b"mcp-method", b"tools/list"), (b"mcp-protocol-version", b"2025-11-25")],
)
async def test_under_headers_that_say_something_else_it_is_refused_as_ever(name: bytes, value: bytes) -> None:
    """MCP-02"""
    reader = Reader()
    await reader.keep(compact(BODY))
    fields = [(key, value if key == name else kept) for key, kept in MODERN]
    for lying in (fields, [*MODERN, (name, value)], [field for field in MODERN if field[0] != name]):
        with pytest.raises(r.Refusal) as caught:
            await reader.read(compact(BODY), lying)
        with pytest.raises(type(caught.value)):
            await reader.anew(compact(BODY), lying)


async def test_what_nobody_asked_to_keep_is_not_kept() -> None:
    """RATE-06: a caller makes up as many messages as it likes."""
    reader = Reader()
    for number in range(10):
        await reader.read(compact({**BODY, "id": number}))
    assert len(reader.known) == 0


async def test_how_much_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """CACHE-05"""
    monkeypatch.setattr(repeated, "MAX_MESSAGES", 3)
    reader = Reader()
    for number in range(10):
        await reader.keep(compact({**BODY, "params": {**BODY["params"], "arguments": {"n": number}}}))  # type: ignore[dict-item]
    assert len(reader.known) == 3
    long = compact({**BODY, "params": {**BODY["params"], "arguments": {"x": "y" * MAX_BYTES}}})  # type: ignore[dict-item]
    await reader.keep(long)
    assert len(reader.known) == 3


async def test_a_bare_message_is_read_anew() -> None:
    """Its connection, and no header, says which revision it is in."""
    reader = Reader()
    came = arrival(body=compact(BODY), fields=MODERN)
    came.is_message = True
    assert (await reader.step.read(came)).said is None
