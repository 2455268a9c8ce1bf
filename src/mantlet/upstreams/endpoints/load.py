"""How busy an upstream says that it is: Open Request Cost Aggregation, the header that gRPC, Envoy and others know.

    endpoint-load-metrics: TEXT application_utilization=0.4, cpu_utilization=0.7
    endpoint-load-metrics: JSON {"cpu_utilization": 0.7}

The application's own figure counts before the processor's. Hostile input: what cannot be read says nothing.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from mantlet.core.headers import Headers

HEADER: Final = b"endpoint-load-metrics"
MAX_BYTES: Final = 1_024
_FIGURES: Final = ("application_utilization", "cpu_utilization")


def utilization(headers: Headers) -> float | None:
    """From 0 (idle) to 1 (no room); None where nothing is said."""
    value = headers.get(HEADER)
    if value is None or len(value) > MAX_BYTES:
        return None
    form, _, rest = value.partition(b" ")
    match form:
        case b"TEXT":
            told: Mapping[str, Any] = dict(_pairs(rest))
        case b"JSON":
            try:
                decoded = msgspec.json.decode(rest)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                return None
            told = decoded if type(decoded) is dict else {}
        case _:
            return None
    for name in _FIGURES:
        figure = _number(told.get(name))
        if figure is not None and figure > 0:
            return min(1.0, figure)
    return 0.0 if any(name in told for name in _FIGURES) else None


def _pairs(text: bytes) -> list[tuple[str, str]]:
    pairs = (part.partition(b"=") for part in text.split(b","))
    return [(name.strip().decode("latin-1"), value.strip().decode("latin-1")) for name, _, value in pairs]


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if 0 <= number < float("inf") else None
