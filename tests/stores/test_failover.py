"""RATE-05: the shared store fails and returns."""

from collections.abc import Sequence

import pytest

from mantlet.core.clock import Clock
from mantlet.core.ports import Charge, LimitKey, Taken
from mantlet.core.refusal import StoreUnavailable
from mantlet.stores.failover import FailoverLimits, OnFailure, Standing, State, answered, failed, needs_both
from mantlet.stores.memory import MemoryLimits

CHARGE = Charge(("principal", "default", "iss", "alice", "client"), 90, 60)


class World:
    """A shared store that can fail and forget, a clock turned by hand, and nodes."""

    def __init__(self, nodes: int = 3, on_failure: OnFailure = "local_share") -> None:
        self.now_s = 1000.0
        self.clock = Clock(lambda: self.now_s, lambda: self.now_s)
        self.is_up = self.is_connected = True
        self.epoch = 1
        self.born = 1
        self.changes: list[State] = []
        self.memory = MemoryLimits(self.clock)
        self.nodes = [
            FailoverLimits(
                self,
                self.clock,
                on_failure=on_failure,
                sharers=nodes,
                epoch=lambda: self.epoch,
                is_ready=lambda: self.is_connected,
                on_change=lambda state, why: self.changes.append(state),
            )
            for _ in range(nodes)
        ]

    def come_back(self, *, is_empty: bool) -> None:
        self.is_up = True
        self.epoch += 1
        if is_empty:
            self.empty()

    def empty(self) -> None:
        """As FLUSHALL does: the connection stays."""
        self.born += 1
        self.memory = MemoryLimits(self.clock)

    async def take(self, charges: Sequence[Charge]) -> Taken:
        return (await self.take_seen(charges))[0]

    async def take_seen(self, charges: Sequence[Charge]) -> tuple[Taken, list[int], int, int]:
        if not self.is_up:
            raise StoreUnavailable(why="down")
        taken = await self.memory.take(charges)
        used = [charge.limit - (await self.memory.count(charge)).remaining for charge in charges]
        return taken, used, 0, self.born

    async def count(self, charge: Charge) -> Taken:
        if not self.is_up:
            raise StoreUnavailable(why="down")
        return await self.memory.count(charge)

    async def reset(self, prefix: LimitKey) -> int:
        if not self.is_up:
            raise StoreUnavailable(why="down")
        return await self.memory.reset(prefix)

    async def spend(self, tries: int, charges: Sequence[Charge] = (CHARGE,)) -> int:
        """Try over all nodes in turn; gives how many were admitted."""
        admitted = 0
        for number in range(tries):
            admitted += (await self.nodes[number % len(self.nodes)].take(charges)).allowed
        return admitted


@pytest.mark.parametrize("before", [0, 30, 60, 90])
async def test_the_nodes_together_admit_no_more_than_the_limit_when_the_store_goes(before: int) -> None:
    world = World()
    assert await world.spend(before) == before
    world.is_up = False
    assert before + await world.spend(300) <= 90
    assert {node.state for node in world.nodes} == {"degraded"}
    assert all(node.is_degraded for node in world.nodes)


async def test_a_node_knows_what_others_used() -> None:
    """80 of 90 through one node, one look by each of the others: 9 are left, 3 for each."""
    world = World()
    for _ in range(79):
        assert (await world.nodes[0].take([CHARGE])).allowed
    assert await world.spend(3) == 3
    world.is_up = False
    assert 82 + await world.spend(300) <= 99


@pytest.mark.parametrize("is_empty", [True, False])
async def test_the_return_of_the_store_grants_no_second_quota(is_empty: bool) -> None:
    world = World()
    admitted = await world.spend(45)
    world.is_up = False
    admitted += await world.spend(300)
    world.now_s += 10
    world.come_back(is_empty=is_empty)
    admitted += await world.spend(300)
    assert admitted <= 90
    world.now_s += 70
    assert await world.spend(300) == 90
    assert await world.spend(300) == 0


