import pytest

from mantlet.core.headers import Headers
from mantlet.upstreams.endpoints.load import MAX_BYTES, utilization


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"TEXT cpu_utilization=0.3", 0.3),
        (b"TEXT application_utilization=0.4, cpu_utilization=0.7", 0.4),
        (b"TEXT cpu_utilization=0.7,application_utilization=0", 0.7),
        (b"TEXT cpu_utilization=0", 0.0),
        (b'JSON {"cpu_utilization": 0.7}', 0.7),
        (b'JSON {"application_utilization": 3.5}', 1.0),
        (b"TEXT mem_utilization=0.9", None),
        (b"TEXT cpu_utilization=-1", 0.0),
        (b"TEXT cpu_utilization=nan", 0.0),
        (b"TEXT cpu_utilization=inf", 0.0),
        (b"TEXT cpu_utilization=", 0.0),
        (b"TEXT", None),
        (b"JSON []", None),
        (b"JSON {", None),
        (b"JSON \xff", None),
        (b"JSON " + b"[" * 900, None),
        (b'JSON {"cpu_utilization": "0.5"}', 0.5),
        (b'JSON {"cpu_utilization": {}}', 0.0),
        (b"BIN AAAA", None),
        (b"TEXT " + b"x" * MAX_BYTES, None),
        (b"", None),
    ],
)
def test_what_a_server_says_of_its_load(value: bytes, expected: float | None) -> None:
    assert utilization(Headers([(b"endpoint-load-metrics", value)])) == expected


def test_most_say_nothing() -> None:
    assert utilization(Headers([])) is None
