import pytest
from tests.policies.support import ALICE, Onward, arrival

from mantlet.core.caller import Caller
from mantlet.core.clock import Clock
from mantlet.core.refusal import DelegationRefused
from mantlet.policies.delegation.config import ActorConfig, BudgetConfig, DelegationConfig
from mantlet.policies.delegation.policy import Delegation
from mantlet.stores.memory import MemoryLimits

FOR_ANN = Caller("ann", "iss", "forwarded", roles=frozenset({"user", "admin"}), act=("bot", "planner"))


def policy(config: DelegationConfig | None = None, own_name: str = "here") -> Delegation:
    return Delegation(config or DelegationConfig(), own_name, MemoryLimits(Clock(lambda: 0.0, lambda: 0.0)))


async def test_whoever_calls_in_their_own_name_passes_untouched() -> None:
    step, onward, item = policy(), Onward(), arrival(caller=ALICE)
    await step(item, onward)
    await step(arrival(caller=None), onward)
    assert len(onward.reached) == 2
    assert item.trail.notes == {}


async def test_a_delegated_call_is_written_down_and_goes_on_with_the_rights_of_all() -> None:
    """AUTHZ-10"""
    config = DelegationConfig(actors=[ActorConfig(name="bot", roles=["user"]), ActorConfig(name="planner")])
    onward, item = Onward(), arrival(caller=FOR_ANN)
    await policy(config)(item, onward)
    assert item.caller is not None
    assert item.caller.roles == {"user"}
    assert item.trail.notes == {"act": "bot < planner"}


@pytest.mark.parametrize("act", [("here",), ("a", "b", "c", "d", "e"), ("a", "a")])
async def test_a_chain_that_is_too_long_or_goes_round_goes_nowhere(act: tuple[str, ...]) -> None:
    """AUTHZ-10"""
    onward, item = Onward(), arrival(caller=Caller("ann", "iss", "forwarded", act=act))
    with pytest.raises(DelegationRefused):
        await policy()(item, onward)
    assert onward.reached == []
    assert item.trail.rule == "delegation"


async def test_a_node_without_a_name_of_its_own_sees_no_loop_through_itself() -> None:
    await policy(own_name="mantlet")(arrival(caller=Caller("ann", "i", "f", act=("mantlet",))), Onward())


async def test_what_is_done_for_one_subject_is_bounded() -> None:
    """AUTHZ-10: also through other actors, and not for others."""
    step, onward = policy(DelegationConfig(budget=BudgetConfig(calls=2))), Onward()
    other = Caller("ann", "iss", "forwarded", act=("planner",))
    await step(arrival(caller=FOR_ANN), onward)
    await step(arrival(caller=other), onward)
    with pytest.raises(DelegationRefused):
        await step(arrival(caller=FOR_ANN), onward)
    await step(arrival(caller=Caller("eve", "iss", "forwarded", act=("bot",))), onward)
    await step(arrival(caller=Caller("ann", "iss", "jwt")), onward)
    assert len(onward.reached) == 4
