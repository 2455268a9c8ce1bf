from collections import Counter
from collections.abc import Collection
from typing import Any

import pytest

from mantlet.upstreams.balance import make_picker
from mantlet.upstreams.balance.pickers import MAX_KNOWN, SCAN, Affine, InTurn, LeastInFlight
from mantlet.upstreams.balance.rendezvous import pick, seed_of


class One:
    """A candidate."""

    def __init__(self, name: str, weight: float = 1, in_flight: int = 0) -> None:
        self.name = name
        self.cost = 1 / weight
        self.in_flight = in_flight
        self.seed = seed_of(name)

    def __repr__(self) -> str:
        return self.name


def some(count: int, **more: Any) -> list[One]:
    return [One(f"e{number}", **more) for number in range(count)]


def picked(picker: Any, times: int, key: str = "", avoid: Collection[str] = ()) -> Counter[str]:
    return Counter(picker.pick(key, avoid).name for _ in range(times))


def test_each_has_its_turn() -> None:
    picker: InTurn[One] = InTurn()
    picker.between(some(3))
    assert [picker.pick("", ()).name for _ in range(7)] == ["e0", "e1", "e2", "e0", "e1", "e2", "e0"]


@pytest.mark.parametrize("weights", [(1, 1), (3, 1), (5, 1, 1), (0.5, 0.25), (100, 1), (1, 2, 3, 4, 5)])
def test_turns_are_in_proportion_to_weights(weights: tuple[float, ...]) -> None:
    picker: InTurn[One] = InTurn()
    picker.between([One(f"e{number}", weight) for number, weight in enumerate(weights)])
    counted = picked(picker, 10_000)
    for number, weight in enumerate(weights):
        assert counted[f"e{number}"] == pytest.approx(10_000 * weight / sum(weights), abs=len(weights) + 1)


def test_turns_of_the_heavy_are_spread_among_those_of_the_light() -> None:
    picker: InTurn[One] = InTurn()
    picker.between([One("a", 4), One("b", 1), One("c", 1)])
    order = "".join(picker.pick("", ()).name for _ in range(60))
    assert "aaaaa" not in order
    assert order.count("a") == 40


def test_a_cost_that_changes_counts_from_the_next_turn_on() -> None:
    picker: InTurn[One] = InTurn()
    one, other = One("a"), One("b")
    picker.between([one, other])
    one.cost = 1 / 3
    assert picked(picker, 400)["a"] == pytest.approx(300, abs=3)


@pytest.mark.parametrize("balance", ["round_robin", "weighted", "least_connections", "session_affinity", "least_load"])
@pytest.mark.parametrize("count", [1, 2, 10, SCAN + 1, 100])
def test_what_is_avoided_is_not_picked_and_nobody_is_nobody(balance: Any, count: int) -> None:
    picker: Any = make_picker(balance, lambda: 0.5)
    assert picker.pick("k", ()) is None
    endpoints = some(count)
    picker.between(endpoints)
    left = endpoints[-1].name
    rest = {one.name for one in endpoints} - {left}
    assert picked(picker, 5, "k", rest) == {left: 5}
    assert picker.pick("k", {left} | rest) is None
    picker.between([])
    assert picker.pick("k", ()) is None


def test_one_of_tiny_weight_is_found_when_it_is_the_last() -> None:
    picker: InTurn[One] = InTurn()
    picker.between([One("big", 1000), One("small", 0.001)])
    assert picked(picker, 3, avoid={"big"}) == {"small": 3}


@pytest.mark.parametrize(
    ("loads", "expected"),
    [
        ([(1, 5), (1, 2), (1, 3)], "e1"),
        ([(1, 0), (4, 2)], "e1"),  # a quarter of (2 + 1) is less than (0 + 1)
        ([(1, 0), (2, 2)], "e0"),
        ([(0.1, 0), (1, 8)], "e1"),  # one that warms up has room for few
    ],
)
def test_the_least_under_way_for_its_weight(loads: list[tuple[float, int]], expected: str) -> None:
    picker: LeastInFlight[One] = LeastInFlight(lambda: 0.0)
    picker.between([One(f"e{number}", *load) for number, load in enumerate(loads)])
    assert picked(picker, 6) == {expected: 6}


def test_among_equals_it_goes_round() -> None:
    picker: LeastInFlight[One] = LeastInFlight(lambda: 0.0)
    picker.between(some(4))
    assert set(picked(picker, 40).values()) == {10}


def test_of_many_two_are_compared() -> None:
    chances = iter([0.0, 0.0, 0.99, 0.99])
    picker: LeastInFlight[One] = LeastInFlight(lambda: next(chances))
    endpoints = some(SCAN + 4)
    endpoints[0].in_flight = 3
    picker.between(endpoints)
    assert picker.pick("", ()) is endpoints[1]
    assert picker.pick("", ()) is endpoints[-1]


# --- affinity -------------------------------------------------------------------------------------------------------

KEYS = [f"session-{number}" for number in range(4_000)]


def homes(endpoints: list[One], keys: list[str] = KEYS) -> dict[str, str]:
    return {key: found.name for key in keys if (found := pick(key, endpoints)) is not None}


def test_every_process_draws_the_same() -> None:
    """Pins the lottery: another one would move every session in a rolling upgrade."""
    assert [pick(key, some(5)).name for key in ("alice", "bob", "carol", "")] == PINNED  # type: ignore[union-attr]


PINNED = ["e2", "e1", "e4", "e4"]


def test_keys_are_spread_by_weight() -> None:
    endpoints = [One("a", 1), One("b", 1), One("c", 2)]
    counted = Counter(homes(endpoints).values())
    assert counted["c"] == pytest.approx(2_000, rel=0.1)
    assert counted["a"] == pytest.approx(1_000, rel=0.15)


def test_when_one_goes_only_its_keys_move() -> None:
    before = homes(some(10))
    after = homes(some(10)[:-1])
    assert {key for key in KEYS if before[key] != after[key]} == {key for key in KEYS if before[key] == "e9"}


def test_when_one_comes_keys_move_only_to_it() -> None:
    before, after = homes(some(9)), homes(some(10))
    moved = [key for key in KEYS if before[key] != after[key]]
    assert {after[key] for key in moved} == {"e9"}
    assert len(moved) == pytest.approx(400, rel=0.25)


def test_a_weight_that_grows_pulls_keys_to_its_own_only() -> None:
    endpoints = some(5)
    endpoints[0].cost = 10.0
    before = homes(endpoints)
    endpoints[0].cost = 1.0
    after = homes(endpoints)
    assert {after[key] for key in KEYS if before[key] != after[key]} == {"e0"}


def test_what_is_remembered_is_bounded_and_forgotten_when_endpoints_change() -> None:
    picker: Affine[One] = Affine()
    picker.between(some(3))
    for number in range(MAX_KNOWN + 10):
        picker.pick(f"k{number}", ())
    assert len(picker._known) <= MAX_KNOWN
    home = picker.pick("k", ())
    assert home is not None
    picker.between([one for one in some(3) if one.name != home.name])
    assert picker.pick("k", ()).name != home.name  # type: ignore[union-attr]


def test_a_long_key_has_its_endpoint_and_is_not_kept() -> None:
    picker: Affine[One] = Affine()
    picker.between(some(5))
    key = "x" * 100_000
    assert len({picker.pick(key, ()).name for _ in range(3)}) == 1  # type: ignore[union-attr]
    assert not picker._known


def test_a_key_of_lone_surrogates_is_a_key() -> None:
    assert pick("\ud800", some(2)) is not None
