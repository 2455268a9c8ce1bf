import asyncio

import pytest
from tests.policies.authenticate.test_streams import Endless
from tests.policies.kill.test_switches import CLOCK, MemoryCopy
from tests.policies.support import ALICE, Onward, arrival, call, reply

from mantlet.core.call import Reply
from mantlet.core.caller import Caller
from mantlet.core.refusal import Denied, Killed
from mantlet.policies.kill.policy import KilledCallers, KilledTargets
from mantlet.policies.kill.switches import Switches
from mantlet.policies.kill.table import Switch
from mantlet.policies.kill.truth import StateTruth
from mantlet.stores.state import MemoryState


def switches() -> Switches:
    return Switches(StateTruth(MemoryState(CLOCK)), MemoryCopy(), CLOCK)


async def test_a_stopped_caller_goes_nowhere_and_is_told_so() -> None:
    """AUTHZ-07"""
    off, onward = switches(), Onward()
    policy = KilledCallers(off)
    await policy(arrival(), onward)
    assert len(onward.reached) == 1
    await off.kill(Switch("caller", "default/iss/alice"), "", "root")
    item = arrival()
    with pytest.raises(Killed) as refused:
        await policy(item, onward)
    assert isinstance(refused.value, Denied)
    assert (refused.value.reason, item.trail.rule) == ("killed", "kill caller")
    assert len(onward.reached) == 1
    await policy(arrival(caller=None), onward)
    await off.unkill(Switch("caller", "default/iss/alice"))
    await policy(arrival(), onward)
    assert len(onward.reached) == 3


async def test_whoever_keeps_something_open_is_asked_for_both() -> None:
    off, valid = switches(), {"alice"}
    is_current = KilledCallers(off).guarding(lambda caller: caller.subject in valid)
    assert is_current(ALICE)
    assert not is_current(Caller("bob", "iss", "m"))
    await off.kill(Switch("caller", "default/iss/alice"), "", "root")
    assert not is_current(ALICE)


async def test_a_stopped_tool_is_not_called_and_ends_what_flows_from_it() -> None:
    off = switches()
    policy = KilledTargets(off)
    endless, other = Endless(), Endless()
    flowing, beside = Reply(200, [], endless), Reply(200, [], other)
    policy.watch(call("tools/call", {"name": "echo"}), flowing)
    policy.watch(call("tools/call", {"name": "hold"}), beside)
    assert await anext(flowing.body) == b"chunk"  # type: ignore[arg-type]
    waiting = asyncio.ensure_future(anext(flowing.body))  # type: ignore[arg-type]
    await endless.waits.wait()
    await off.kill(Switch("tool", "one__echo"), "", "root")
    await asyncio.wait({waiting})
    assert isinstance(waiting.exception(), StopAsyncIteration)
    assert endless.is_closed
    assert not other.is_closed
    onward = Onward(reply({}))
    with pytest.raises(Killed):
        await policy(call("tools/call", {"name": "echo"}), onward)
    await policy(call("tools/call", {"name": "hold"}), onward)
    assert len(onward.reached) == 1
    assert policy.hides("one", "tools/call", "echo")
    assert not policy.hides("one", "tools/call", "hold")
    await beside.body.aclose()  # type: ignore[union-attr]
    assert not policy._streams
