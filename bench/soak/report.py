"""An hour as three tables."""

from collections.abc import Sequence

from bench.report import grid, machine
from bench.soak.crowd import Tally
from bench.soak.mix import DEEDS
from bench.soak.watch import HANDLES, Sample, per_hour, quarter, settled

MEMORY = {"pss_mib": "PSS", "anon_mib": "of that, anonymous"}
MOST_MIB_PER_H = 1.0


def of_run(command: str, per_s: float, share: float, capacity: float, minutes: float, samples: Sequence[Sample]) -> str:
    """Where, how long and how hard."""
    where = machine()
    busy = (samples[-1].cpu_s - samples[0].cpu_s) / max(1.0, samples[-1].at_s - samples[0].at_s)
    return (
        f"`{command}` at commit {where['commit']}, {where['when']}: {where['cores']} cores of {where['cpu']}, "
        f"{where['system']}, Python {where['python']}. {minutes:g} minutes at {per_s:,.0f} a second, "
        f"{share:.0%} of the {capacity:,.0f} that were done at the start; the node used {busy:.2f} of a core.\n"
    )


def of_memory(samples: Sequence[Sample]) -> str:
    """What it grew by."""
    kept = settled(samples)
    rows = []
    for figure, name in MEMORY.items():
        begin, end = getattr(kept[0], figure), getattr(kept[-1], figure)
        most = max(getattr(sample, figure) for sample in kept)
        rows.append([name, f"{getattr(samples[0], figure):.1f}", f"{begin:.1f}", f"{end:.1f}", f"{most:.1f}"])
        rows[-1].append(f"{per_hour(samples, figure):+.2f}")
    columns = ("memory, MiB", "at once", "after a quarter", "at the end", "most since then", "slope, MiB/h")
    return (
        grid(columns, rows)
        + f"\n\nTarget: at most {MOST_MIB_PER_H:g} MiB/h, by least squares over the last three quarters.\n"
    )


def of_handles(before: Sample, samples: Sequence[Sample], after: Sample) -> str:
    """What was open."""
    rows = []
    for name in HANDLES:
        counts = (before.handles[name], quarter(samples, 2, name), quarter(samples, 4, name), after.handles[name])
        rows.append([name, *(f"{count:g}" for count in counts)])
    return grid(("open", "before", "second quarter", "last quarter", "when all have left"), rows) + "\n"


def of_deeds(tally: Tally) -> str:
    """What callers did, and what they got."""
    rows = []
    for name in [*DEEDS, *(name for name in tally.outcomes if name not in DEEDS)]:
        outcomes = tally.outcomes.get(name, {})
        said = ", ".join(f"{outcome}: {count:,}" for outcome, count in sorted(outcomes.items()))
        times = [f"{tally.percentile_ms(name, part):,.1f}" for part in (0.5, 0.99)]
        rows.append([name, f"{sum(outcomes.values()):,}", *times, said])
    return grid(("what", "times", "p50 ms", "p99 ms", "came of it"), rows) + "\n"


def of_wrong(tally: Tally, visitors: int) -> str:
    """What must be nothing."""
    counts = {what: sum(one[what] for one in tally.outcomes.values()) for what in ("wrong", "failed")}
    said = "".join(f"\n- {line[:600]}" for line in [*tally.wrong, *tally.failed])
    return (
        f"{tally.done:,} deeds of {visitors:,} callers: {counts['wrong']} wrong, {counts['failed']} failed, "
        f"{tally.held:,} not offered because {'so many' if tally.held else 'too many'} were under way.{said}\n"
    )
