"""TLS-05: when a certificate must be renewed."""

import pytest

from mantlet.listeners.tls.expiry import DAY_S, Validity, days_left, urgency, why_unfit

YEAR = Validity(0, 365 * DAY_S)
MONTH = Validity(0, 30 * DAY_S)


@pytest.mark.parametrize(
    ("validity", "left_days", "expected"),
    [
        (YEAR, 31, 0),
        (YEAR, 30, 1),
        (YEAR, 7.1, 1),
        (YEAR, 7, 2),
        (YEAR, 0.001, 2),
        (YEAR, 0, 3),
        (YEAR, -5, 3),
        (MONTH, 20, 0),
        (MONTH, 10, 1),
        (MONTH, 3, 2),
    ],
)
def test_warnings_stand_30_and_7_days_ahead_or_less_for_short_lives(
    validity: Validity, left_days: float, expected: int
) -> None:
    assert urgency(validity, validity.ends_at_s - left_days * DAY_S) == expected


def test_it_is_shown_only_while_it_is_good() -> None:
    assert why_unfit(YEAR, -1).startswith("begins 1970-01-01")
    assert why_unfit(YEAR, 0) == why_unfit(YEAR, YEAR.ends_at_s - 1) == ""
    assert why_unfit(YEAR, YEAR.ends_at_s).startswith("ended 1971-01-01")


def test_days_are_whole_ones() -> None:
    assert [days_left(YEAR, YEAR.ends_at_s - seconds) for seconds in (2 * DAY_S, DAY_S - 1, 0, -1)] == [2, 0, 0, -1]
