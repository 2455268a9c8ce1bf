from typing import Any

import pytest

from mantlet.stores.valkey.address import Address
from mantlet.stores.valkey.limits import SLOT
from mantlet.stores.valkey.slots import SLOTS, read_map, redirection, slot_of


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


def test_a_map_names_the_master_of_each_slot() -> None:
    owners = read_map(
        [[0, 99, [b"10.0.0.1", 7000, b"id", []], [b"10.0.0.9", 7009]], [100, SLOTS - 1, [b"", 7001]]], "asked"
    )
    assert owners[0] == owners[99] == Address("10.0.0.1", 7000)
    assert owners[100] == owners[-1] == Address("asked", 7001)
    assert read_map([], "asked") == [None] * SLOTS


@pytest.mark.parametrize(
    "reply",
    [
        None,
        7,
        [7],
        [[0]],
        [[0, 5]],
        [[0, 5, 7]],
        [[0, 5, [b"h"]]],
        [[0, 5, [b"h", b"7000"]]],
        [[0, 5, [b"h", 70_000]]],
        [[0, 5, [7, 7000]]],
        [[0, 10**12, [b"h", 7000]]],
        [[-1, 5, [b"h", 7000]]],
        [[9, 5, [b"h", 7000]]],
        [[b"0", b"5", [b"h", 7000]]],
        [[0, 5, [b"\xff", 7000]]],
    ],
)
def test_what_is_no_map_is_refused(reply: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_map(reply, "asked")


@pytest.mark.parametrize(
    ("error", "found"),
    [
        ("MOVED 3999 127.0.0.1:6381", (Address("127.0.0.1", 6381), True)),
        ("ASK 3999 ::1:6381", (Address("::1", 6381), False)),
        ("MOVED 3999 :6381", (Address("asked", 6381), True)),
        ("ERR no such thing", None),
        ("MOVEDX 1 h:1", None),
    ],
)
def test_a_redirection_is_read(error: str, found: tuple[Address, bool] | None) -> None:
    assert redirection(error, "asked") == found


@pytest.mark.parametrize(
    "error", ["MOVED", "MOVED 1", "MOVED 1 h", "ASK 1 h:", "ASK 1 h:0", "ASK 1 h:70000", "ASK 1 h:\u00b2"]
)
def test_a_redirection_to_nowhere_is_refused(error: str) -> None:
    with pytest.raises(ValueError, match=r"nowhere|no port"):
        redirection(error, "asked")
