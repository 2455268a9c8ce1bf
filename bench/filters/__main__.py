"""`python -m bench.filters --corpora DIR`: detection, false alarms and costs of the content filters."""

import argparse
import sys
from pathlib import Path

from bench.filters import costs, report
from bench.filters.corpora import ATTACKS, ORDINARY, SPECIAL
from bench.filters.rates import detection, false_alarms, look, plan_of, special


def main() -> int:
    """Measure, show, and write into docs/filters.md if asked."""
    parser = argparse.ArgumentParser(prog="python -m bench.filters", description=__doc__)
    parser.add_argument("--corpora", type=Path, required=True, help="checkouts, each in a folder OWNER+NAME")
    parser.add_argument("--write-docs", action="store_true", help="put the tables into docs/filters.md")
    parser.add_argument("--list", action="store_true", help="which repositories are read, and no more")
    parser.add_argument("--missed", metavar="FILTER", help="show attacks that FILTER does not find")
    parser.add_argument("--alarms", metavar="FILTER", help="show ordinary texts in which FILTER finds something")
    parser.add_argument("--without-costs", action="store_true")
    options = parser.parse_args()
    corpora = [*(corpus for group in ATTACKS.values() for corpus in group), *ORDINARY, *SPECIAL]
    if options.list:
        print("\n".join(sorted({corpus.repository for corpus in corpora})))
        return 0
    if options.missed:
        for corpus in ATTACKS[options.missed]:
            for sample in corpus.samples(options.corpora):
                if look(sample, plan_of([options.missed]), corpus.argument) is None:
                    print(f"{corpus.name}: {sample!r}"[:200])
        return 0
    if options.alarms:
        for corpus in ORDINARY:
            for sample in corpus.samples(options.corpora):
                verdict = look(sample, plan_of([options.alarms]), corpus.argument)
                if verdict is not None:
                    hit = verdict.found[0][0]
                    text = str(sample)
                    around = text[max(0, hit.start - 30) : hit.end + 30] if hit.start >= 0 else text[:100]
                    print(f"{corpus.name}: {hit.rule}: {around!r}")
        return 0
    text = report.tables(detection(options.corpora), false_alarms(options.corpora), special(options.corpora))
    if not options.without_costs:
        text += costs.table()
    print(text)
    if options.write_docs:
        report.write(text)
    return 0


sys.exit(main())