async def test_a_restart_between_two_calls_grants_no_second_quota() -> None:
    """Nobody saw a failure, but the connection is a new one: the store may be empty."""
    world = World()
    admitted = await world.spend(90)
    world.come_back(is_empty=True)
    assert admitted + await world.spend(300) == 90


async def test_a_second_restart_while_recovering_grants_none_either() -> None:
    world = World()
    admitted = await world.spend(90)
    for _ in range(3):
        world.now_s += 15
        world.come_back(is_empty=True)
        admitted += await world.spend(60)
    assert admitted == 90


async def test_an_emptied_store_grants_no_second_quota() -> None:
    """FLUSHALL: no connection was lost, only what was counted."""
    world = World()
    admitted = await world.spend(60)
    world.empty()
    admitted += await world.spend(300)
    assert admitted <= 90
    assert {node.state for node in world.nodes} == {"recovering"}
    world.now_s += 30
    world.empty()
    assert await world.spend(300) == 0
    world.now_s += 64
    assert await world.spend(300) == 90


async def test_emptied_while_some_windows_are_whole_again() -> None:
    world = World(nodes=1)
    short, long = Charge(("s",), 5, 1), Charge(("l",), 100, 600)
    await world.spend(5, [short, long])
    world.come_back(is_empty=False)
    await world.spend(1, [long])
    world.now_s += 30
    assert await world.spend(9, [short, long]) == 5
    world.empty()
    assert await world.spend(9, [short, long]) == 0


async def test_all_is_shared_again_one_window_after_the_return() -> None:
    world = World(nodes=1)
    await world.spend(1)
    world.is_up = False
    await world.spend(1)
    world.come_back(is_empty=True)
    await world.spend(1)
    world.now_s += 64
    await world.spend(2)
    assert world.changes == ["degraded", "recovering", "shared"]
    assert not world.nodes[0].is_degraded


async def test_a_flood_refused_here_does_not_keep_a_node_recovering() -> None:
    world = World(nodes=1)
    spent = Charge(("a",), 1, 3600)
    await world.spend(1, [spent, CHARGE])
    world.come_back(is_empty=True)
    await world.nodes[0].take([CHARGE])
    for _ in range(10):
        world.now_s += 500
        await world.nodes[0].take([spent])
    assert world.nodes[0].state == "shared"


async def test_a_store_that_was_never_there_means_degraded_from_the_start() -> None:
    world = World()
    world.is_up, world.epoch = False, 0
    assert await world.spend(300) == 90
    world.epoch, world.is_up = 1, True
    assert await world.spend(300) == 0


async def test_a_refusal_names_the_charge_among_all_while_recovering() -> None:
    world = World(nodes=1)
    short, long = Charge(("s",), 5, 1), Charge(("l",), 2, 600)
    await world.spend(2, [short, long])
    world.come_back(is_empty=True)
    await world.spend(1, [short])
    world.now_s += 30  # the short window is whole again, the long one is not
    taken = await world.nodes[0].take([short, long])
    assert (taken.refused, taken.tightest) == (1, 1)


async def test_a_small_limit_leaves_every_node_one() -> None:
    world = World()
    world.is_up = False
    assert await world.spend(30, [Charge(("a",), 2, 60)]) == 3


async def test_why_the_store_is_away_is_told_as_it_turns_out_and_each_reason_once() -> None:
    """RATE-05: first the connection was lost; that the password is wrong by now is what an operator must know."""
    world, told, why = World(nodes=1), [], "it closed the connection"
    limits = FailoverLimits(
        world,
        world.clock,
        on_failure="local_share",
        sharers=1,
        epoch=lambda: 1,
        is_ready=lambda: world.is_connected,
        lost=lambda: why,
        on_change=lambda state, why: told.append((state, why)),
    )
    world.is_connected = False
    for why in (
        "it closed the connection",
        "refused",
        "log-in refused: WRONGPASS",
        "refused",
        "log-in refused: WRONGPASS",
    ):
        limits.look()
        assert limits.why == why
    assert told == [
        ("degraded", "it closed the connection"),
        ("degraded", "refused"),
        ("degraded", "log-in refused: WRONGPASS"),
    ]
    for number in range(100):
        why = f"reason {number}"
        limits.look()
    assert len(told) == 8
    world.is_connected = True
    limits.look()
    assert told[-1] == ("recovering", "the store answers")


