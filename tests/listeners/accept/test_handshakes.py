"""How many TLS handshakes are under way, and how many begin at once."""

import asyncio

from mantlet.listeners.accept.handshakes import BEGUN_A_TURN, MAX_UNDER_WAY, Handshakes


class Shaking:
    def __init__(self) -> None:
        self.has_left = False

    def make_room(self) -> bool:
        self.has_left = True
        return True


async def test_the_oldest_gives_way_when_there_are_too_many() -> None:
    """RATE-06"""
    handshakes = Handshakes(asyncio.get_running_loop(), Shaking.make_room)
    all_of_them = [Shaking() for _ in range(MAX_UNDER_WAY + 3)]
    for one in all_of_them:
        await handshakes.begin(one)
    assert [one.has_left for one in all_of_them[:4]] == [True, True, True, False]
    assert len(handshakes) == MAX_UNDER_WAY
    for one in all_of_them:
        handshakes.over(one)
    assert not len(handshakes)


async def test_a_few_begin_a_turn_and_in_their_order() -> None:
    """RATE-06: a flood of first records is looked at beside everything else."""
    handshakes = Handshakes(asyncio.get_running_loop(), Shaking.make_room)
    begun: list[int] = []

    async def begin(number: int) -> None:
        await handshakes.begin(Shaking())
        begun.append(number)

    tasks = [asyncio.ensure_future(begin(number)) for number in range(3 * BEGUN_A_TURN + 1)]
    tasks[BEGUN_A_TURN + 1].cancel()  # it gave up while it waited
    most, before = 0, 0
    while not all(task.done() for task in tasks):
        await asyncio.sleep(0)
        most, before = max(most, len(begun) - before), len(begun)
    assert most <= BEGUN_A_TURN
    assert begun == [number for number in range(len(tasks)) if number != BEGUN_A_TURN + 1]
    await handshakes.begin(Shaking())
