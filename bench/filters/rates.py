"""How much of each corpus each filter finds."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from bench.filters.corpora import ATTACKS, ORDINARY, SPECIAL, Corpus
from mantlet.policies.filters.catalogue import NAMES
from mantlet.policies.filters.config import Mode, Modes
from mantlet.policies.filters.plan import Plan, compile_plan
from mantlet.policies.filters.verdict import Verdict, judge
from mantlet.wire import jsonrpc


class Rate(NamedTuple):
    """Found of all."""

    found: int
    all: int

    @property
    def percent(self) -> float:
        return 100 * self.found / self.all if self.all else 0.0


def plan_of(names: Iterable[str]) -> Plan:
    """A plan in which `names` block, without exceptions."""
    modes: dict[str, Mode] = dict.fromkeys(NAMES, "off") | dict.fromkeys(names, "block")
    return compile_plan(Modes(**modes), (), "bench", "tool", in_results=False)


def look(sample: Any, plan: Plan, argument: str = "text") -> Verdict | None:
    """One sample as the argument of a call."""
    arguments = sample if isinstance(sample, dict) else {argument: sample}
    params = {"name": "tool", "arguments": arguments}
    return judge(params, plan, (None, "params"), body=jsonrpc.encode(params), max_characters=16_777_216)


def detection(folder: Path) -> dict[str, dict[str, Rate]]:
    """For each filter its corpora of attacks."""
    return {
        name: {
            corpus.name: Rate(
                sum(look(each, plan_of([name]), corpus.argument) is not None for each in samples), len(samples)
            )
            for corpus in corpora
            if (samples := corpus.samples(folder))
        }
        for name, corpora in ATTACKS.items()
    }


def false_alarms(folder: Path, corpora: tuple[Corpus, ...] = ORDINARY) -> dict[str, dict[str, Rate]]:
    """For each ordinary corpus what each filter finds in it, and what all together find (`any`)."""
    plan = plan_of(NAMES)
    table: dict[str, dict[str, Rate]] = {}
    for corpus in corpora:
        samples = corpus.samples(folder)
        if not samples:
            continue
        counted: Counter[str] = Counter()
        for sample in samples:
            verdict = look(sample, plan, corpus.argument)
            counted.update({hit.filter for hit, _ in verdict.found} | {"any"} if verdict is not None else ())
        table[corpus.name] = {name: Rate(counted[name], len(samples)) for name in (*NAMES, "any")}
    return table


def special(folder: Path) -> dict[str, dict[str, Rate]]:
    """The same for texts that consist of what is looked for."""
    return false_alarms(folder, SPECIAL)
