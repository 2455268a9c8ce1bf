import pytest

from mantlet.stores.valkey.limits import SLOT
from mantlet.stores.valkey.slots import SLOTS, slot_of


@pytest.mark.parametrize(
    ("key", "same_as"),
    [
        ("{user1000}.following", "user1000"),
        ("foo{{bar}}zap", "{bar"),
        ("foo{bar}{zap}", "bar"),
        ("mantlet:{limits}:principal:x:1", "limits"),
    ],
)
def test_what_stands_in_the_first_braces_decides(key: str, same_as: str) -> None:
    """The examples of the Redis Cluster specification."""
    assert slot_of(key) == slot_of(same_as)


def test_empty_braces_are_letters() -> None:
    assert slot_of("foo{}{bar}") not in (slot_of("bar"), slot_of(""))


def test_the_checksum_is_the_specification_s() -> None:
    assert slot_of(b"123456789") == 0x31C3 % SLOTS


def test_all_windows_lie_in_one_slot() -> None:
    """RATE-01: what is counted in one step must be."""
    assert slot_of("limits") == SLOT
