import pytest

from mantlet.policies.authenticate.failures import Failures, Level, leaked, source_of, wait_s


@pytest.mark.parametrize(
    ("level", "now_s", "left", "wait"),
    [
        (Level(0, 0), 0, 0, 0),
        (Level(9, 0), 0, 9, 0),
        (Level(10, 0), 0, 10, 6),
        (Level(10, 0), 3, 9.5, 3),
        (Level(10, 0), 6, 9, 0),
        (Level(10, 0), 600, 0, 0),
        (Level(10, 100), 50, 10, 6),  # a clock that steps back forgives nothing
    ],
)
def test_a_level_leaks_evenly(level: Level, now_s: float, left: float, wait: float) -> None:
    """AUTHN-07"""
    now = leaked(level, now_s=now_s, limit=10, window_s=60)
    assert now.failures == pytest.approx(left)
    assert wait_s(now, limit=10, window_s=60) == pytest.approx(wait)


def test_a_refused_failure_counts_nothing() -> None:
    failures = Failures(2, 60)
    assert [failures.count("a", 0), failures.count("a", 0)] == [0, 0]
    for _ in range(5):
        assert failures.count("a", 0) == pytest.approx(30)
    assert failures.wait_s("b", 0) == 0
    assert failures.wait_s("a", 30) == 0


def test_the_table_is_bounded() -> None:
    failures = Failures(2, 60, max_sources=8)
    for number in range(100):
        failures.count(str(number), 0)
    assert len(failures) == 8


@pytest.mark.parametrize(
    ("peer", "source"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("unix", "unix"),
    ],
)
def test_one_customer_is_one_source(peer: str, source: str) -> None:
    assert source_of(peer) == source
