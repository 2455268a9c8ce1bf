"""The columns that most tables share."""

from collections.abc import Sequence

from bench.lab import DIRECT, NOTHING, us
from bench.rounds import Series

COLUMNS = ("target", "calls/s", "CPU µs a call, quiet", "median", "p50 µs", "p99 µs", "added p50 µs", "CPU ÷ nginx")


def rows(series: list[Series]) -> list[Sequence[str]]:
    """A row for each target: what it added to direct, and its CPU against nginx."""
    direct = next((one for one in series if one.name == DIRECT), None)
    nginx = next((one for one in series if one.name == "nginx"), None)
    cells: list[Sequence[str]] = []
    for one in series:
        added = one.p50_us - direct.p50_us if direct and one is not direct else None
        ratio = (
            one.cpu_quiet_us / nginx.cpu_quiet_us
            if nginx and one.cpu_quiet_us and nginx.cpu_quiet_us and one is not direct
            else None
        )
        cells.append(
            [
                one.name,
                f"{one.per_s:,.0f}",
                us(one.cpu_quiet_us),
                us(one.cpu_us),
                us(one.p50_us),
                us(one.p99_us),
                us(added),
                f"{ratio:.1f}" if ratio else NOTHING,
            ]
        )
    return cells
