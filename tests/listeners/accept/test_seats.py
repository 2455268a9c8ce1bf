"""Who gets a seat at a listener, and who gives way."""

import asyncio

from mantlet.listeners.accept.seats import Seat, Seats
from mantlet.listeners.peer import networks

ONE, OTHER, PROXY = "192.0.2.1", "192.0.2.2", "10.0.0.1"


class Sitting:
    """Somebody on a seat, who gives way or does not."""

    def __init__(self, seats: Seats, peer: str = ONE, *, gives_way: bool = True) -> None:
        self.seat = taken(seats, peer)
        self.gives_way = gives_way
        self.asked = 0
        self.seat.lend(self)

    def make_room(self) -> bool:
        self.asked += 1
        if self.gives_way:
            self.seat.leave()
        return self.gives_way


def taken(seats: Seats, peer: str = ONE) -> Seat:
    seat = seats.take(peer)
    assert seat is not None
    return seat


def test_a_seat_is_one_of_all_and_one_of_its_address() -> None:
    """RATE-06"""
    seats = Seats(3, 2)
    made = [seats.take(peer) for peer in (ONE, ONE, ONE, OTHER, OTHER)]
    assert [seat is not None for seat in made] == [True, True, False, True, False]
    assert (len(seats), seats.refused, seats.by_peer) == (3, 2, {ONE: 2, OTHER: 1})
    assert made[0] is not None
    made[0].leave()
    assert seats.take(OTHER)
    assert len(seats) == 3


def test_a_proxy_brings_the_connections_of_many_and_no_more_than_all() -> None:
    """RATE-06"""
    seats = Seats(3, 1, networks([PROXY]))
    assert [bool(seats.take(PROXY)) for _ in range(4)] == [True, True, True, False]


def test_what_is_given_back_leaves_nothing_behind() -> None:
    seats = Seats(10, 10)
    for _ in range(3):
        seat = Sitting(seats).seat
        seat.leave()
        seat.leave()  # both ends of a connection may say so
    assert not seats
    assert seats.by_peer == {}
    assert not seats.lent


def test_whoever_has_been_nobody_for_longest_gives_way() -> None:
    """RATE-06: who holds connections and says nothing holds them against its like."""
    seats = Seats(3, 3)
    first, second, third = (Sitting(seats) for _ in range(3))
    first.seat.lend(first)  # it was answered, and is nobody again: others have waited longer
    newcomers = [Sitting(seats, OTHER) for _ in range(2)]
    assert [one.asked for one in (first, second, third)] == [0, 1, 1]
    assert (len(seats), seats.refused, seats.displaced) == (3, 0, 2)
    assert seats.by_peer == {ONE: 1, OTHER: len(newcomers)}


def test_who_is_somebody_stays_and_is_asked_once() -> None:
    """RATE-06: established clients keep working at the cap."""
    seats = Seats(3, 3)
    known, kept, stranger = Sitting(seats, gives_way=False), Sitting(seats), Sitting(seats)
    kept.seat.keep()
    assert seats.take(OTHER)
    assert seats.take(OTHER) is None
    assert seats.take(OTHER) is None
    assert [one.asked for one in (known, kept, stranger)] == [1, 0, 1]
    assert (len(seats), seats.refused, seats.displaced) == (3, 2, 1)


def test_who_rests_gives_way_behind_all_strangers() -> None:
    """RATE-06"""
    seats = Seats(3, 3)
    long, less, stranger = Sitting(seats), Sitting(seats), Sitting(seats)
    for one in (long, less):
        one.seat.keep()
    seats.rest([long, less])
    for _ in range(2):
        assert seats.take(OTHER)
    assert [one.asked for one in (long, less, stranger)] == [1, 0, 1]


def test_a_trusted_proxy_gives_way_to_nobody() -> None:
    """RATE-06"""
    seats = Seats(1, 1, networks([PROXY]))
    proxy = Sitting(seats, PROXY)
    assert seats.take(ONE) is None
    assert proxy.asked == 0


def test_an_address_at_its_cap_displaces_nobody() -> None:
    """RATE-06"""
    seats = Seats(2, 1)
    sitting = [Sitting(seats, ONE), Sitting(seats, OTHER)]
    assert seats.take(ONE) is None
    assert [one.asked for one in sitting] == [0, 0]


async def test_who_waits_hears_when_the_last_has_left() -> None:
    seats = Seats(2, 2)
    await seats.until_empty(60)
    first, second = taken(seats), taken(seats)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(seats.until_empty(60))
        await asyncio.sleep(0)
        first.leave()
        await asyncio.sleep(0)
        assert not waiting.done()
        second.leave()


def test_nobody_is_seated_once_it_is_shut() -> None:
    seats = Seats(2, 2)
    Sitting(seats)
    Sitting(seats)
    seats.is_shut = True
    assert not seats.take(ONE)
    assert (seats.refused, seats.displaced) == (1, 0)
