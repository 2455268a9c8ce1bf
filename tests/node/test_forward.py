import asyncio

import pytest
from tests.policies.support import call, reply

from mantlet.core.call import Call, Reply
from mantlet.core.refusal import BadUpstream, NotFound, Overloaded
from mantlet.node.forward import Forward


class Upstream:
    name = "one"

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.got: list[Call] = []
        self.error: Exception | None = None

    async def send(self, call: Call, /) -> Reply:
        self.got.append(call)
        await self.gate.wait()
        if self.error:
            raise self.error
        return reply({})

    async def health(self) -> dict[str, object]:
        return {}


async def test_a_call_goes_to_the_server_it_names_and_to_no_other() -> None:
    """TOOL-05"""
    one = Upstream()
    one.gate.set()
    forward = Forward({"one": one}, 10)
    item = call()
    assert (await forward(item)).status == 200
    for server in ("two", "", "ONE"):
        with pytest.raises(NotFound):
            await forward(call(server=server))
    assert one.got == [item]


async def test_more_than_the_limit_at_once_is_refused_and_not_sent() -> None:
    """RES-04"""
    one = Upstream()
    forward = Forward({"one": one}, 3)
    under_way = [asyncio.ensure_future(forward(call())) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await forward(call())
    assert len(one.got) == 3
    under_way[0].cancel()
    await asyncio.wait({under_way[0]})
    assert forward.under_way == 2
    one.error = BadUpstream()
    one.gate.set()
    await asyncio.wait(under_way)
    assert forward.under_way == 0
    assert [type(task.exception()) for task in under_way[1:]] == [BadUpstream, BadUpstream]
