"""Who gets a seat at a listener."""

import asyncio

from mantlet.listeners.accept.seats import Seats
from mantlet.listeners.peer import networks

ONE, OTHER, PROXY = "192.0.2.1", "192.0.2.2", "10.0.0.1"


def test_a_seat_is_one_of_all_and_one_of_its_address() -> None:
    """RATE-06"""
    seats = Seats(3, 2)
    assert [seats.take(peer) for peer in (ONE, ONE, ONE, OTHER, OTHER)] == [True, True, False, True, False]
    assert (len(seats), seats.refused, seats.by_peer) == (3, 2, {ONE: 2, OTHER: 1})
    seats.give_back(ONE)
    assert seats.take(OTHER)
    assert len(seats) == 3


def test_a_proxy_brings_the_connections_of_many_and_no_more_than_all() -> None:
    """RATE-06"""
    seats = Seats(3, 1, networks([PROXY]))
    assert [seats.take(PROXY) for _ in range(4)] == [True, True, True, False]


def test_what_is_given_back_leaves_nothing_behind() -> None:
    seats = Seats(10, 10)
    for _ in range(3):
        assert seats.take(ONE)
        seats.give_back(ONE)
    assert not seats
    assert seats.by_peer == {}


async def test_who_waits_hears_when_the_last_has_left() -> None:
    seats = Seats(2, 2)
    await seats.until_empty(60)
    assert seats.take(ONE)
    assert seats.take(ONE)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(seats.until_empty(60))
        await asyncio.sleep(0)
        seats.give_back(ONE)
        await asyncio.sleep(0)
        assert not waiting.done()
        seats.give_back(ONE)


def test_nobody_is_seated_once_it_is_shut() -> None:
    seats = Seats(2, 2)
    seats.is_shut = True
    assert not seats.take(ONE)
    assert seats.refused == 1
