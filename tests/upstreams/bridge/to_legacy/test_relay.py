"""A retry that comes to another process than the one that holds its call."""

import asyncio
from typing import Any

import pytest
from tests.upstreams.bridge.to_legacy.conftest import Door, MakeDoor
from tests.upstreams.bridge.to_legacy.support import ACCEPTED, ALL, FORM, Answering, Client, Legacy, close, each

from mantlet.core.refusal import BadUpstream, InvalidParams
from mantlet.upstreams.bridge.to_legacy.relay import asker
from mantlet.upstreams.bridge.to_legacy.relay.messages import box_of


async def ask(at: Answering) -> Any:
    said = []
    for number in range(at.arguments.get("times", 1)):
        said.append(await at.ask("elicitation/create", FORM))
        at.notify("notifications/progress", progressToken=at.token, progress=number)
    return {"content": [], "said": said}


@pytest.fixture(autouse=True)
def _tools(server: Legacy) -> None:
    server.tools["ask"] = ask


@pytest.fixture
def doors(open_door: MakeDoor) -> tuple[Door, Door]:
    first, second = open_door(), open_door()
    second.sealer = first.sealer
    return first, second


@pytest.fixture
def clients(doors: tuple[Door, Door]) -> list[Client]:
    return [door.client(capabilities=ALL, meta={"progressToken": "p"}) for door in doors]


async def test_the_call_goes_on_in_whatever_process_its_client_comes_to(
    clients: list[Client], doors: tuple[Door, Door], server: Legacy
) -> None:
    params: dict[str, Any] = {"name": "ask", "arguments": {"times": 4}}
    heard = []
    for number, client in enumerate([*clients, *clients, clients[0]]):
        messages = await client.messages("tools/call", params, id=f"leg{number}")
        assert messages[-1]["id"] == f"leg{number}"
        heard += [message["params"]["progress"] for message in messages[:-1]]
        result = messages[-1]["result"]
        if result["resultType"] == "input_required":
            responses = dict.fromkeys(result["inputRequests"], ACCEPTED)
            params = {**params, "requestState": result["requestState"], "inputResponses": responses}
    assert result["said"] == [ACCEPTED] * 4
    assert heard == [0, 1, 2, 3]
    assert len(server.of("tools/call")) == 1
    assert all(door.crossing.report() | {"sessions": 0} == {"sessions": 0, "held": 0, "relayed": 0} for door in doors)


async def held(client: Client, **arguments: Any) -> dict[str, Any]:
    """A call that waits; gives the params of its retry."""
    result = await client.call("ask", arguments)
    responses = dict.fromkeys(result["inputRequests"], ACCEPTED)
    return {"name": "ask", "arguments": arguments, "requestState": result["requestState"], "inputResponses": responses}


async def test_a_state_is_good_once_wherever_it_comes(clients: list[Client]) -> None:
    """MCP-06"""
    params = await held(clients[0])
    both = await asyncio.gather(*(client.ask("tools/call", params) for client in clients), return_exceptions=True)
    assert sorted(type(one).__name__ for one in both) == ["InvalidParams", "dict"]
    for client in clients:
        with pytest.raises(InvalidParams):
            await client.send("tools/call", params)


async def test_answers_that_are_none_are_refused_from_afar_and_the_call_waits(clients: list[Client]) -> None:
    params = await held(clients[0])
    (key,) = params["inputResponses"]
    with pytest.raises(InvalidParams, match="is not one to elicitation/create"):
        await clients[1].send("tools/call", {**params, "inputResponses": {key: {"action": "perhaps"}}})
    assert (await clients[1].ask("tools/call", params))["result"]["said"] == [ACCEPTED]


async def test_a_process_that_is_gone_is_told_of_at_once(clients: list[Client], doors: tuple[Door, Door]) -> None:
    params = await held(clients[0])
    doors[0].post.leave()
    with pytest.raises(InvalidParams, match="gone"):
        await clients[1].send("tools/call", params)


async def test_a_process_that_says_nothing_is_not_waited_for(
    clients: list[Client], doors: tuple[Door, Door], monkeypatch: Any
) -> None:
    monkeypatch.setattr(asker, "FIRST_S", 0.05)
    params = await held(clients[0])
    doors[0].post.close(box_of("everything"))
    with pytest.raises(InvalidParams, match="gone"):
        await clients[1].send("tools/call", params)


async def test_a_client_that_leaves_the_other_process_cancels_the_work(
    clients: list[Client], doors: tuple[Door, Door], server: Legacy
) -> None:
    """MCP-07"""

    async def long(at: Answering) -> Any:
        await at.ask("elicitation/create", FORM)
        at.notify("notifications/x")
        await asyncio.get_running_loop().create_future()

    server.tools["ask"] = long
    params = await held(clients[0])
    reply = await clients[1].send("tools/call", params)
    async for _ in each(reply):
        break
    await close(reply)
    await server.seen("notifications/cancelled")
    for door in doors:
        await door.settle()
        assert door.crossing.report()["relayed"] == 0
    assert server.gone["ask"] == 1


async def test_an_asker_that_dies_does_not_keep_the_call(
    clients: list[Client], doors: tuple[Door, Door], server: Legacy
) -> None:
    async def talking(at: Answering) -> Any:
        await at.ask("elicitation/create", FORM)
        while True:
            at.notify("notifications/x")
            await asyncio.sleep(0.01)

    server.tools["ask"] = talking
    params = await held(clients[0])
    reply = await clients[1].send("tools/call", params)
    doors[1].post.leave()
    await server.seen("notifications/cancelled")
    await close(reply)


async def test_a_server_that_dies_is_told_of_across_processes(clients: list[Client], server: Legacy) -> None:
    async def dying(at: Answering) -> Any:
        await at.ask("elicitation/create", FORM)
        at.writer.transport.abort()

    server.tools["ask"] = dying
    params = await held(clients[0])
    with pytest.raises(BadUpstream):
        await clients[1].send("tools/call", params)


async def test_a_client_that_is_too_slow_across_processes_loses_the_call_and_no_memory(
    clients: list[Client], server: Legacy, monkeypatch: Any
) -> None:
    monkeypatch.setattr(asker, "MAX_QUEUED_BYTES", 100_000)

    async def loud(at: Answering) -> Any:
        await at.ask("elicitation/create", FORM)
        for _ in range(100):
            at.notify("notifications/x", big="x" * 10_000)
        await asyncio.get_running_loop().create_future()

    server.tools["ask"] = loud
    params = await held(clients[0])
    reply = await clients[1].send("tools/call", params)
    await server.seen("notifications/cancelled")
    messages = [message async for message in each(reply)]
    assert messages[-1]["error"]["code"] == 4502


@pytest.mark.parametrize("message", [b"", b"x", b"\x91\xa3ask", b"\x92\xa5leave\xa1x"])
async def test_what_makes_no_sense_is_passed_over(doors: tuple[Door, Door], message: bytes) -> None:
    await doors[0].post.send(doors[0].post.address, box_of("everything"), message)
    await asyncio.sleep(0)
    assert doors[0].crossing.report()["relayed"] == 0
