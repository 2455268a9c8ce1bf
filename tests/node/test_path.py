"""The order of the steps, with steps that only say that they were passed."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.policies.support import META, VERSION, arrival, reply

from mantlet.core.call import Arrival, Reply
from mantlet.core.refusal import BadUpstream, Denied, Refusal, Unauthenticated
from mantlet.node.path import Steps, messages, path
from mantlet.policies.parse.policy import Parse
from mantlet.wire.jsonrpc import Bounds

FIELDS = [
    (b"content-type", b"application/json"),
    (b"mcp-protocol-version", VERSION.encode()),
    (b"mcp-method", b"tools/call"),
    (b"mcp-name", b"echo"),
]
BODY = json.dumps(
    {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo", "_meta": META}}
).encode()
ORDER = [
    "record",
    "addresses",
    "published",
    "authenticate",
    "current_streams",
    "caller_limits",
    "aggregate",
    "tasks",
    "mirrored",
    "call_limits",
    "authorize",
]


class House:
    def __init__(self, refuse_at: str = "", refusal: BaseException | None = None, **without: None) -> None:
        self.passed: list[str] = []
        self._refuse_at, self._refusal = refuse_at, refusal or Denied()
        steps: dict[str, Any] = {name: self._step(name) for name in [*ORDER, "current_caller"]} | without
        parse = Parse(["one"], bounds=Bounds(), request_timeout_s=60, monotonic=lambda: 0.0)
        made = Steps(**steps, parse=parse, forward=self._forward, challenge=lambda _: 'Bearer realm="test"')
        self.handler = path(made)
        self.messages = messages(made)

    def _step(self, name: str) -> Any:
        async def step(item: Any, onward: Callable[[Any], Awaitable[Reply]], /) -> Reply:
            self.passed.append(name)
            assert isinstance(item, Arrival) == (name not in ORDER[ORDER.index("aggregate") :])
            if name == self._refuse_at:
                raise self._refusal
            return await onward(item)

        return step

    async def _forward(self, call: Any) -> Reply:
        self.passed.append("forward")
        if self._refuse_at == "forward":
            raise self._refusal
        return reply({})


def item(body: bytes = BODY) -> Arrival:
    return arrival(body=body, fields=FIELDS)


async def test_a_call_passes_every_step_once_and_in_order() -> None:
    house = House()
    assert (await house.handler(item())).status == 200
    assert house.passed == [*ORDER, "forward"]


async def test_a_message_takes_the_same_way_but_for_what_its_connection_has_passed() -> None:
    """AUTHN-10: whose credential it was is asked again with every message."""
    house = House()
    assert (await house.messages(item())).status == 200
    passed = [name for name in ORDER if name not in ("published", "authenticate", "current_streams")]
    assert house.passed == ["record", "addresses", "current_caller", *passed[2:], "forward"]


async def test_a_refused_message_is_raised_to_its_connection() -> None:
    house = House(refuse_at="authorize", refusal=Denied())
    with pytest.raises(Denied):
        await house.messages(item())
    assert "forward" not in house.passed


async def test_what_is_switched_off_is_not_passed_and_nothing_else_is() -> None:
    house = House(caller_limits=None, call_limits=None)
    await house.handler(item())
    assert house.passed == [name for name in [*ORDER, "forward"] if not name.endswith("limits")]


@pytest.mark.parametrize("name", [*ORDER, "forward"])
async def test_nothing_behind_a_refusal_is_reached(name: str) -> None:
    """AUTHZ-02"""
    house = House(refuse_at=name)
    assert (await house.handler(item())).status == 403
    assert house.passed == [*ORDER, "forward"][: [*ORDER, "forward"].index(name) + 1]


async def test_a_body_that_cannot_be_read_reaches_no_step_that_decides_on_it() -> None:
    house = House()
    assert (await house.handler(item(b"{"))).status == 400
    assert house.passed == ORDER[: ORDER.index("aggregate")]


@pytest.mark.parametrize(
    ("refusal", "status"), [(Refusal(), 500), (BadUpstream(why="canary"), 502), (Unauthenticated(), 401)]
)
async def test_refusals_become_answers_at_the_outside_alone(refusal: Refusal, status: int) -> None:
    answer = await House("forward", refusal).handler(item())
    assert answer.status == status
    assert b"canary" not in answer.body  # type: ignore[operator]
    assert (answer.header(b"www-authenticate") is not None) == (status == 401)


async def test_what_nobody_expected_is_not_taken_for_an_answer() -> None:
    """ERR-02: it is the record's to refuse, outermost; here nothing swallows it."""
    with pytest.raises(ZeroDivisionError):
        await House("forward", ZeroDivisionError()).handler(item())
