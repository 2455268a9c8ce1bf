import pytest

from mantlet.upstreams.health.warming import share


@pytest.mark.parametrize(
    ("since_s", "window_s", "expected"),
    [
        (0, 0, 1.0),  # switched off
        (5, 0, 1.0),
        (-1, 60, 0.1),  # a clock that stepped back
        (0, 60, 0.1),
        (5, 60, 0.1),
        (6, 60, 0.1),
        (12, 60, 0.2),
        (17.9, 60, 0.2),
        (30, 60, 0.5),
        (59.9, 60, 0.9),
        (60, 60, 1.0),
        (1e9, 60, 1.0),
    ],
)
def test_a_share_grows_in_tenths(since_s: float, window_s: float, expected: float) -> None:
    assert share(since_s, window_s) == expected