async def test_a_look_notices_that_the_store_is_gone_and_back_without_a_call() -> None:
    world = World(nodes=1)
    await world.spend(1)
    world.is_connected = False
    world.nodes[0].look()
    world.nodes[0].look()
    assert world.changes == ["degraded"]
    world.is_connected = True
    world.epoch += 1
    world.nodes[0].look()
    world.now_s += 64
    world.nodes[0].look()
    assert world.changes == ["degraded", "recovering", "shared"]


async def test_a_store_that_is_there_and_refuses_all_is_not_taken_for_one_that_is_back() -> None:
    """Full, or no rights: told once, and not once a second."""
    world = World(nodes=1)
    world.is_up = False
    await world.spend(1)
    for _ in range(10):
        world.nodes[0].look()
        await world.spend(1)
    assert world.changes == ["degraded"]
    world.is_up = True
    await world.spend(1)
    assert world.changes == ["degraded", "recovering"]


async def test_closed_raises_and_comes_back() -> None:
    world = World(on_failure="closed")
    world.is_up = False
    with pytest.raises(StoreUnavailable):
        await world.nodes[0].take([CHARGE])
    assert world.nodes[0].is_degraded
    world.come_back(is_empty=False)
    assert (await world.nodes[0].take([CHARGE])).allowed
    assert world.changes == ["degraded", "shared"]


async def test_open_admits_and_says_so() -> None:
    world = World(nodes=1, on_failure="open")
    world.is_up = False
    assert await world.spend(200) == 200
    assert world.changes == ["degraded"]


async def test_admin_sees_the_share_while_degraded_and_cannot_reset_what_is_gone() -> None:
    world = World()
    await world.spend(30)
    world.is_up = False
    assert (await world.nodes[0].count(CHARGE)).remaining == 20
    with pytest.raises(StoreUnavailable):
        await world.nodes[0].reset(("principal",))


@pytest.mark.parametrize(
    ("state", "epoch", "after_s", "then"),
    [
        ("shared", 1, 0.0, "shared"),
        ("shared", 2, 0.0, "recovering"),
        ("degraded", 1, 0.0, "recovering"),
        ("degraded", 2, 999.0, "recovering"),
        ("recovering", 1, 60.0, "recovering"),
        ("recovering", 1, 63.1, "shared"),
        ("recovering", 2, 63.1, "recovering"),
    ],
)
def test_what_an_answer_means(state: State, epoch: int, after_s: float, then: State) -> None:
    standing = answered(Standing(state, 0.0, 1), epoch=epoch, longest_s=60, now_s=after_s)
    assert standing.state == then
    assert standing.epoch == (epoch if then == "recovering" and state != "recovering" else standing.epoch)


@pytest.mark.parametrize("state", ["shared", "degraded", "recovering"])
def test_a_failure_always_means_degraded(state: State) -> None:
    standing = failed(Standing(state, 1.0, 1), now_s=5.0)
    assert (standing.state, standing.since_s) == ("degraded", 1.0 if state == "degraded" else 5.0)


@pytest.mark.parametrize(
    ("state", "epoch", "after_s", "both"),
    [
        ("shared", 1, 0.0, False),
        ("shared", 2, 0.0, True),
        ("degraded", 1, 999.0, True),
        ("recovering", 1, 30.0, True),
        ("recovering", 1, 70.0, False),
        ("recovering", 2, 70.0, True),
    ],
)
def test_which_windows_must_fit_both(state: State, epoch: int, after_s: float, both: bool) -> None:
    assert needs_both(Standing(state, 0.0, 1), 60.0, epoch=epoch, now_s=after_s) is both
