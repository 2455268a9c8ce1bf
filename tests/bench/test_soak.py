import pytest
from bench.soak.crowd import Tally
from bench.soak.watch import HANDLES, Sample, per_hour, quarter, slope


@pytest.mark.parametrize(
    ("points", "grows"),
    [
        ([], 0),
        ([(1, 5)], 0),
        ([(1, 5), (1, 9)], 0),
        ([(0, 1), (1, 3), (2, 5)], 2),
        ([(0, 0), (1, 2), (2, 0), (3, 2)], 0.4),
    ],
)
def test_a_slope_is_by_least_squares(points: list[tuple[float, float]], grows: float) -> None:
    assert slope(points) == pytest.approx(grows)


def _hour(pss_mib: list[float]) -> list[Sample]:
    handles = {name: float(number) for number, name in enumerate(HANDLES)}
    return [Sample(900.0 * at, mib, mib, 0, handles) for at, mib in enumerate(pss_mib)]


def test_what_fills_in_the_first_quarter_is_no_leak() -> None:
    assert per_hour(_hour([10, 60, 60, 60]), "pss_mib") == 0
    assert per_hour(_hour([10, 60, 61, 62]), "pss_mib") == pytest.approx(4)


def test_handles_are_compared_by_the_medians_of_quarters() -> None:
    assert [quarter(_hour([1] * 8), 4, name) for name in HANDLES] == list(range(len(HANDLES)))


def test_percentiles_are_of_one_deed() -> None:
    tally = Tally()
    tally.took_s["call"].extend([0.5, 0.25, 1.0])
    assert (tally.percentile_ms("call", 0.5), tally.percentile_ms("other", 0.5)) == (500, 0)
