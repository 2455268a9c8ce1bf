"""The tables, as they stand in docs/filters.md."""

from pathlib import Path

from bench.filters.rates import Rate
from mantlet.policies.filters.catalogue import NAMES

PAGE = Path(__file__).parent.parent.parent / "docs" / "filters.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def tables(
    detected: dict[str, dict[str, Rate]], alarms: dict[str, dict[str, Rate]], special: dict[str, dict[str, Rate]]
) -> str:
    """Detection, false alarms for each filter, and the same for each corpus."""
    rows = ["### Detection\n", "| filter | corpus | samples | found |", "|---|---|---:|---:|"]
    for name, corpora in detected.items():
        rows += [f"| {name} | {title} | {rate.all:,} | {rate.percent:.1f} % |" for title, rate in corpora.items()]
        if len(corpora) > 1:
            total = _sum(list(corpora.values()))
            rows.append(f"| **{name}** | all | {total.all:,} | **{total.percent:.1f} %** |")
    rows += ["\n### False alarms\n", "| filter | ordinary samples | found | rate |", "|---|---:|---:|---:|"]
    for name in NAMES:
        total = _sum([rates[name] for rates in alarms.values()])
        rows.append(f"| {name} | {total.all:,} | {total.found:,} | {total.percent:.2f} % |")
    rows += ["\nBy corpus, where any filter found something:\n", "| corpus | samples | " + " | ".join(NAMES) + " |"]
    rows.append("|---|---:|" + "---:|" * len(NAMES))
    for title, rates in alarms.items():
        rows.append(f"| {title} | {rates['any'].all:,} | " + " | ".join(_short(rates[name]) for name in NAMES) + " |")
    rows += ["\nNot counted above, for such texts consist of what is looked for:\n"]
    rows += ["| corpus | samples | " + " | ".join(NAMES) + " |", "|---|---:|" + "---:|" * len(NAMES)]
    for title, rates in special.items():
        rows.append(f"| {title} | {rates['any'].all:,} | " + " | ".join(_short(rates[name]) for name in NAMES) + " |")
    return "\n".join(rows) + "\n"


def write(text: str) -> None:
    """Put `text` between the marks of the page."""
    page = PAGE.read_text()
    before, rest = page.split(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}")


def _sum(rates: list[Rate]) -> Rate:
    return Rate(sum(rate.found for rate in rates), sum(rate.all for rate in rates))


def _short(rate: Rate) -> str:
    return f"{rate.percent:.2f}" if rate.found else "-"
