"""What must hold after everything. Pure: what was seen goes in, what is wrong comes out."""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

STORE_SLACK: Final = 1.1
"""While the store is away each process has its share of a limit (RATE-05)."""


def effects(
    asked: Mapping[str, str], answered: Iterable[str], executions: Sequence[tuple[float, str, str]]
) -> list[str]:
    """No call that changes something ran twice, none ran that nobody made, each that was answered did run."""
    times = Counter(message for _, _, message in executions)
    wrong = [f"{message}: ran, and was never asked" for message in times if message not in asked]
    wrong += [f"{message}: answered, and never ran" for message in answered if message not in times]
    for message, count in times.items():
        tool = asked.get(message, "")
        if count > (2 if tool == "echo" else 1):
            wrong.append(f"{message} {tool}: ran {count} times")
    return wrong


def most_in_window(times: Sequence[float], window_s: float) -> tuple[int, float]:
    """The most of `times` (sorted) in any window of that length, and when it begins."""
    most, at = 0, 0.0
    for index, began in enumerate(times):
        # A window is open at its end: what comes exactly one length later may be the next one's.
        count = bisect_right(times, began + window_s - 1e-6) - index
        if count > most:
            most, at = count, began
    return most, at


def limits(
    admitted: Iterable[tuple[str, float]],
    limit: int,
    window_s: float,
    store_faults: Sequence[tuple[float, float]],
) -> tuple[list[str], int]:
    """For each caller: never more than the limit in a true window; where the store was away, not a tenth more.

    Gives what is wrong, and the most that anybody got.
    """
    by_caller: defaultdict[str, list[float]] = defaultdict(list)
    for caller, at_s in admitted:
        by_caller[caller].append(at_s)
    wrong, worst = [], 0
    for caller, times in by_caller.items():
        times.sort()
        most, at_s = most_in_window(times, window_s)
        worst = max(worst, most)
        is_near = any(start - window_s < at_s + window_s and at_s < end + window_s for start, end in store_faults)
        allowed = int(limit * STORE_SLACK) if is_near else limit
        if most > allowed:
            wrong.append(f"{caller}: {most} admitted in {window_s:g} s from {at_s:.2f}, {allowed} allowed")
    return wrong, worst


def recorded(answered: Mapping[str, str], records: Iterable[Mapping[str, Any]]) -> list[str]:
    """Each answer that was given is in the trail exactly once (AUD-01, AUD-02)."""
    ids = Counter(record["request_id"] for record in records if record.get("event") == "call")
    return [
        f"{message}: request {request_id} is recorded {ids[request_id]} times"
        for message, request_id in answered.items()
        if ids[request_id] != 1
    ]
