"""RES-03: one deadline for all hops."""

import pytest

from mantlet.core.headers import Headers
from mantlet.wire.deadline import HEADER, earlier, line


@pytest.mark.parametrize(
    ("said", "expected_s"),
    [
        (b"500", 100.5),
        (b"0", 100.0),
        (b"9999", 109.999),
        (b"10001", 110.0),  # never later
        (b"999999999", 110.0),
        (b"9999999999", 110.0),
        (b"-1", 110.0),
        (b"1.5", 110.0),
        (b"", 110.0),
        (b"soon", 110.0),
        (b"\xb2", 110.0),
        (None, 110.0),
    ],
)
def test_a_callers_deadline_can_only_be_earlier(said: bytes | None, expected_s: float) -> None:
    """RES-03"""
    headers = Headers([] if said is None else [(HEADER, said)])
    assert earlier(headers, 110.0, 100.0) == pytest.approx(expected_s)


@pytest.mark.parametrize(("left_s", "expected_ms"), [(60.0, 59_950), (0.2, 190), (0.0, 0), (-5.0, 0)])
def test_the_next_node_gives_up_a_little_before_this_one(left_s: float, expected_ms: int) -> None:
    """RES-03"""
    name, _, value = line(100.0 + left_s, 100.0).strip().partition(b": ")
    assert name == HEADER
    assert int(value) == pytest.approx(expected_ms, abs=1)
