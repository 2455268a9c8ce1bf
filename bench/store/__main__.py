"""`python -m bench.store`: costs, exactness and failures of the shared store, against the targets."""

import argparse
import asyncio
import sys
from pathlib import Path

import uvloop

from bench.store import costs, failures
from bench.store.exactness import hammered
from bench.store.report import of_costs, of_exactness, of_failures

DOCS = Path(__file__).parent.parent.parent / "docs" / "stores.md"
BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"


async def run(options: argparse.Namespace) -> tuple[str, bool]:
    """All that is asked for; and whether it holds."""
    text, holds = "", True
    if "costs" in options.only:
        found = await costs.measure(options.decisions, options.other_python)
        exact = next(one for one in found if one.name == "shared, exact" and one.concurrency == 16)
        leased = next(one for one in found if one.name == "shared, with leases" and one.concurrency == 16)
        holds &= exact.cpu_us <= 60 and leased.cpu_us <= 15
        text += of_costs(found) + (
            "\nTarget: at most 60 µs exact and 15 µs with leases, at 16: "
            f"{exact.cpu_us:.1f} and {leased.cpu_us:.1f}.\n\n"
        )
    if "exactness" in options.only:
        seconds = options.seconds
        tried = [
            await hammered("exact", 100, 1.0, sharers=0, seconds=seconds),
            await hammered("exact", 1000, 2.0, sharers=0, seconds=seconds),
            await hammered("with leases", 1000, 2.0, sharers=3, seconds=seconds),
        ]
        holds &= all(one.most <= one.limit for one in tried)
        text += of_exactness(tried) + "\nTarget: never more than the limit, at most 2 % left unused.\n\n"
    if "failures" in options.only:
        rows, hung = await failures.measure(options.fault)
        holds &= all(one.holds for one in rows)
        text += of_failures(rows)
        text += (
            f"\nThree nodes, {failures.LIMIT} in {failures.WINDOW_S:g} s (L), more asked for than there is. "
            f"Target: p99 at most {failures.STOPPED_TARGET_MS:g} ms, no errors of ours, at most {failures.MOST} L.\n"
        )
        if hung is not None:
            first, rest_ms = hung
            is_quick = max(first) <= failures.HUNG_FIRST_MS and rest_ms <= failures.HUNG_AFTER_MS
            holds &= is_quick
            text += (
                f"\nHung (SIGSTOP), one call after the other: the first three took "
                f"{', '.join(f'{one:.1f}' for one in first)} ms, then p99 {rest_ms:.3f} ms. "
                "Target: 50 ms, then 10 ms.\n"
            )
    return text, holds


def main() -> int:
    """1 when a target is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench.store", description=__doc__)
    kinds = ["costs", "exactness", "failures"]
    parser.add_argument("--only", choices=kinds, action="append", help="this part (may be repeated)")
    parser.add_argument("--fault", default="", help="only failures whose name holds this")
    parser.add_argument("--decisions", type=int, default=20_000, help="in each round of costs")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each crowd of exactness")
    parser.add_argument("--other-python", default="", metavar="PATH", help="a Python with `limits`, to compare with")
    parser.add_argument("--write-docs", action="store_true", help="put the tables into docs/stores.md")
    options = parser.parse_args()
    options.only = options.only or kinds
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        text, holds = runner.run(run(options))
    print(text)
    if options.write_docs:
        page = DOCS.read_text()
        before, _, rest = page.partition(BEGIN)
        DOCS.write_text(before + BEGIN + "\n" + text + "\n" + END + rest.partition(END)[2])
    return 0 if holds else 1


sys.exit(main())
