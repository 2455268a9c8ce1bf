"""How long a child rests between lives."""

import pytest

from mantlet.upstreams.transports.channel.supervisor import backoff_s


@pytest.mark.parametrize(
    ("failures", "chance", "wait_s"),
    [(1, 1.0, 1.0), (1, 0.0, 0.5), (2, 1.0, 2.0), (3, 1.0, 4.0), (6, 1.0, 30.0), (6, 0.0, 15.0), (10**6, 1.0, 30.0)],
)
def test_the_wait_doubles_up_to_its_cap_and_is_spread(failures: int, chance: float, wait_s: float) -> None:
    """RES-06"""
    assert backoff_s(failures, base_s=1.0, max_s=30.0, chance=chance) == wait_s
