"""What was found, as Markdown."""

from collections.abc import Sequence

from bench.store import costs, failures
from bench.store.exactness import PROCESSES, Exactness


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """As Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def of_costs(found: Sequence[costs.Cost]) -> str:
    """A row for each way, a pair of columns for each concurrency."""
    names = dict.fromkeys(cost.name for cost in found)
    by = {(cost.name, cost.concurrency): cost for cost in found}
    rows = []
    for name in names:
        cells = [by[name, concurrency] for concurrency in costs.CONCURRENCIES]
        rows.append([name, *(f"{cost.cpu_us:.1f} µs, {cost.round_trips:.2f}" for cost in cells)])
    return table(["three limits, CPU of the node and round trips a decision", *map(str, costs.CONCURRENCIES)], rows)


def of_exactness(found: Sequence[Exactness]) -> str:
    """A row for each limit."""
    rows = [[one.name, f"{one.limit} in {one.window_s:g} s", str(one.most), f"{one.under:.1%}"] for one in found]
    return table([f"{PROCESSES} processes", "limit", "most in a true window", "left unused"], rows)


def of_failures(found: Sequence[failures.Found]) -> str:
    """A row for each fault."""
    rows = [
        [
            one.name,
            f"{one.p50_ms:.2f} / {one.p99_ms:.2f} ({one.well_p99_ms:.2f})",
            f"{one.worst_ms:.0f}",
            str(one.errors),
            f"{one.most / failures.LIMIT:.2f} L",
            f"{one.back_s:.1f}",
            "yes" if one.holds else "NO",
        ]
        for one in found
    ]
    times = ["p50 / p99 ms (p99 when well)", "worst ms"]
    return table(["the store is", *times, "errors", "most in a window", "back after s", "holds"], rows)
