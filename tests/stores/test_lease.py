import pytest

from mantlet.stores.lease import lasts_s, most, size


@pytest.mark.parametrize(
    ("limit", "sharers", "found"), [(200, 1, 0), (400, 1, 4), (2000, 1, 20), (2000, 4, 5), (2000, 8, 0), (100, 1, 0)]
)
def test_a_lease_is_at_most_a_fair_share_of_one_sub_bucket(limit: int, sharers: int, found: int) -> None:
    """RATE-03: all that is held elsewhere is at most 1 % of the limit."""
    assert most(limit, sharers) == found
    assert most(limit, sharers) * sharers <= limit * 0.01


@pytest.mark.parametrize(
    ("remaining", "before", "now", "units"),
    [
        (2000, 0, 0, 0),  # nobody used it lately: one call is one call
        (2000, 0, 1, 1),  # the second within a sub-bucket
        (2000, 0, 3, 3),
        (2000, 12, 0, 12),  # the first of a sub-bucket takes what the last one used
        (2000, 12, 8, 8),
        (2000, 500, 0, 20),  # no more than a fair share
        (220, 20, 0, 20),
        (219, 20, 0, 0),  # the last tenth is never leased
        (0, 20, 0, 0),
    ],
)
def test_a_lease_follows_what_is_used(remaining: int, before: int, now: int, units: int) -> None:
    assert size(limit=2000, sharers=1, remaining=remaining, before=before, now=now) == units


def test_a_lease_ends_before_its_sub_bucket_does() -> None:
    """RATE-03: by a thousandth, whatever our clock thinks a second is."""
    assert lasts_s(5_000_000, 1_000_000) == pytest.approx(0.999)
    assert lasts_s(5_900_000, 1_000_000) == pytest.approx(0.0999)
    assert lasts_s(5_999_999, 1_000_000) < 1e-6
